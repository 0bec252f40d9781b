// Package directory opens files in directories that another user may own: those of spool, recordings, quarantine, certificates and
// what a receiver remembers. A user who may write there cannot lead the program to a file of somebody else: links are followed only
// if they are root's or the program's own user's, files are opened by name in a directory that is held open, and what root does to
// the files is done with the rights of the directory's owner, whose they are then. It is a leaf that every package may use.
package directory

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Errors of opening.
var (
	ErrLink       = errors.New("is a symbolic link of another user, which is not followed: name what it leads to")
	ErrNotRegular = errors.New("is not a regular file")
	ErrTooLarge   = errors.New("is larger than 16 MiB")
)

// maxFile bounds in bytes what ReadFile reads: the largest that is the program's, a file of tokens, may be so large.
const maxFile = 16 << 20

// Directory is a directory that is held open. Names of its files have no slash in them.
type Directory struct {
	*os.File
	user, group int // its owner
}

// maxLinks bounds the links in one path, as Linux does.
const maxLinks = 40

// Open opens a directory.
func Open(path string) (*Directory, error) {
	parent, name, err := find(path)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	return parent.open(name, unix.O_RDONLY, path)
}

// Make is Open of a directory that is made when it is missing, with those above it, for its owner alone.
func Make(path string) (*Directory, error) {
	d, err := Open(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	above, err := Make(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer above.Close()
	return above.Make(filepath.Base(path))
}

// Make opens a directory in d that is not a link, and makes it when it is missing.
func (d *Directory) Make(name string) (*Directory, error) {
	err := d.asOwner(func() error { return unix.Mkdirat(d.fd(), name, 0o700) })
	if err != nil && err != unix.EEXIST {
		return nil, &fs.PathError{Op: "mkdir", Path: d.at(name), Err: err}
	}
	return d.open(name, unix.O_RDONLY, d.at(name))
}

// ReadFile reads a whole file of 16 MiB at most.
func ReadFile(path string) ([]byte, error) {
	parent, name, err := find(path)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	f, err := parent.OpenFile(name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if len(text) > maxFile {
		return nil, &fs.PathError{Op: "read", Path: path, Err: ErrTooLarge}
	}
	return text, err
}

// Replace replaces a file, or makes it, so that a power cut leaves the old one or the new one, whole.
func Replace(path string, text []byte, mode fs.FileMode) error {
	return ReplaceWith(path, mode, func(to io.Writer) error { _, err := to.Write(text); return err })
}

// ReplaceWith is Replace with what a function writes, in pieces.
func ReplaceWith(path string, mode fs.FileMode, write func(to io.Writer) error) error {
	d, err := Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.replace(filepath.Base(path), func(f *os.File) error {
		if err := f.Chmod(mode); err != nil { // whatever the umask is
			return err
		}
		return write(f)
	})
}

// Rewrite is Replace that keeps mode and owner of the file; a new one everyone may read. A link is followed and stays.
func Rewrite(path string, text []byte) error {
	parent, name, err := find(path)
	if err != nil {
		return err
	}
	defer parent.Close()
	d, err := parent.open(".", unix.O_RDONLY, parent.Name())
	if err != nil {
		return err
	}
	defer d.Close()
	return d.replace(name, func(f *os.File) error {
		st, err := d.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = f.Chmod(0o644)
		case err == nil:
			err = errors.Join(f.Chown(int(st.Uid), int(st.Gid)), f.Chmod(fs.FileMode(st.Mode).Perm()))
		}
		if err == nil {
			_, err = f.Write(text)
		}
		return err
	})
}

func (d *Directory) replace(name string, fill func(next *os.File) error) error {
	next := name + ".new"
	f, err := d.Create(next, 0o600)
	if err != nil {
		return err
	}
	if err = errors.Join(fill(f), f.Sync(), f.Close()); err == nil {
		err = d.Rename(next, name)
	}
	if err != nil {
		return errors.Join(err, d.Remove(next))
	}
	return d.Sync() // so that its name is on the disk too
}

// Create makes a new file to read and write; one of that name is removed, never opened.
func (d *Directory) Create(name string, mode fs.FileMode) (*os.File, error) {
	if err := d.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return d.OpenFile(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, mode)
}

// OpenFile opens a regular file as open(2) does. Nothing else is opened: O_NONBLOCK keeps a FIFO from blocking.
func (d *Directory) OpenFile(name string, flags int, mode fs.FileMode) (f *os.File, err error) {
	var fd int
	err = d.asOwner(func() (err error) {
		fd, err = unix.Openat(d.fd(), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, uint32(mode.Perm()))
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.at(name), Err: err}
	}
	f = os.NewFile(uintptr(fd), d.at(name))
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = f.Close() // nothing was written
		return nil, &fs.PathError{Op: "open", Path: d.at(name), Err: ErrNotRegular}
	}
	return f, nil
}

// Rename replaces a file of the new name.
func (d *Directory) Rename(from, to string) error {
	if err := d.asOwner(func() error { return unix.Renameat(d.fd(), from, d.fd(), to) }); err != nil {
		return &os.LinkError{Op: "rename", Old: d.at(from), New: d.at(to), Err: err}
	}
	return nil
}

// Remove removes a file.
func (d *Directory) Remove(name string) error {
	if err := d.asOwner(func() error { return unix.Unlinkat(d.fd(), name, 0) }); err != nil {
		return &fs.PathError{Op: "remove", Path: d.at(name), Err: err}
	}
	return nil
}

// Names are those of all that it holds, at every call.
func (d *Directory) Names() ([]string, error) {
	again, err := d.open(".", unix.O_RDONLY, d.Name()) // d itself would go on where the last call ended
	if err != nil {
		return nil, err
	}
	defer again.Close()
	return again.Readdirnames(-1)
}

// Lstat describes a file, or the link in its place.
func (d *Directory) Lstat(name string) (st unix.Stat_t, err error) {
	if err := unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return st, &fs.PathError{Op: "stat", Path: d.at(name), Err: err}
	}
	return st, nil
}

func (d *Directory) fd() int               { return int(d.Fd()) }
func (d *Directory) at(name string) string { return filepath.Join(d.Name(), name) }

// open opens a directory in d, or without d by its whole path. It is not a link. Its name is path from then on.
func (d *Directory) open(name string, flags int, path string) (*Directory, error) {
	at := unix.AT_FDCWD
	if d != nil {
		at = d.fd()
	}
	fd, err := unix.Openat(at, name, flags|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Directory{os.NewFile(uintptr(fd), path), int(st.Uid), int(st.Gid)}, nil
}

// find is parentOf any path.
func find(path string) (*Directory, string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, "", err
	}
	return parentOf(abs, maxLinks)
}

// parentOf opens the directory that holds what an absolute path leads to, and returns the name that it has there, which is not a
// link's. There need be nothing of that name. The name of the directory is its path without links.
func parentOf(path string, links int) (d *Directory, name string, err error) {
	if path == "/" {
		d, err := (*Directory)(nil).open("/", pathOnly, "/")
		return d, ".", err
	}
	above, name, err := parentOf(filepath.Dir(path), links)
	if err != nil {
		return nil, "", err
	}
	d, err = above.open(name, pathOnly, above.at(name))
	_ = above.Close() // it was only walked through
	if err != nil {
		return nil, "", err
	}
	name = filepath.Base(path)
	st, err := d.Lstat(name)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return d, name, nil // what is missing is for the caller to find
	}
	defer d.Close()
	target, err := d.readLink(name, st, links)
	if err != nil {
		return nil, "", err
	}
	return parentOf(target, links-1)
}

// readLink returns where a link may lead, as an absolute path.
func (d *Directory) readLink(name string, st unix.Stat_t, links int) (string, error) {
	text := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(d.fd(), name, text)
	target := string(text[:max(0, n)])
	switch {
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		err = ErrLink
	case links == 0:
		err = unix.ELOOP
	}
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: d.at(name), Err: err}
	}
	if !filepath.IsAbs(target) {
		target = d.at(target)
	}
	return filepath.Clean(target), nil
}

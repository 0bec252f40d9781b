package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// files is the directory of a log: what it needs of a file system, and where tests let it fail.
type files interface {
	open(name string) (file, error)
	create(name string, size int64) (file, error) // empty, with the space of size bytes reserved, which read as 0
	rename(from, to string) error                 // replaces
	remove(name string) error
	list() ([]string, error)
	sync() error          // of the directory: names
	free() (int64, error) // bytes of space
	moved() (bool, error) // another directory, or none, is at its path; the error is errUnreachable where none should be made
	reopen() error        // opens the directory at its path, and makes it when it is missing
	close() error
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Sync() error // of the content
}

// directory is a directory of the operating system, held open. Its files are opened by name in the open directory and no
// link is followed, so that a user who may write there cannot lead root to another file.
type directory struct {
	path   string
	handle *os.File
}

// openDirectory opens a directory. A link at the end of the path is followed only if it is root's, as is that of
// /var/lib/gpsbridge under DynamicUser=yes.
func openDirectory(path string) (*directory, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	fd, err := unix.Open(path, flags|unix.O_NOFOLLOW, 0)
	if err == unix.ELOOP || err == unix.ENOTDIR {
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			if st.Uid != 0 {
				return nil, &fs.PathError{Op: "open", Path: path, Err: errLink}
			}
			fd, err = unix.Open(path, flags, 0)
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &directory{path: path, handle: os.NewFile(uintptr(fd), path)}, nil
}

// makeDirectory is openDirectory of one that is made when it is missing.
func makeDirectory(path string) (*directory, error) {
	d, err := openDirectory(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if d, err = openDirectory(path); err != nil {
		return nil, err
	}
	if parent, err := openDirectory(filepath.Dir(path)); err == nil {
		parent.handOver(d.handle)
		_ = parent.close() // it was only read
	}
	return d, err
}

// sub opens a directory in d, and makes it when it is missing.
func (d *directory) sub(name string) (*directory, error) {
	err := unix.Mkdirat(d.fd(), name, 0o700)
	if err != nil && err != unix.EEXIST {
		return nil, &fs.PathError{Op: "mkdir", Path: d.at(name), Err: err}
	}
	fd, err := unix.Openat(d.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.at(name), Err: err}
	}
	below := &directory{path: d.at(name), handle: os.NewFile(uintptr(fd), d.at(name))}
	d.handOver(below.handle)
	return below, nil
}

// Errors of opening.
var (
	errLink        = errors.New("is a symbolic link, which is not followed: name the directory itself")
	errUnreachable = errors.New("the directory was moved, or its disk is not mounted any more")
)

func (d *directory) fd() int               { return int(d.handle.Fd()) }
func (d *directory) at(name string) string { return filepath.Join(d.path, name) }

// openat opens a regular file of the directory. Nothing else is opened: O_NONBLOCK keeps a FIFO from blocking.
func (d *directory) openat(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(d.fd(), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.at(name), Err: err}
	}
	f := os.NewFile(uintptr(fd), d.at(name))
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.Join(&fs.PathError{Op: "open", Path: d.at(name), Err: errors.New("is not a regular file")}, f.Close())
	}
	return f, nil
}

// open opens a file to read and write it, and on a file system that is read-only, as that of a worn card becomes, to read
// what there is: writing then fails as on any disk that cannot be written.
func (d *directory) open(name string) (file, error) {
	f, err := d.openat(name, unix.O_RDWR)
	if errors.Is(err, unix.EROFS) {
		if f, err = d.openat(name, unix.O_RDONLY); err == nil {
			return readOnly{osFile{f}}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// create makes a new file; one of that name is removed, never opened. It reserves the space, so that a full disk is met
// here and not in the middle of a record, and so that writing a record changes nothing but its own block: otherwise every
// sync would commit a new length through the file system's journal, three times the wear.
func (d *directory) create(name string, size int64) (file, error) {
	if err := d.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := d.openat(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return nil, err
	}
	err = reserve(f, size)
	if errors.Is(err, unix.EOPNOTSUPP) { // FAT and others: zeros without a reservation are the next best
		err = f.Truncate(size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reserve %d bytes for %q: %w", size, f.Name(), err), f.Close(), d.remove(name))
	}
	d.handOver(f)
	return osFile{f}, nil
}

// handOver gives what root has made, as with gpsbridge spool drop, to the owner of the directory: the service could not
// open it otherwise.
func (d *directory) handOver(f *os.File) {
	if os.Geteuid() != 0 {
		return
	}
	var st unix.Stat_t
	if err := unix.Fstat(d.fd(), &st); err == nil && st.Uid != 0 {
		_ = f.Chown(int(st.Uid), int(st.Gid)) // where root may not, it stays root's
	}
}

func (d *directory) rename(from, to string) error {
	if err := unix.Renameat(d.fd(), from, d.fd(), to); err != nil {
		return &os.LinkError{Op: "rename", Old: d.at(from), New: d.at(to), Err: err}
	}
	return nil
}

func (d *directory) remove(name string) error {
	if err := unix.Unlinkat(d.fd(), name, 0); err != nil {
		return &fs.PathError{Op: "remove", Path: d.at(name), Err: err}
	}
	return nil
}

func (d *directory) list() ([]string, error) {
	fd, err := unix.Openat(d.fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.path, Err: err}
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d *directory) has(name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "stat", Path: d.at(name), Err: err}
	}
	return nil
}

func (d *directory) sync() error { return d.handle.Sync() }

func (d *directory) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.fd(), &st); err != nil {
		return 0, fmt.Errorf("find free space of %q: %w", d.path, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

func (d *directory) moved() (bool, error) {
	var own, there unix.Stat_t
	if err := unix.Fstat(d.fd(), &own); err != nil {
		return false, &fs.PathError{Op: "stat", Path: d.path, Err: err}
	}
	switch err := unix.Stat(d.path, &there); {
	case err == nil:
		return own.Dev != there.Dev || own.Ino != there.Ino, nil
	case err != unix.ENOENT:
		return false, &fs.PathError{Op: "stat", Path: d.path, Err: err}
	case own.Nlink > 0: // it still exists, elsewhere
		return false, &fs.PathError{Op: "stat", Path: d.path, Err: errUnreachable}
	}
	return true, nil // it was deleted
}

func (d *directory) reopen() error {
	now, err := makeDirectory(d.path)
	if err != nil {
		return err
	}
	old := d.handle
	d.handle = now.handle
	return old.Close()
}

func (d *directory) close() error { return d.handle.Close() }

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Sync() error {
	if err := syncData(f.File); err != nil {
		return fmt.Errorf("sync %q: %w", f.Name(), err)
	}
	return nil
}

// readOnly is a file that takes nothing.
type readOnly struct{ osFile }

func (f readOnly) WriteAt([]byte, int64) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: f.Name(), Err: unix.EROFS}
}

// memory is a directory that lives and dies with the process. It is used under its log's lock.
type memory map[string]*memFile

func (m memory) open(name string) (file, error) {
	if f := m[name]; f != nil {
		return f, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (m memory) create(name string, size int64) (file, error) {
	m[name] = &memFile{size: size}
	return m[name], nil
}

func (m memory) rename(from, to string) error {
	m[to] = m[from]
	delete(m, from)
	return nil
}

func (m memory) remove(name string) error { delete(m, name); return nil }
func (m memory) list() ([]string, error)  { return nil, nil }
func (m memory) sync() error              { return nil }
func (m memory) free() (int64, error)     { return 1 << 62, nil }
func (m memory) moved() (bool, error)     { return false, nil }
func (m memory) reopen() error            { return nil }
func (m memory) close() error             { return nil }

// memFile is a file in memory. It takes memory for what was written, not for what was reserved.
type memFile struct {
	b    []byte
	size int64
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(f.b)) {
		n = copy(p, f.b[off:])
	}
	zeros := min(int64(len(p)), f.size-off)
	for ; int64(n) < zeros; n++ {
		p[n] = 0
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if gap := off - int64(len(f.b)); gap > 0 {
		f.b = append(f.b, make([]byte, gap)...)
	}
	n := copy(f.b[off:], p)
	f.b = append(f.b, p[n:]...)
	return len(p), nil
}

func (f *memFile) Size() (int64, error) { return f.size, nil }
func (f *memFile) Sync() error          { return nil }
func (f *memFile) Close() error         { return nil }

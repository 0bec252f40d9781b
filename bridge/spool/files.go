package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/directory"
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

// onDisk is a directory of the operating system.
type onDisk struct{ *directory.Directory }

var errUnreachable = errors.New("the directory was moved, or its disk is not mounted any more")

// open opens a file to read and write it, and on a file system that is read-only, as that of a worn card becomes, to read
// what there is: writing then fails as on any disk that cannot be written.
func (d *onDisk) open(name string) (file, error) {
	f, err := d.OpenFile(name, unix.O_RDWR, 0)
	if errors.Is(err, unix.EROFS) {
		if f, err = d.OpenFile(name, unix.O_RDONLY, 0); err == nil {
			return readOnly{osFile{f}}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// create makes a new file. It reserves the space, so that a full disk is met
// here and not in the middle of a record, and so that writing a record changes nothing but its own block: otherwise every
// sync would commit a new length through the file system's journal, three times the wear.
func (d *onDisk) create(name string, size int64) (file, error) {
	f, err := d.Create(name, 0o600)
	if err != nil {
		return nil, err
	}
	err = reserve(f, size)
	if errors.Is(err, unix.EOPNOTSUPP) { // FAT and others: zeros without a reservation are the next best
		err = f.Truncate(size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reserve %d bytes for %q: %w", size, f.Name(), err), f.Close(), d.Remove(name))
	}
	return osFile{f}, nil
}

func (d *onDisk) rename(from, to string) error { return d.Rename(from, to) }
func (d *onDisk) remove(name string) error     { return d.Remove(name) }
func (d *onDisk) list() ([]string, error)      { return d.Names() }
func (d *onDisk) sync() error                  { return d.Sync() }
func (d *onDisk) close() error                 { return d.Close() }
func (d *onDisk) fd() int                      { return int(d.Fd()) }

func (d *onDisk) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.fd(), &st); err != nil {
		return 0, fmt.Errorf("find free space of %q: %w", d.Name(), err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

func (d *onDisk) moved() (bool, error) {
	var own, there unix.Stat_t
	if err := unix.Fstat(d.fd(), &own); err != nil {
		return false, &fs.PathError{Op: "stat", Path: d.Name(), Err: err}
	}
	switch err := unix.Stat(d.Name(), &there); {
	case err == nil:
		return own.Dev != there.Dev || own.Ino != there.Ino, nil
	case err != unix.ENOENT:
		return false, &fs.PathError{Op: "stat", Path: d.Name(), Err: err}
	case own.Nlink > 0: // it still exists, elsewhere
		return false, &fs.PathError{Op: "stat", Path: d.Name(), Err: errUnreachable}
	}
	return true, nil // it was deleted
}

func (d *onDisk) reopen() error {
	now, err := directory.Make(d.Name())
	if err != nil {
		return err
	}
	old := d.Directory
	d.Directory = now
	return old.Close()
}

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

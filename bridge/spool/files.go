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

// files is the folder of a log: what it needs of a file system, and where tests let it fail.
type files interface {
	open(name string) (file, error)
	create(name string, size int64) (file, error) // empty, with the space of size bytes reserved, which read as 0
	rename(from, to string) error                 // replaces
	remove(name string) error
	list() ([]string, error)
	sync() error          // of the folder: names
	free() (int64, error) // bytes of space
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Sync() error // of the content
}

// folder is a folder of the operating system.
type folder string

func (d folder) path(name string) string { return filepath.Join(string(d), name) }

// open opens a file to read and write it, and on a file system that is read-only, as that of a worn card becomes, to read
// what there is: writing fails as on any disk that takes nothing.
func (d folder) open(name string) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR, 0)
	if errors.Is(err, unix.EROFS) {
		if f, err = os.Open(d.path(name)); err == nil {
			return readOnly{osFile{f}}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// create reserves the space, so that a full disk is met here and not in the middle of a record, and so that writing a
// record changes nothing but its own block: without it every sync would commit a new length through the file system's
// journal, three times the wear.
func (d folder) create(name string, size int64) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) { // FAT and others: zeros without a reservation are the next best
		err = f.Truncate(size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reserve %d bytes for %q: %w", size, f.Name(), err), f.Close(), os.Remove(f.Name()))
	}
	handOver(f.Name())
	return osFile{f}, nil
}

// handOver gives what root has made, as with gpsbridge spool drop, to the owner of the folder that it is in: the service
// could not open it.
func handOver(path string) {
	if os.Geteuid() != 0 {
		return
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Dir(path), &st); err == nil && st.Uid != 0 {
		_ = os.Lchown(path, int(st.Uid), int(st.Gid)) // where root may not, it stays root's
	}
}

func (d folder) rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }
func (d folder) remove(name string) error     { return os.Remove(d.path(name)) }

func (d folder) list() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d folder) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d folder) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(string(d), &st); err != nil {
		return 0, fmt.Errorf("find free space of %q: %w", string(d), err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Sync is fdatasync: times of the file are not worth a journal commit.
func (f osFile) Sync() error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %q: %w", f.Name(), err)
	}
	return nil
}

// readOnly is a file that takes nothing.
type readOnly struct{ osFile }

func (f readOnly) WriteAt([]byte, int64) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: f.Name(), Err: unix.EROFS}
}

// memory is a folder that lives and dies with the process. It is used under its log's lock.
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

package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/problem"
)

// maxFiles bounds how many files are kept where they are small: a service that is restarted all the time begins one each time.
const maxFiles = 1000

// opener makes the newest file. Tests have disks of their own.
type opener func() (io.WriteCloser, error)

// files are the newest file of a recording, which is being written, and the older ones beside it.
type files struct {
	path, head           string
	size, total, minFree int64
	open                 opener // f.create, as a rule

	file    io.WriteCloser
	written int64 // to file
}

// begin ends the file that is being written, and begins another.
func (f *files) begin() (err error) {
	if err = f.close(); err == nil {
		f.file, err = f.open()
		f.written = 0
	}
	return err
}

// create makes the newest file and claims it until it is closed. A recording that is there is numbered, and the oldest removed.
func (f *files) create() (io.WriteCloser, error) {
	dir, err := directory.Open(filepath.Dir(f.path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for {
		file, err := dir.OpenFile(filepath.Base(f.path), os.O_RDWR|os.O_CREATE, 0o640)
		if err != nil {
			return nil, err
		}
		size, err := f.claim(dir, file)
		if err == nil {
			err = f.makeRoom(dir, size)
		}
		if size == 0 && err == nil {
			return file, nil
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
	}
}

// claim locks an open file for us alone, until it is closed, which the kernel does for a program that dies. Two programs that record
// to one path would number and remove each other's files. Where the file system knows no locks (flock), nothing is claimed and
// nothing refused. It returns the size of what is there, which is a recording.
func (f *files) claim(dir *directory.Directory, file *os.File) (size int64, err error) {
	locked := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	var mine unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &mine); err != nil {
		return 0, err
	}
	now, err := dir.Lstat(filepath.Base(f.path))
	switch {
	case errors.Is(locked, unix.EWOULDBLOCK), err != nil || mine.Ino != now.Ino || mine.Dev != now.Dev: // another program has just set it aside
		return 0, wrong(Claimed, f.path, " is recorded by another program", "name another file")
	case mine.Size > 0 && !Recorded(file):
		return 0, wrong(UnusablePath, f.path, " exists and is not a recording", "name another file")
	}
	return mine.Size, nil
}

// makeRoom numbers the newest file if it has a size, and removes the oldest until there is room for one file more.
func (f *files) makeRoom(dir *directory.Directory, size int64) error {
	older, err := f.older(dir)
	if err != nil {
		return err
	}
	if size > 0 {
		next := 1
		if len(older) > 0 {
			next = older[len(older)-1].number + 1
		}
		newest := filepath.Base(f.path)
		return dir.Rename(newest, fmt.Sprintf("%s.%06d", newest, next))
	}
	var sum int64
	for _, o := range older {
		sum += o.size
	}
	for len(older) > 0 && (sum > f.total-f.size || len(older) >= maxFiles) {
		if err := dir.Remove(older[0].name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		sum -= older[0].size
		older = older[1:]
	}
	return nil
}

// olderFile is one that is no longer written.
type olderFile struct {
	name   string
	number int
	size   int64
}

// older lists them, oldest first.
func (f *files) older(dir *directory.Directory) ([]olderFile, error) {
	prefix := filepath.Base(f.path) + "."
	names, err := dir.Names()
	if err != nil {
		return nil, err
	}
	var all []olderFile
	for _, name := range names {
		digits, found := strings.CutPrefix(name, prefix)
		n, err := strconv.ParseUint(digits, 10, 31)
		if !found || err != nil || len(digits) < 6 {
			continue
		}
		st, err := dir.Lstat(name)
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue // it went meanwhile, or is none of ours
		}
		all = append(all, olderFile{name, int(n), st.Size})
	}
	slices.SortFunc(all, func(a, b olderFile) int { return a.number - b.number })
	return all, nil
}

// write writes blocks, into the next file when this one is full.
func (f *files) write(blocks []byte) error {
	if len(blocks) == 0 {
		return nil
	}
	if err := f.checkFree(); err != nil {
		return err
	}
	if f.written > 0 && f.written+int64(len(blocks)) > f.size {
		if err := f.begin(); err != nil {
			return err
		}
	}
	if f.written == 0 { // only now: a service that is restarted and receives nothing leaves no files
		if err := f.put([]byte(f.head)); err != nil {
			return err
		}
	}
	return f.put(blocks)
}

func (f *files) put(b []byte) error {
	n, err := f.file.Write(b)
	f.written += int64(n)
	return err
}

func (f *files) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// checkFree returns a problem when too little space is left for others.
func (f *files) checkFree() error {
	var st unix.Statfs_t
	if f.minFree < 0 || unix.Statfs(filepath.Dir(f.path), &st) != nil {
		return nil // a write shows it
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < f.minFree {
		return wrong(DiskFull, f.path, fmt.Sprintf(": less than %d MiB are free on the disk", f.minFree>>20), freeSpace)
	}
	return nil
}

const freeSpace = "free space, or record elsewhere"

// wrong is a problem of a path.
func wrong(code problem.Code, path, what, fix string) *problem.Problem {
	return &problem.Problem{Code: code, Key: "record", Cause: path + what, Fix: fix}
}

func notAFile(path string) *problem.Problem {
	return wrong(UnusablePath, path, " is not a file", "name one to record to")
}

// explain is the problem that err is, or else one of a path that failed.
func explain(path string, err error) *problem.Problem {
	p := problem.Of(err)
	switch {
	case p.Code != "":
		return p
	case errors.Is(err, unix.EISDIR), errors.Is(err, unix.ELOOP), errors.Is(err, directory.ErrNotRegular):
		p = notAFile(path)
	case errors.Is(err, fs.ErrNotExist):
		p = wrong(UnusablePath, path, ": its directory does not exist", "make it, or name another file")
	case errors.Is(err, unix.EROFS):
		p = wrong(UnusablePath, path, ": the disk is read-only, at least to this service", "name a file in its state directory")
	case errors.Is(err, fs.ErrPermission):
		p = wrong(UnusablePath, path, ": permission denied", "name a file in a directory that this user may write to")
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		p = wrong(DiskFull, path, ": the disk is full", freeSpace)
	default:
		p = wrong(WriteFailed, path, ": "+err.Error(), "")
	}
	p.Err = err
	return p
}

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

	"gpsbridge/bridge/problem"

	"golang.org/x/sys/unix"
)

// maxFiles bounds how many files are kept where they are small: a service that is restarted all the time begins one each time.
const maxFiles = 1000

// opener makes a new file. Tests have disks of their own.
type opener func(path string) (io.WriteCloser, error)

// onDisk claims the file that it makes, until that is closed.
func onDisk(path string) (io.WriteCloser, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o640) // what is there is empty: the rest was set aside
	if err != nil {
		return nil, err
	}
	if err := claim(file, path); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// files are the newest file of a recording, which is being written, and the older ones beside it.
type files struct {
	path, head           string
	size, total, minFree int64
	open                 opener

	file    io.WriteCloser
	written int64 // to file
}

// begin begins a file, and ends the one before it only then: what it claims is claimed all the time.
func (f *files) begin() error {
	info, err := f.present()
	if err != nil {
		return err
	}
	if err := f.setAside(info); err != nil {
		return err
	}
	file, err := f.open(f.path)
	if err != nil {
		return cannotCreate(f.path, err)
	}
	err = f.close()
	f.file, f.written = file, 0
	return err
}

// present looks at the file that is there, nil for none. The error is why it cannot be set aside.
func (f *files) present() (os.FileInfo, error) {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, cannotCreate(f.path, err)
	case !info.Mode().IsRegular():
		return nil, wrong(UnusablePath, f.path, " is not a file", "name one to record to")
	case info.Size() > 0:
		if ours, err := isRecording(f.path); err != nil || !ours {
			p := wrong(UnusablePath, f.path, " exists and is not a recording", "name another file")
			p.Err = err
			return nil, p
		}
	}
	if file, ok := f.file.(*os.File); ok {
		if mine, err := file.Stat(); err == nil && os.SameFile(mine, info) {
			return info, nil // claimed by us
		}
	}
	return info, claimable(f.path)
}

// setAside numbers the file that is there, and removes the oldest.
func (f *files) setAside(info os.FileInfo) error {
	older, err := f.older()
	if err != nil {
		return err
	}
	if info != nil && info.Size() > 0 {
		next := 1
		if len(older) > 0 {
			next = older[len(older)-1].number + 1
		}
		aside := fmt.Sprintf("%s.%06d", f.path, next)
		if err := os.Rename(f.path, aside); err != nil {
			return err
		}
		older = append(older, olderFile{aside, next, info.Size()})
	}
	return f.prune(older)
}

// prune removes the oldest until there is room for one file more.
func (f *files) prune(older []olderFile) error {
	var sum int64
	for _, o := range older {
		sum += o.size
	}
	for len(older) > 0 && (sum > f.total-f.size || len(older) >= maxFiles) {
		if err := os.Remove(older[0].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		sum -= older[0].size
		older = older[1:]
	}
	return nil
}

// olderFile is one that is no longer written.
type olderFile struct {
	path   string
	number int
	size   int64
}

// older lists them, oldest first.
func (f *files) older() ([]olderFile, error) {
	dir, prefix := filepath.Dir(f.path), filepath.Base(f.path)+"."
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, cannotCreate(f.path, err)
	}
	var all []olderFile
	for _, e := range entries {
		digits, found := strings.CutPrefix(e.Name(), prefix)
		n, err := strconv.ParseUint(digits, 10, 31)
		if !found || err != nil || len(digits) < 6 {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // it went meanwhile, or is none of ours
		}
		all = append(all, olderFile{filepath.Join(dir, e.Name()), int(n), info.Size()})
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
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return wrong(DiskFull, f.path, ": the disk is full", freeSpace)
	}
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

func isRecording(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(file, head); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return Recorded(head), nil
}

const freeSpace = "free space, or record elsewhere"

// wrong is a problem of a path.
func wrong(code problem.Code, path, what, fix string) *problem.Problem {
	return &problem.Problem{Code: code, Key: "record", Cause: path + what, Fix: fix}
}

// cannotCreate is why a file cannot be made.
func cannotCreate(path string, err error) *problem.Problem {
	p := problem.Of(err)
	switch {
	case p.Code != "":
		return p
	case errors.Is(err, fs.ErrNotExist):
		p = wrong(UnusablePath, path, ": its directory does not exist", "make it, or name another file")
	case errors.Is(err, unix.EROFS):
		p = wrong(UnusablePath, path, ": the disk is read-only, at least to this service", "name a file in its state directory")
	case errors.Is(err, fs.ErrPermission):
		p = wrong(UnusablePath, path, ": permission denied", "name a file in a directory that this user may write to")
	default:
		p = classified(path, err)
	}
	p.Err = err
	return p
}

// classified is the problem that err is, or else one of a path that failed.
func classified(path string, err error) *problem.Problem {
	if p := problem.Of(err); p.Code != "" {
		return p
	}
	p := wrong(WriteFailed, path, ": "+err.Error(), "")
	p.Err = err
	return p
}

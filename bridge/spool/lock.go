package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
)

// lockName is the file that the one process holds which has a spool open. It stays when the spool is closed: the lock
// is on the file, not in its existence, so a crash leaves nothing to clear away.
const lockName = "lock"

// ErrInUse is what a problem with CodeInUse wraps.
var ErrInUse = errors.New("another gpsbridge is using this spool")

// lock takes a folder for this process until the file is closed.
func lock(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EROFS) {
		f, err = os.Open(path) // where there has been a spool before
	}
	if err != nil {
		return nil, err
	}
	if err := hold(f, dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// hold takes the lock until f is closed.
func hold(f *os.File, dir string) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &problem.Problem{Code: CodeInUse, Key: "dir", Cause: fmt.Sprintf("%v: %q", ErrInUse, dir), Err: ErrInUse,
			Fix: "stop it, or give this one a directory of its own"}
	}
	if err != nil {
		return fmt.Errorf("lock %q: %w", dir, err)
	}
	return nil
}

// Free says whether a folder could be opened now, as Open would: an error that is ErrInUse names the folder. It changes
// nothing.
func Free(dir string) error {
	f, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(hold(f, dir), f.Close())
}

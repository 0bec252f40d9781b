package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockName is the file that the one process holds which has a spool open. It stays when the spool is closed: the lock
// is on the file, not in its existence, so a crash leaves nothing to clear away.
const lockName = "lock"

// ErrInUse is a folder that another process has open.
var ErrInUse = errors.New("another gpsbridge is using this spool")

// lock takes a folder for this process until the file is closed.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("lock %q: %w: stop it, or give this one a folder of its own", dir, ErrInUse)
	} else if err != nil {
		err = fmt.Errorf("lock %q: %w", dir, err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

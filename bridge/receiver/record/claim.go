package record

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// claim takes an open file at a path for us alone, until it is closed, which the kernel does for a program that dies. Two
// programs that record to one path would number and remove each other's files. Where the file system knows no locks (flock),
// nothing is claimed and nothing refused.
func claim(file *os.File, path string) error {
	taken := wrong(Claimed, path, " is recorded by another program", "name another file")
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return taken
	}
	// Who was about to set it aside may have done so since it was opened.
	mine, err := file.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(mine, now) {
		return taken
	}
	return nil
}

// claimable says why the file at a path cannot be claimed.
func claimable(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return cannotCreate(path, err)
	}
	defer file.Close()
	return claim(file, path)
}

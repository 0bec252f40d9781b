package record

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// claim locks an open file at a path for us alone, until it is closed, which the kernel does for a program that dies. Two
// programs that record to one path would number and remove each other's files. Where the file system knows no locks (flock),
// nothing is claimed and nothing refused.
func claim(file *os.File, path string) error {
	claimed := wrong(Claimed, path, " is recorded by another program", "name another file")
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return claimed
	}
	// Another program may have set it aside since it was opened.
	mine, err := file.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(mine, now) {
		return claimed
	}
	return nil
}

// claimable returns why the file at a path cannot be claimed.
func claimable(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return cannotCreate(path, err)
	}
	defer file.Close()
	return claim(file, path)
}

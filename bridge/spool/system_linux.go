package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// reserve gives a file its blocks. unix.EOPNOTSUPP is of a file system that cannot.
func reserve(f *os.File, size int64) error { return unix.Fallocate(int(f.Fd()), 0, 0, size) }

// syncData is fdatasync: times of the file are not worth a journal commit.
func syncData(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// isTmpfs reports whether what a directory holds is lost with the power.
func isTmpfs(dir string) bool {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	return err == nil && int64(st.Type) == unix.TMPFS_MAGIC
}

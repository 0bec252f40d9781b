//go:build !linux

package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

func reserve(*os.File, int64) error { return unix.EOPNOTSUPP }

func syncData(f *os.File) error { return f.Sync() }

func isTmpfs(string) bool { return false }

//go:build !linux

package main

import "golang.org/x/sys/unix"

// What reads and sets the mode of a terminal on the BSDs and macOS.
const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA
	// flushTermios also drops what was typed and not read.
	flushTermios = unix.TIOCSETAF
)

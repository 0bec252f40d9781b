package main

import "golang.org/x/sys/unix"

// What reads and sets the mode of a terminal.
const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
	// flushTermios also drops what was typed and not read.
	flushTermios = unix.TCSETSF
)

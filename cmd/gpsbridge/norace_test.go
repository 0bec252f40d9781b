//go:build !race

package main

const (
	raced        = false // the race detector makes system calls of its own
	hoursOffline = 24    // of TestDayOffline: the server, which no detector watches, takes most of the time
)

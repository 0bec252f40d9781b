//go:build !linux

package bridge

// ClockSynchronised is true: these systems run on machines with a battery and a time service.
func ClockSynchronised() bool { return true }

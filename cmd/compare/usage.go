package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// cpuTime is the processor time that a process has used, over all its threads, in the kernel and outside. It is counted
// by the scheduler in nanoseconds; /proc/PID/stat has it in hundredths of a second only. A thread that ended takes its
// time with it: neither program ends any while it is measured.
func cpuTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err == nil && len(files) == 0 {
		err = os.ErrNotExist
	}
	if err != nil {
		return 0, fmt.Errorf("read processor time of process %d: %w", pid, err)
	}
	var total time.Duration
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return 0, fmt.Errorf("read processor time: %w", err)
		}
		ns, _, _ := bytes.Cut(b, []byte{' '})
		n, err := strconv.ParseInt(string(ns), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read processor time from %s: %w", f, err)
		}
		total += time.Duration(n)
	}
	return total, nil
}

// loadAverage is how many processes wanted a processor in the last minute, "unknown" where the system does not tell.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := bytes.Cut(b, []byte{' '})
	return string(load)
}

// residentMemory is the memory of a process that is in RAM, in bytes: its own and what it shares with others, such as
// the code of libraries.
func residentMemory(pid int) (int64, error) { return memoryOf(pid, "VmRSS:") }

// peakMemory is the most that residentMemory ever was.
func peakMemory(pid int) (int64, error) { return memoryOf(pid, "VmHWM:") }

func memoryOf(pid int, key string) (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	for line := range bytes.Lines(b) {
		if value, ok := bytes.CutPrefix(line, []byte(key)); ok {
			kb, err := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read resident memory from %s: %w", path, err)
			}
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("read resident memory: %s has no %s", path, key)
}

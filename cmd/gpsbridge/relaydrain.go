package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"gpsbridge/cmd/internal/command"
)

// drainRelay has a relay of this machine close the connections that it has, as slowly as relay.Relay.Rebalance does. pid is its process, 0
// for the only one.
func drainRelay(p command.Process, pid int) error {
	relays := relaysHere()
	switch {
	case pid != 0 && !relays[pid]:
		return fmt.Errorf("process %d is not a gpsbridge relay: leave out --pid, or give that of one", pid)
	case pid != 0:
	case len(relays) == 0:
		return fmt.Errorf("no gpsbridge relay runs on this machine: run this where one does")
	case len(relays) > 1:
		return command.Misusef("%d relays run on this machine: choose one of the processes %d with --pid N", len(relays), slices.Sorted(maps.Keys(relays)))
	default:
		for pid = range relays {
		}
	}
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		return fmt.Errorf("ask the relay, process %d, to close its connections: %w: run this as root, or as the user of the relay", pid, err)
	}
	fmt.Fprintf(p.Stdout, "The relay, process %d, closes the connections that it has now, 1 %% of them a second, or one, and goes on admitting.\n", pid)
	return nil
}

// relaysHere finds the processes that are relays: gpsbridge relay, which would not end by SIGUSR1.
func relaysHere() map[int]bool {
	all := make(map[int]bool)
	processes, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	for _, dir := range processes {
		line, err := os.ReadFile(dir + "/cmdline")
		if err != nil { // it has ended
			continue
		}
		status, err := os.ReadFile(dir + "/status")
		if err != nil {
			continue
		}
		args := strings.Split(string(line), "\x00")
		_, mask, _ := bytes.Cut(status, []byte("\nSigCgt:"))
		mask, _, _ = bytes.Cut(mask, []byte("\n"))
		caught, err := strconv.ParseUint(string(bytes.TrimSpace(mask)), 16, 64)
		pid, _ := strconv.Atoi(filepath.Base(dir)) // digits
		if err == nil && caught&(1<<(syscall.SIGUSR1-1)) != 0 && len(args) > 1 && args[1] == "relay" && strings.HasPrefix(filepath.Base(args[0]), "gpsbridge") {
			all[pid] = true
		}
	}
	delete(all, os.Getpid())
	return all
}

package serial

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ModemManager reports whether that program runs, and whether a udev rule keeps it off a port: it takes each new USB port for
// a modem's, opens it and writes to it.
func ModemManager(p Port) (running, keptOff bool) {
	return machine.runs("ModemManager"), machine.keptOff(p.Device)
}

// runs reports whether a process of a program exists that can be seen.
func (s system) runs(program string) bool {
	processes, err := filepath.Glob(filepath.Join(s.proc, "[0-9]*"))
	if err != nil {
		return false
	}
	for _, process := range processes {
		if attribute(process, "comm") == program {
			return true
		}
	}
	return false
}

// keptOff looks for the marks of a udev rule (ModemManager's own documentation, "Port and device detection").
func (s system) keptOff(device string) bool {
	rdev, ok := characterDevice(device)
	if !ok {
		return false
	}
	data, err := os.ReadFile(filepath.Join(s.udev, fmt.Sprintf("c%d:%d", unix.Major(rdev), unix.Minor(rdev))))
	return err == nil && (strings.Contains(string(data), "E:ID_MM_DEVICE_IGNORE=1") || strings.Contains(string(data), "E:ID_MM_PORT_IGNORE=1"))
}

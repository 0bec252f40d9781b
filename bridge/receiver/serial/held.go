package serial

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// holder is a process that has a port open.
type holder struct {
	program string
	pid     int
}

func (h holder) String() string { return fmt.Sprintf("%s (pid %d)", h.program, h.pid) }

// holders looks through all processes for those that have one of the nodes open. A service that is kept from seeing other
// processes finds none; there the claim on a port (TIOCEXCL, flock) has to do.
func (s system) holders(nodes []string) map[string]holder {
	devices := map[uint64]string{}
	for _, node := range nodes {
		if rdev, ok := characterDevice(node); ok {
			devices[rdev] = node
		}
	}
	found := map[string]holder{}
	if len(devices) == 0 {
		return found
	}
	for _, process := range s.processes() {
		for _, rdev := range openDevices(process) {
			node, ours := devices[rdev]
			if _, known := found[node]; ours && !known {
				found[node] = processAt(process)
			}
		}
	}
	return found
}

// holds reports whether a process still has a node open.
func (s system) holds(by holder, node string) bool {
	rdev, ok := characterDevice(node)
	return ok && slices.Contains(openDevices(filepath.Join(s.proc, strconv.Itoa(by.pid))), rdev)
}

// lookout remembers which programs held ports when all processes were looked through last, which takes ten thousand system
// calls on a busy machine and is not for every second.
type lookout struct {
	at       time.Time
	nodes    []string
	holders  map[string]holder
	listened bool // to a port since then, which another program may have opened meanwhile
}

// lookAgain is after how long the processes are looked through again while the ports are the same and those that hold some
// still do.
const lookAgain = time.Minute

// look returns which programs hold the nodes. again means to look even if that was just done.
func (l *lookout) look(s system, nodes []string, again bool) map[string]holder {
	if again || !l.current(s, nodes) {
		*l = lookout{at: time.Now(), nodes: nodes, holders: s.holders(nodes)}
	}
	return l.holders
}

// current reports whether what was seen still holds for these nodes.
func (l *lookout) current(s system, nodes []string) bool {
	if l.at.IsZero() || time.Since(l.at) > lookAgain || !slices.Equal(nodes, l.nodes) {
		return false
	}
	for node, by := range l.holders {
		if !s.holds(by, node) {
			return false
		}
	}
	return true
}

// named names the program that holds the port, as far as can be seen, when that is why it could not be opened.
func (l *lookout) named(s system, path string, err error) error {
	p := s.port(path)
	if problem.CodeOf(err) != source.Held {
		return err
	}
	if by, seen := l.look(s, []string{p.node}, false)[p.node]; seen {
		return heldBy(p, by)
	}
	return err
}

// openDevices are the devices that a process has open.
func openDevices(process string) (all []uint64) {
	dir := filepath.Join(process, "fd")
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil // ended meanwhile, or not ours to see
	}
	for _, name := range names {
		path := filepath.Join(dir, name.Name())
		// The name spares asking what most descriptors are: files and sockets. It is not believed further: a
		// container has other names for the same device.
		if target, err := os.Readlink(path); err != nil || !strings.HasPrefix(target, "/dev/") {
			continue
		}
		if rdev, ok := characterDevice(path); ok && !slices.Contains(all, rdev) {
			all = append(all, rdev)
		}
	}
	return all
}

// characterDevice returns the number of the device that a path leads to.
func characterDevice(path string) (uint64, bool) {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(stat.Rdev), true
}

func processAt(dir string) holder {
	pid, _ := strconv.Atoi(filepath.Base(dir)) // the pattern matched digits, so it is a number
	program := attribute(dir, "comm")
	if program == "" {
		program = "another program"
	}
	return holder{program, pid}
}

// consoles names the terminals that the system writes its messages to, and those of its command line: a getty may
// be on them, and an open would change their speed.
func (s system) consoles() []string {
	names := strings.Fields(attribute(filepath.Join(s.sys, "class/tty/console"), "active"))
	if text, err := os.ReadFile(filepath.Join(s.proc, "consoles")); err == nil {
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > 0 {
				names = append(names, fields[0])
			}
		}
	}
	for _, word := range strings.Fields(attribute(s.proc, "cmdline")) {
		if name, ok := strings.CutPrefix(word, "console="); ok {
			name, _, _ = strings.Cut(name, ",")
			// A Raspberry Pi's configuration has serial0, and other names are links too.
			names = append(names, name, filepath.Base(s.device(filepath.Join(s.dev, name))))
		}
	}
	return names
}

func onConsole(path string) *problem.Problem {
	return &problem.Problem{Code: source.Console, Cause: path + " is the system console", Fix: "take it out of the kernel command line " +
		"(Raspberry Pi: raspi-config, Interface Options, Serial Port: no login shell, hardware enabled), then reboot"}
}

// stopping is how a program is stopped that is known to open ports.
var stopping = map[string]string{
	"gpsd":         `"sudo systemctl disable --now gpsd.socket gpsd", or read through it with --device gpsd://localhost:2947`,
	"ModemManager": `"sudo systemctl disable --now ModemManager" where no modem needs it, or a udev rule with ID_MM_DEVICE_IGNORE`,
	"agetty":       `a login shell runs on it: "sudo systemctl disable --now serial-getty@%s"`,
	"gpsbridge":    "it is being read already",
}

// Stopping returns how a program is stopped that is known to open ports, "" for others.
func Stopping(program string) string { return stopping[program] }

func heldBy(p Port, by holder) *problem.Problem {
	fix, ok := stopping[by.program]
	switch {
	case !ok:
		fix = "stop it, or name another port with --device"
	case strings.Contains(fix, "%s"):
		fix = fmt.Sprintf(fix, filepath.Base(p.Device))
	}
	return &problem.Problem{Code: source.Held, Cause: fmt.Sprintf("%s is held by %v", p.Path, by), Fix: fix}
}

// ModemManager reports whether that program runs, and whether a udev rule keeps it off a port: it takes each new USB port for
// a modem's, opens it and writes to it.
func ModemManager(p Port) (running, keptOff bool) {
	return machine.runs("ModemManager"), machine.keptOff(p.Device)
}

// runs reports whether a process of a program exists that can be seen.
func (s system) runs(program string) bool {
	return slices.ContainsFunc(s.processes(), func(process string) bool { return attribute(process, "comm") == program })
}

// processes are the directories of all that can be seen.
func (s system) processes() []string {
	all, _ := filepath.Glob(filepath.Join(s.proc, "[0-9]*")) // an error is a malformed pattern only
	return all
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

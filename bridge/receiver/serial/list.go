package serial

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// Port is a serial port that may have a receiver.
type Port struct {
	// Path is the name that stays the same wherever the receiver is plugged in, as far as the port has one.
	Path string `json:"path"`
	// Device is what Path leads to: /dev/ttyUSB0.
	Device string `json:"device"`
	// Name is the hardware's own. Empty where it has none.
	Name string `json:"name,omitempty"`
	// Driver is the kernel's, such as ftdi_sio; IDs are the USB vendor and product, such as 1546:01a8. Empty where unknown.
	Driver string `json:"driver,omitempty"`
	IDs    string `json:"ids,omitempty"`
	// Problem is why the port cannot be used, nil where nothing is known against it.
	Problem *problem.Problem `json:"problem,omitempty"`

	node string // Device with every link followed
	rank rank
}

// Ports lists the ports on which a receiver may be, best first, those with a problem too. Nothing is opened.
func Ports() []Port { return machine.ports() }

// Inspect looks at one port, by any of its names, as Ports does. Nothing is opened.
func Inspect(path string) Port { return machine.inspect(path) }

// system is where the kernel and udev show devices and processes. A test lays out directories of its own.
type system struct {
	dev, sys, proc, udev string
}

var machine = system{dev: "/dev", sys: "/sys", proc: "/proc", udev: "/run/udev/data"}

// portPatterns are where receivers appear, below /dev. What a udev rule named for this, first; then the names that stay the
// same wherever the receiver is plugged in (an adapter without a serial number, as CH340 are, has only the one that names the
// socket); then the UART of a Raspberry Pi, whose name is right on all models up to 4 (the others moved between kernels); then
// what is left, by number; last the UARTs of other boards, serial ports of PCs and Bluetooth.
var portPatterns = []string{"gps[0-9]*", "serial/by-id/*", "serial/by-path/*", "serial0", "ttyACM*", "ttyUSB*", "ttyAMA*", "ttyTHS*", "ttySC*", "ttyS[0-9]*", "rfcomm*"}

// patterns are portPatterns as paths.
func (s system) patterns() []string {
	var all []string
	for _, p := range portPatterns {
		all = append(all, filepath.Join(s.dev, p))
	}
	return all
}

func (s system) ports() []Port {
	ports := s.list()
	s.judge(ports, s.holders(nodes(ports)))
	return ports
}

// list is ports before they are judged. A link to what was just unplugged is none.
func (s system) list() (ports []Port) {
	for _, name := range s.names() {
		p := s.port(name)
		if p.node != "" && !s.absent(p) && !slices.ContainsFunc(ports, func(other Port) bool { return other.node == p.node }) {
			ports = append(ports, p)
		}
	}
	slices.SortStableFunc(ports, func(a, b Port) int { return cmp.Compare(a.rank, b.rank) })
	return ports
}

func nodes(ports []Port) (all []string) {
	for _, p := range ports {
		all = append(all, p.node)
	}
	return all
}

func (s system) inspect(path string) Port {
	p := s.port(path)
	if err := checkDevice(path); err != nil {
		p.Problem = problem.Of(err)
		return p
	}
	one := []Port{p}
	s.judge(one, s.holders(nodes(one)))
	return one[0]
}

// absent reports that a port of a PC has no hardware, as most of those that the kernel makes device files for.
func (s system) absent(p Port) bool {
	base := filepath.Base(p.Device)
	if !strings.HasPrefix(base, "ttyS") || strings.HasPrefix(base, "ttySC") {
		return false
	}
	kind := attribute(filepath.Join(s.sys, "class/tty", base), "type") // PORT_UNKNOWN of linux/serial_core.h is 0
	return kind == "" || kind == "0"
}

// port describes what a name leads to; it has no node where that does not exist.
func (s system) port(name string) Port {
	node, err := filepath.EvalSymlinks(name)
	p := Port{Path: name, Device: s.device(name), node: node}
	if err == nil {
		s.describe(&p)
	}
	return p
}

// device follows links as long as they stay among the devices.
func (s system) device(name string) string {
	for range 8 {
		target, err := os.Readlink(name)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(name), target)
		}
		if !strings.HasPrefix(target, s.dev+"/") {
			break
		}
		name = target
	}
	return name
}

// judge notes for each port why it cannot be used.
func (s system) judge(ports []Port, holders map[string]holder) {
	if len(ports) == 0 {
		return
	}
	consoles := s.consoles()
	for i := range ports {
		p := &ports[i]
		switch by, held := holders[p.node]; {
		case slices.Contains(consoles, filepath.Base(p.Device)):
			p.Problem = onConsole(p.Path)
		case held:
			p.Problem = heldBy(*p, by)
		default:
			p.Problem = noAccess(p.Path)
		}
	}
}

// noAccess asks whether an open would be refused, without doing it: an open can reset what is connected to the port. It is nil
// when it would not.
func noAccess(path string) *problem.Problem {
	err := unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.W_OK, unix.AT_EACCESS)
	if err == nil {
		return nil
	}
	return explain(path, err)
}

// names lists what is there, in the order of the patterns and sorted within one.
func (s system) names() (all []string) {
	for _, pattern := range s.patterns() {
		names, _ := filepath.Glob(pattern) // an error is a malformed pattern only
		all = append(all, names...)
	}
	return all
}

// noPort is the problem of a machine without a port on which a receiver could be.
func (s system) noPort() *problem.Problem {
	p := &problem.Problem{Code: source.NoPort, Cause: fmt.Sprintf("no receiver found (looked for %s)", strings.Join(s.patterns(), ", ")),
		Fix: "plug one in, or name its port with --device"}
	if s.onPi5() {
		p.Fix += "; " + gpioOfPi5
	}
	return p
}

package doctor

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/source"
)

// The links of a receiver, in their order.
var (
	portLinks = []string{"port", "permission", "console", "holder", "modemmanager"}
	lineLinks = []string{"bytes", "baud", "sentences", "satellites", "fix"}
)

// links holds to which link a problem of a receiver belongs, by its code. What is not listed belongs to the port.
var links = map[problem.Code]string{
	source.Permission:   "permission",
	source.DevicePolicy: "permission",
	source.ListenDenied: "permission",

	source.Console: "console",
	source.Held:    "holder",

	source.Silent: "bytes",
	source.Empty:  "bytes",

	source.Speed:            "baud",
	source.NoSentence:       "baud",
	source.NoSentenceAt:     "baud",
	source.SentencesStopped: "baud",

	source.NotNMEA:         "sentences",
	source.BinaryUBX:       "sentences",
	source.BinarySiRF:      "sentences",
	source.NoSentenceInLog: "sentences",
}

// linkOf is the link that a problem belongs to, "" for no problem.
func linkOf(p *problem.Problem) string {
	if p == nil {
		return ""
	}
	return cmp.Or(links[p.Code], "port")
}

// isSerial says whether a source is a serial port, found or named.
func isSerial(source string) bool {
	return source == receiver.DefaultSource || strings.HasPrefix(source, receiver.DefaultSource+"?") || strings.HasPrefix(source, "/")
}

// inspect looks at the port that a receiver is on, or else at the first candidate; none has no path. Others are the
// remaining candidates.
func inspect(o observed) (p receiver.Port, others []string) {
	ports := receiver.Ports()
	path, _, _ := strings.Cut(o.Source, "?")
	switch {
	case o.Port != "":
		p = receiver.Inspect(o.Port)
	case strings.HasPrefix(path, "/"):
		p = receiver.Inspect(path)
	case len(ports) > 0:
		p = ports[0]
	}
	for _, other := range ports {
		if other.Device != p.Device {
			others = append(others, other.Path)
		}
	}
	return p, others
}

// trouble is why there is nothing to read, nil while there is something.
func trouble(o observed, p receiver.Port) *problem.Problem {
	switch {
	case o.Problem == nil:
		return nil
	case p.Problem != nil && (linkOf(p.Problem) == linkOf(o.Problem) || o.Port == "" && !endOfProgram(p)):
		return p.Problem // it has more than an open that was refused
	}
	return o.Problem
}

// endOfProgram says whether a port is held because it is a pseudo-terminal: then a program has to hold the other end, and
// often this one too.
func endOfProgram(p receiver.Port) bool {
	node, err := filepath.EvalSymlinks(p.Path)
	return err == nil && strings.HasPrefix(node, "/dev/pts/") && linkOf(p.Problem) == "holder"
}

// port judges everything up to the open port. It returns the link that is broken, "" when all hold, and the problem.
func (e *examination) port(o observed, suffix string) (broken string, why *problem.Problem) {
	if !isSerial(o.Source) {
		return e.otherSource(o, suffix), o.Problem
	}
	p, others := inspect(o)
	why = trouble(o, p)
	broken = linkOf(why)
	reached := true
	for _, name := range portLinks {
		switch {
		case name == broken:
			e.add(fromProblem(name+suffix, Broken, why))
			reached = false
		case !reached:
			e.blocked(name+suffix, broken+suffix)
		default:
			l := e.portLink(name, o.beside, p, others)
			l.Name = name + suffix
			e.add(l)
		}
	}
	return broken, why
}

// otherSource is for what is read from the network, a file or standard input.
func (e *examination) otherSource(o observed, suffix string) (broken string) {
	broken = linkOf(o.Problem)
	if slices.Contains(portLinks, broken) { // of which a source that is not serial has only the first
		broken = "port"
		e.add(fromProblem("port"+suffix, Broken, o.Problem))
	} else {
		e.add(Link{Name: "port" + suffix, State: OK, Seen: o.Source})
	}
	for _, name := range portLinks[1:] {
		e.add(Link{Name: name + suffix, State: Skipped, Seen: "not a serial port"})
	}
	return broken
}

// portLink is a link that holds.
func (e *examination) portLink(name string, beside bool, p receiver.Port, others []string) Link {
	l := Link{State: OK}
	switch name {
	case "port":
		l.Seen = strings.TrimSpace(p.Path + " " + p.Name)
		if len(others) > 0 {
			l.Seen += "; there are also " + strings.Join(others, ", ")
		}
	case "permission":
		l.Seen = access(p.Path)
	case "console":
		l.Seen = "not the system's"
		if linkOf(p.Problem) == name {
			return fromProblem(name, Warning, p.Problem)
		}
	case "holder":
		l.Seen = "nobody else reads it"
		switch {
		case beside:
			l.Seen = "the daemon reads it"
		case linkOf(p.Problem) == name && !endOfProgram(p):
			return fromProblem(name, Warning, p.Problem)
		}
	case "modemmanager":
		return machine.modemManager(p)
	}
	return l
}

// fromProblem is a link by a problem of another package.
func fromProblem(name string, s State, p *problem.Problem) Link {
	return Link{Name: name, State: s, Seen: p.Cause, Mend: p.Fix, mark: ": "}
}

// access says who may use a port, as ls does.
func access(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "it can be opened"
	}
	seen := strings.TrimPrefix(info.Mode().String(), "D") // as ls writes it: c is enough
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		group := strconv.Itoa(int(stat.Gid))
		if g, err := user.LookupGroupId(group); err == nil {
			group = g.Name
		}
		seen += ", group " + group
	}
	return seen
}

// system is where the kernel and udev keep what they know. A test lays out folders of its own.
type system struct {
	proc, udev string
}

var machine = system{proc: "/proc", udev: "/run/udev/data"}

// modemManager looks whether ModemManager runs that was not told to keep off a port: it takes each new USB port for a
// modem's, opens it and talks to it.
func (s system) modemManager(p receiver.Port) Link {
	const program = "ModemManager"
	if p.IDs == "" {
		return Link{State: Skipped, Seen: "not a USB port"}
	}
	names, err := filepath.Glob(filepath.Join(s.proc, "[0-9]*", "comm"))
	running := false
	for _, name := range names {
		comm, err := os.ReadFile(name)
		running = running || err == nil && strings.TrimSpace(string(comm)) == program
	}
	switch {
	case err != nil || !running:
		return Link{State: OK, Seen: "does not run"}
	case s.toldToKeepOff(p.Device):
		return Link{State: OK, Seen: "runs, and was told to keep off"}
	}
	return Link{State: Warning, Seen: "runs, and was not told to keep off " + p.Path, Mend: receiver.Stopping(program)}
}

// toldToKeepOff looks for the marks of a udev rule (ModemManager's own documentation, "Port and device detection").
func (s system) toldToKeepOff(device string) bool {
	var st unix.Stat_t
	if unix.Stat(device, &st) != nil {
		return false
	}
	rdev := uint64(st.Rdev)
	data, err := os.ReadFile(filepath.Join(s.udev, fmt.Sprintf("c%d:%d", unix.Major(rdev), unix.Minor(rdev))))
	return err == nil && (strings.Contains(string(data), "E:ID_MM_DEVICE_IGNORE=1") || strings.Contains(string(data), "E:ID_MM_PORT_IGNORE=1"))
}

package doctor

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/receiver"
)

// The links of a receiver, in their order.
var (
	portLinks = []string{"port", "permission", "console", "holder", "modemmanager"}
	lineLinks = []string{"bytes", "baud", "sentences", "satellites", "fix"}
)

// linkOf is the link that a sentence of package receiver belongs to, by the words that its tests hold on to.
func linkOf(sentence string) string {
	for _, w := range []struct{ words, link string }{
		{"permission denied", "permission"},
		{"is forbidden to this service", "permission"},
		{"is the system console", "console"},
		{"is held by", "holder"},
		{"sends nothing", "bytes"},
		{"has sent nothing", "bytes"},
		{"hears nothing", "bytes"},
		{"speaks ", "sentences"},
		{"no NMEA sentence", "baud"},
	} {
		if strings.Contains(sentence, w.words) {
			return w.link
		}
	}
	return "port"
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

// trouble is the sentence that says why there is nothing to be read, "" while there is.
func trouble(o observed, p receiver.Port) string {
	same := linkOf(p.Trouble) == linkOf(o.Detail)
	switch {
	case o.State != receiver.Waiting && o.State != receiver.Silent:
		return ""
	case p.Trouble != "" && (same || o.Port == "" && !endOfProgram(p)):
		return p.Trouble // it knows more than an open that was refused
	}
	return o.Detail
}

// endOfProgram says whether a port is held because it is a pseudo-terminal: then a program has to hold the other end, and
// often this one too.
func endOfProgram(p receiver.Port) bool {
	node, err := filepath.EvalSymlinks(p.Path)
	return err == nil && strings.HasPrefix(node, "/dev/pts/") && linkOf(p.Trouble) == "holder"
}

// port judges everything up to the open port. It returns the link that is broken, "" when all hold, and the sentence.
func (e *examination) port(o observed, suffix string) (broken, why string) {
	if !isSerial(o.Source) {
		return e.otherSource(o, suffix), o.Detail
	}
	p, others := inspect(o)
	why = trouble(o, p)
	if why != "" {
		broken = linkOf(why)
	}
	reached := true
	for _, name := range portLinks {
		switch {
		case name == broken:
			e.broken(name+suffix, why, ": ")
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
	if o.State == receiver.Waiting || o.State == receiver.Silent {
		broken = linkOf(o.Detail)
	}
	if broken == "port" {
		e.broken("port"+suffix, o.Detail, ": ")
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
		if linkOf(p.Trouble) == name {
			return warning(p.Trouble)
		}
	case "holder":
		l.Seen = "nobody else reads it"
		switch {
		case beside:
			l.Seen = "the daemon reads it"
		case linkOf(p.Trouble) == name && !endOfProgram(p):
			return warning(p.Trouble)
		}
	case "modemmanager":
		return machine.modemManager(p)
	}
	return l
}

// warning is a link that holds in spite of what a sentence says.
func warning(sentence string) Link {
	seen, mend := part(sentence, ": ")
	return Link{State: Warning, Seen: seen, Mend: mend, mark: ": "}
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

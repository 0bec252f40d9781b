package doctor

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/kinds"
	"gpsbridge/bridge/receiver/serial"
)

// isSerial reports whether a source is a serial port, found or named.
func isSerial(source string) bool {
	return source == kinds.Default || strings.HasPrefix(source, kinds.Default+"?") || strings.HasPrefix(source, "/")
}

// inspect examines the port that a receiver is on, or else the first candidate; without one it has no path. Others are the
// remaining candidates.
func inspect(o observed) (p serial.Port, others []string) {
	ports := serial.Ports()
	path, _, _ := strings.Cut(o.Source, "?")
	switch {
	case o.Port != "":
		p = serial.Inspect(o.Port)
	case strings.HasPrefix(path, "/"):
		p = serial.Inspect(path)
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

// whyNothing is why there is nothing to read, nil while there is something. Beside a daemon it is what the daemon reports: the
// port shows that it is held, by that daemon. Without one the port itself knows more than an open that was refused.
func whyNothing(o observed, p serial.Port) *problem.Problem {
	switch {
	case o.Problem == nil || o.beside || p.Problem == nil:
		return o.Problem
	case linkOf(p.Problem) == linkOf(o.Problem):
		return p.Problem
	case linkOf(o.Problem) == "port" && strings.HasPrefix(o.Source, "/"), o.Port != "", isPseudoTerminal(p):
		return o.Problem // a port that is none, or one that was open
	}
	return p.Problem
}

// isPseudoTerminal reports whether a port is held because a program is at its other end, and often at this one too.
func isPseudoTerminal(p serial.Port) bool {
	node, err := filepath.EvalSymlinks(p.Path)
	return err == nil && strings.HasPrefix(node, "/dev/pts/")
}

// port judges everything up to the open port. It returns the link that is broken, "" when all hold, and the problem.
func (r receiverLinks) port() (brokenLink string, why *problem.Problem) {
	if !isSerial(r.o.Source) {
		return r.otherSource(), r.o.Problem
	}
	p, others := inspect(r.o)
	why = whyNothing(r.o, p)
	brokenLink = linkOf(why)
	reached := true
	for _, name := range portLinks {
		switch {
		case name == brokenLink:
			r.add(broken(name+r.suffix, why))
			reached = false
		case !reached:
			r.add(blocked(name+r.suffix, brokenLink+r.suffix))
		default:
			r.add(portLink(name, r.suffix, r.o.beside, p, others))
		}
	}
	return brokenLink, why
}

// otherSource is for what is read from the network, a file or standard input. Such a source has only the first of portLinks.
func (r receiverLinks) otherSource() (brokenLink string) {
	brokenLink = linkOf(r.o.Problem)
	if slices.Contains(portLinks, brokenLink) {
		brokenLink = portLinks[0]
		r.add(broken(brokenLink+r.suffix, r.o.Problem))
	} else {
		r.add(ok(portLinks[0]+r.suffix, r.o.Source))
	}
	for _, name := range portLinks[1:] {
		r.add(skipped(name+r.suffix, "not a serial port"))
	}
	return brokenLink
}

// portLink is a link that is not broken.
func portLink(name, suffix string, beside bool, p serial.Port, others []string) Link {
	full := name + suffix
	switch name {
	case "port":
		seen := strings.TrimSpace(p.Path + " " + p.Name)
		if len(others) > 0 {
			seen += "; there are also " + strings.Join(others, ", ")
		}
		return ok(full, seen)
	case "permission":
		return ok(full, access(p.Path))
	case "console":
		if linkOf(p.Problem) == name {
			return warning(full, p.Problem)
		}
		return ok(full, "not the system's")
	case "holder":
		switch {
		case beside:
			return ok(full, "the daemon reads it")
		case linkOf(p.Problem) == name && !isPseudoTerminal(p):
			return warning(full, p.Problem)
		}
		return ok(full, "no other program reads it")
	}
	return modemManager(full, p)
}

// access is who may use a port, as ls prints it.
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

// modemManager checks whether ModemManager runs and no rule keeps it off a port.
func modemManager(name string, p serial.Port) Link {
	if p.IDs == "" {
		return skipped(name, "not a USB port")
	}
	running, keptOff := serial.ModemManager(p)
	switch {
	case !running:
		return ok(name, "does not run")
	case keptOff:
		return ok(name, "runs, and a udev rule keeps it off")
	}
	return warning(name, &problem.Problem{Code: ModemManager, Cause: "runs, and no udev rule keeps it off " + p.Path, Fix: serial.Stopping("ModemManager")})
}

package serial

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	bugst "go.bug.st/serial"
	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/protocol"
	"gpsbridge/bridge/receiver/source"
)

// port is a port with a path, 8 data bits, no parity, 1 stop bit.
type port struct {
	path string
	finder
}

// minBaud and MaxBaud are the speeds of a line that a driver can be asked for. Receivers use 4800 to 921600.
const (
	minBaud = 300
	MaxBaud = 4_000_000
)

// baudOf is the speed that the configuration gives, 0 for none.
func baudOf(o *source.Options) int { return o.Integer("baud", 0, minBaud, MaxBaud) }

// NewPort is the source "/dev/...?baud=".
func NewPort(rest string, o *source.Options) (source.Source, error) {
	return At("/"+rest, baudOf(o)), nil
}

// At is a port at a speed, or with 0 at one that is to be found.
func At(path string, baud int) source.Source {
	return &port{path, finder{baud: baud, system: machine}}
}

func (*port) Traits() source.Traits { return source.Traits{} }

func (p *port) Open(ctx context.Context, h source.Host) (source.Stream, error) {
	p.remember(p.path, h)
	at := p.system.port(p.path)
	var s *stream
	if p.baud > 0 {
		t, err := openSerial(p.path, p.baud)
		if err != nil {
			return nil, p.named(p.system, p.path, err)
		}
		s = newStream(t, at, p.system, found{baud: p.baud}, true, h) // as it comes, from the first byte: what is wrong with it shows beside
	} else {
		var err error
		if s, err = p.find(ctx, at, &hunt{host: h, silent: freshSilence * h.Silence}); err != nil {
			return nil, err
		}
	}
	s.health.standing = p.shared(at)
	s.health.begin(time.Now())
	return s, nil
}

// finder opens ports and finds their speed.
type finder struct {
	baud   int // 0: to be found
	system system
	memory *memory // of what worked last
	lookout
}

// remember reads what was kept of a source before it is opened for the first time.
func (f *finder) remember(name string, h source.Host) {
	if f.memory == nil {
		f.memory = newMemory(h.State, name, h.Log)
	}
}

// find opens a port and hunts on it. The stream's health is to be begun.
func (f *finder) find(ctx context.Context, at Port, u *hunt) (*stream, error) {
	u.port, u.nothing = at.Path, f.system.silent(at)
	if u.speeds == nil {
		u.speeds = newSearch(f.memory.baud(at.Path))
	}
	t, err := openFresh(at.Path, u.speeds.order[0])
	if err != nil {
		return nil, f.named(f.system, at.Path, err)
	}
	u.line, f.listened = t, true
	found, err := listen(ctx, u)
	if err != nil {
		return nil, err
	}
	f.memory.keep(at.Path, found.baud)
	return newStream(t, at, f.system, found, f.baud > 0, u.host), nil
}

// freshSilence times Host.Silence is how long a port may be silent that was just opened: it is not stale, and a receiver may
// send every 30 s.
const freshSilence = 4

// shared names the other user of the port, which is allowed: the configuration names the port. It is nil for none.
func (p *port) shared(at Port) *problem.Problem {
	rdev, ok := characterDevice(at.node)
	if !ok || pseudoTerminal(rdev) {
		return nil // a pseudo-terminal's other users have made it
	}
	if slices.Contains(p.system.consoles(), filepath.Base(at.Device)) {
		return onConsole(p.path)
	}
	if by, held := p.look(p.system, []string{at.node}, false)[at.node]; held {
		held := heldBy(at, by)
		held.Cause += ", and each program gets a part of what comes"
		return held
	}
	return nil
}

// pseudoTerminal reports whether a device is one: majors 136 to 143 (the kernel's devices.txt).
func pseudoTerminal(rdev uint64) bool {
	major := unix.Major(rdev)
	return major >= 136 && major <= 143
}

// listen hunts on a port, which it closes unless it returns what was found.
func listen(ctx context.Context, h *hunt) (found, error) {
	stop := context.AfterFunc(ctx, func() { _ = h.line.Close() })
	f, err := h.run()
	if !stop() {
		err = ctx.Err()
	}
	if err == nil {
		return f, nil
	}
	_ = h.line.Close()
	switch {
	case ctx.Err() != nil:
		return found{}, ctx.Err()
	case problem.CodeOf(err) != "", errors.Is(err, source.ErrElsewhere):
		return found{}, err
	}
	return found{}, source.LostPort(h.port, err)
}

// stream is an open port that is being read.
type stream struct {
	*tty
	port   string
	health *health
	left   []byte // heard before it was read
	silent *problem.Problem
	// A line that is fast sends faster than its speed, as a USB port may: no rest is safe.
	fast bool
	// elsewhere reports whether there is another port; nil for never.
	elsewhere func() bool
	// yield reports whether another port is to be tried because this receiver has never had a fix; nil for never.
	yield func(fixed bool, now time.Time) bool
}

// newStream makes a stream of an open port that begins with what was heard already. Its health is to be begun.
func newStream(t *tty, at Port, on system, f found, fixed bool, h source.Host) *stream {
	baud := f.baud
	if at.Driver == "cdc_acm" {
		baud = 0 // USB all the way to the receiver: its speed means nothing
	}
	s := &stream{tty: t, port: at.Path, left: f.heard, silent: on.silent(at), health: newHealth(at.Path, at.Name, baud, fixed, h)}
	s.health.count = t.lineErrors
	if rdev, ok := characterDevice(at.node); ok {
		s.health.unlimited = pseudoTerminal(rdev)
	}
	if len(f.heard) > 0 {
		s.health.protocol = protocol.NMEA
	}
	return s
}

func (s *stream) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		return s.tty.Read(p)
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

func (s *stream) Heard(p []byte, now time.Time) error {
	s.fast = s.fast || s.rested() != rest{} && len(p) >= restBuffer
	err := s.health.heard(p, now)
	if err == nil && s.yield != nil && s.yield(s.health.recogniser.Fixed, now) {
		return source.ErrElsewhere
	}
	return err
}

func (s *stream) Port() string              { return s.port }
func (s *stream) Quiet(now time.Time) error { return s.health.quiet(now) }
func (s *stream) Elsewhere() bool           { return s.elsewhere != nil && s.elsewhere() }
func (s *stream) Silent() *problem.Problem  { return s.silent }

func (s *stream) Lost(err error) *problem.Problem {
	if problem.CodeOf(err) != "" {
		return problem.Of(err)
	}
	return source.LostPort(s.port, err)
}

// tty is an open serial port. It has two descriptors. The one of go.bug.st/serial sets speed and raw mode and holds the
// port for us alone (TIOCEXCL). The bytes come through the other one, which waits in Go's poller: the library's own Read
// waits in select(2), which panics when its descriptor is 1024 or more, as it is in a daemon with a thousand viewers that
// reopens a port; and its Close gives the descriptor's number back before it wakes a blocked Read.
type tty struct {
	*gate
	line  bugst.Port
	baud  int
	close func() error
}

// openSerial opens a terminal device, or explains why not.
func openSerial(path string, baud int) (*tty, error) { return openLine(path, baud, false) }

// openFresh forgets what came before the speed was set: at what speed it was received is not known.
func openFresh(path string, baud int) (*tty, error) { return openLine(path, baud, true) }

func openLine(path string, baud int, fresh bool) (*tty, error) {
	if err := checkDevice(path); err != nil {
		return nil, err
	}
	// This one first: after it the port is held, and a second open refused.
	fd, err := openTerminal(path)
	if err != nil {
		return nil, explain(path, err)
	}
	if _, err := unix.IoctlGetTermios(fd, getTermios); err != nil {
		_ = unix.Close(fd)
		if errors.Is(err, unix.ENOTTY) {
			return nil, notSerial(path)
		}
		return nil, explain(path, err)
	}
	// The claim of programs that do not set TIOCEXCL, and of those that root's opens ignore: Python's serial, another
	// receiver of this daemon. It ends with the descriptor.
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		_ = unix.Close(fd)
		return nil, explain(path, unix.EBUSY)
	}
	g, err := newGate(fd)
	if err != nil {
		return nil, explain(path, err)
	}
	line, err := bugst.Open(path, &bugst.Mode{BaudRate: baud})
	if err != nil {
		_ = g.Close()
		return nil, explain(path, err)
	}
	if fresh {
		if err := line.ResetInputBuffer(); err != nil {
			return nil, errors.Join(explain(path, err), g.Close(), line.Close())
		}
	}
	keepModemLines(fd)
	close := sync.OnceValue(func() error { return errors.Join(g.Close(), line.Close()) })
	return &tty{gate: g, line: line, baud: baud, close: close}, nil
}

// keepModemLines has the kernel leave DTR and RTS as they are when the port is closed. The kernel raises them in the first open after
// the port has appeared (tty_port_block_til_ready in drivers/tty/tty_port.c, unless the speed is already 0), which no program can
// prevent, and a falling and rising DTR resets many boards: so they see it once, and not each time that a search opens their port.
// They are not lowered after the open: that is another edge, and some receivers take their power from them. An error is of a driver
// that does not know it.
func keepModemLines(fd int) {
	if mode, err := unix.IoctlGetTermios(fd, getTermios); err == nil && mode.Cflag&unix.HUPCL != 0 {
		mode.Cflag &^= unix.HUPCL
		_ = unix.IoctlSetTermios(fd, setTermios, mode)
	}
}

// openTerminal opens without waiting, which an open does otherwise for a carrier that receivers do not have.
func openTerminal(path string) (fd int, err error) {
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	return fd, err
}

// checkDevice refuses what can be opened and is not a port.
func checkDevice(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return explain(path, err)
	case info.IsDir():
		return &problem.Problem{Code: source.NotAPort, Cause: path + " is a directory", Fix: "name a port in it with --device"}
	case info.Mode().IsRegular():
		return &problem.Problem{Code: source.NotAPort, Cause: path + " is a file and not a port", Fix: "play it with --device file:" + path}
	case info.Mode()&os.ModeCharDevice == 0:
		return notSerial(path)
	}
	return nil
}

func notSerial(path string) *problem.Problem {
	return &problem.Problem{Code: source.NotAPort, Cause: path + " is not a serial port", Fix: "name one with --device"}
}

func (t *tty) Close() error { return t.close() }

// setSpeed is for the reader alone.
func (t *tty) setSpeed(baud int) error {
	if baud == t.baud {
		return nil // what has come is not of another speed
	}
	if err := t.line.SetMode(&bugst.Mode{BaudRate: baud}); err != nil {
		return err
	}
	t.baud = baud
	return t.line.ResetInputBuffer()
}

const (
	// restBuffer is what the line may fill in a rest at the most: half of what the kernel holds of one that is not read (n_tty, 4096
	// bytes).
	restBuffer = 2048
	// leastRest: a rest costs about what two wake-ups do, and a line at 115200 baud causes one every few milliseconds.
	leastRest = 10 * time.Millisecond
)

// rest is a time in which a line is left alone; zero for none.
type rest struct{ from, until time.Time }

// Rest is of source.Stream. A rest is no longer than the line takes to fill restBuffer. After one of that length the burst is most
// likely over, and an idle line costs nothing while it is watched: so the next one begins with the next burst.
func (s *stream) Rest(until, now time.Time) bool {
	d, most, last := until.Sub(now), s.takes(restBuffer), s.rested()
	switch {
	case s.fast || d < leastRest:
		s.rest(rest{})
	case d > most && last.until.Sub(last.from) >= most:
		s.restNext(until, most)
	default:
		s.rest(rest{now, now.Add(min(d, most))})
		return true
	}
	return false
}

// Came is of source.Stream. Bytes come no faster than the line's speed.
func (s *stream) Came(n int, now time.Time) time.Time {
	if last := s.rested(); last != (rest{}) {
		if came := last.from.Add(s.takes(n)); came.Before(now) {
			return came
		}
	}
	return now
}

// takes is for how long the line needs for n bytes.
func (t *tty) takes(n int) time.Duration {
	return time.Duration(n) * bitsPerByte * time.Second / time.Duration(t.baud)
}

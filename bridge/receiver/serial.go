package receiver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// serialPort is a port with a path, 8 data bits, no parity, 1 stop bit.
type serialPort struct {
	path   string
	baud   int // 0: to be found
	system system
	setting
	lookout
}

func (*serialPort) finite() bool { return false }

func (p *serialPort) open(ctx context.Context) (stream, error) {
	at := p.system.describeAt(p.path)
	shared := p.shared(at)
	if p.baud > 0 {
		c, err := openSerial(p.path, p.baud)
		if err != nil {
			return stream{}, p.named(p.system, p.path, err)
		}
		// As it comes, from the first byte: what is wrong with it shows beside.
		s := newStream(c, p.path, at, found{baud: p.baud}, true, p.setting)
		s.line.standing = shared
		return s, nil
	}
	speeds := newSearch(p.memory.baud(p.path))
	c, err := openFresh(p.path, speeds.order[0])
	if err != nil {
		return stream{}, p.named(p.system, p.path, err)
	}
	h := &hunt{line: c, port: p.path, speeds: speeds, silent: p.silence, tell: p.status.hunting, turn: p.turn}
	f, err := listen(ctx, h)
	if err != nil {
		return stream{}, err
	}
	p.memory.keep(p.path, f.baud)
	s := newStream(c, p.path, at, f, false, p.setting)
	s.line.standing = shared
	return s, nil
}

// shared names the other user of the port, which is allowed: the configuration names the port. It is nil for none.
func (p *serialPort) shared(at Port) *problem.Problem {
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

// pseudoTerminal says that a device is one: majors 136 to 143 (the kernel's devices.txt).
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
	case problem.CodeOf(err) != "", errors.Is(err, errElsewhere):
		return found{}, err
	}
	return found{}, wentAway(h.port, err)
}

// newStream makes a stream of an open port that begins with what was heard already.
func newStream(c *tty, path string, at Port, f found, fixed bool, set setting) stream {
	baud := f.baud
	if at.Driver == "cdc_acm" {
		baud = 0 // USB all the way to the receiver: its speed means nothing
	}
	s := stream{conn: c, port: path, rester: c, line: newHealth(path, at.Name, baud, fixed, set.status)}
	s.line.count = c.lineErrors
	if rdev, ok := characterDevice(at.node); ok {
		s.line.unlimited = pseudoTerminal(rdev)
	}
	if len(f.heard) > 0 {
		s.conn = &heardConn{conn: c, heard: f.heard}
		s.line.protocol = protoNMEA
	}
	return s
}

// tty is an open serial port. It has two descriptors. The one of go.bug.st/serial sets speed and raw mode and holds the
// port for us alone (TIOCEXCL). The bytes come through the other one, which waits in Go's poller: the library's own Read
// waits in select(2), which panics when its descriptor is 1024 or more, as it is in a daemon with a thousand viewers that
// reopens a port; and its Close gives the descriptor's number back before it wakes a blocked Read.
type tty struct {
	*gate
	line  serial.Port
	baud  int
	close func() error
}

// openSerial opens a terminal device, or explains why not.
func openSerial(path string, baud int) (*tty, error) { return openLine(path, baud, false) }

// openFresh forgets what came before the port was opened: at what speed it was received is not known.
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
	if err := isTerminal(fd); err != nil {
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
	if fresh {
		if err := unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH); err != nil {
			_ = unix.Close(fd)
			return nil, explain(path, err)
		}
	}
	g, err := newGate(fd)
	if err != nil {
		return nil, explain(path, err)
	}
	line, err := serial.Open(path, &serial.Mode{BaudRate: baud})
	if err != nil {
		_ = g.Close()
		return nil, explain(path, err)
	}
	close := sync.OnceValue(func() error { return errors.Join(g.Close(), line.Close()) })
	return &tty{gate: g, line: line, baud: baud, close: close}, nil
}

// openTerminal opens without waiting, which an open does otherwise for a carrier that receivers do not have.
func openTerminal(path string) (fd int, err error) {
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	return fd, err
}

// checkDevice tells apart what opens well and is no port.
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

func isTerminal(fd int) error {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err
}

// onDescriptor calls do with the descriptor of f. Unlike f.Fd it does not set it to blocking.
func onDescriptor(f *os.File, do func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	if err := c.Control(func(fd uintptr) { doErr = do(int(fd)) }); err != nil {
		return err
	}
	return doErr
}

func (t *tty) Close() error { return t.close() }

// setSpeed is for the reader alone.
func (t *tty) setSpeed(baud int) error {
	if baud == t.baud {
		return nil // what has come is not of another speed
	}
	if err := t.line.SetMode(&serial.Mode{BaudRate: baud}); err != nil {
		return err
	}
	t.baud = baud
	return t.line.ResetInputBuffer()
}

// lineBuffer is what the kernel holds of a line that nobody reads (n_tty).
const lineBuffer = 4096

// mostRest is in how long the line fills half of that, 10 bits a byte: no rest may be longer.
func (t *tty) mostRest() time.Duration {
	return lineBuffer / 2 * 10 * time.Second / time.Duration(t.baud)
}

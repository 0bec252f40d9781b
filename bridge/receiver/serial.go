package receiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// serialPort is a port with a path, 8 data bits, no parity, 1 stop bit.
type serialPort struct {
	path string
	baud int
}

func (p serialPort) finite() bool { return false }

func (p serialPort) open(context.Context) (stream, error) {
	c, err := openSerial(p.path, p.baud)
	if err != nil {
		return stream{}, err
	}
	return stream{conn: c, port: p.path, rester: c}, nil
}

// tty is an open serial port. It has two descriptors. The one of go.bug.st/serial sets speed and raw mode and holds the
// port for us alone (TIOCEXCL). The bytes come through the other one, which waits in Go's poller: the library's own Read
// waits in select(2), which panics when its descriptor is 1024 or more, as it is in a daemon with a thousand viewers that
// reopens a port; and its Close gives the descriptor's number back before it wakes a blocked Read.
type tty struct {
	*gate
	baud  int
	close func() error
}

// openSerial opens a terminal device, or explains why not.
func openSerial(path string, baud int) (*tty, error) {
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
			return nil, fmt.Errorf("%s is not a serial port: name one with --device", path)
		}
		return nil, explain(path, err)
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
	return &tty{gate: g, baud: baud, close: close}, nil
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
		return fmt.Errorf("%s is a directory: name a port in it with --device", path)
	case info.Mode().IsRegular():
		return fmt.Errorf("%s is a file and not a port: play it with --device file:%s", path, path)
	case info.Mode()&os.ModeCharDevice == 0:
		return fmt.Errorf("%s is not a serial port: name one with --device", path)
	}
	return nil
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

// lineBuffer is what the kernel holds of a line that nobody reads (n_tty).
const lineBuffer = 4096

// mostRest is in how long the line fills half of that, 10 bits a byte: no rest may be longer.
func (t *tty) mostRest() time.Duration {
	return lineBuffer / 2 * 10 * time.Second / time.Duration(t.baud)
}

package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

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
	return stream{conn: c, port: p.path}, nil
}

// tty is an open serial port. It has two descriptors. The one of go.bug.st/serial sets speed and raw mode and holds the
// port for us alone (TIOCEXCL). The bytes come through the other one, which waits in Go's poller: the library's own Read
// waits in select(2), which panics when its descriptor is 1024 or more, as it is in a daemon with a thousand viewers that
// reopens a port; and its Close gives the descriptor's number back before it wakes a blocked Read.
type tty struct {
	file  *os.File
	raw   syscall.RawConn // of file
	line  serial.Port
	close func() error
}

// openSerial opens a terminal device, or explains why not.
func openSerial(path string, baud int) (*tty, error) {
	if err := checkDevice(path); err != nil {
		return nil, err
	}
	// This one first: after it the port is held, and a second open refused. O_NONBLOCK because without it an open waits for
	// a carrier that receivers do not have.
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, explain(path, err)
	}
	if err := onDescriptor(file, isTerminal); err != nil {
		_ = file.Close()
		if errors.Is(err, unix.ENOTTY) {
			return nil, fmt.Errorf("%s is not a serial port: name one with --device", path)
		}
		return nil, explain(path, err)
	}
	line, err := serial.Open(path, &serial.Mode{BaudRate: baud})
	if err != nil {
		_ = file.Close()
		return nil, explain(path, err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(explain(path, err), file.Close(), line.Close())
	}
	t := &tty{file: file, raw: raw, line: line}
	t.close = sync.OnceValue(func() error { return errors.Join(t.file.Close(), t.line.Close()) })
	return t, nil
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

// Read reads what has come, and waits in Go's poller until something has. It makes the system call itself, because one
// that may block is announced to the scheduler, which wakes the runtime's monitor thread for each: a third of the processor
// time at 10 Hz. This one cannot block: the descriptor is non-blocking.
func (t *tty) Read(p []byte) (n int, err error) {
	waitErr := t.raw.Read(func(fd uintptr) bool {
		n, err = readNow(fd, p)
		return !errors.Is(err, syscall.EAGAIN)
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return n, err
}

// readNow reads from a non-blocking descriptor. p must not be empty.
func readNow(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch {
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		}
		return int(n), nil
	}
}

func (t *tty) SetReadDeadline(d time.Time) error { return t.file.SetReadDeadline(d) }
func (t *tty) Close() error                      { return t.close() }

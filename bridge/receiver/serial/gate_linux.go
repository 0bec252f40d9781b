package serial

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// gate reads a terminal that can be left alone for a while. Go's poller wakes the process for every byte on a descriptor
// that it watches, whether it is being read or not, and it cannot be asked to pause. So it watches an epoll instance
// instead, which watches the terminal, and does not while the gate is shut. Deadlines are those of a timer of the kernel's
// that it watches too: a timer of Go's wakes the runtime's monitor thread as well, and again when it was only moved.
//
//	Go's poller ──▶ epoll instance ──▶ terminal, clock
//
// The system calls are made without announcing them to the scheduler: announcing one that may block wakes the monitor thread, which
// was a third of the CPU time at 10 Hz. These cannot block: the descriptors are non-blocking.
type gate struct {
	terminal, clock int // descriptors
	watcher         *os.File
	raw             syscall.RawConn // of watcher; keeps Close from closing what is in use

	// owned by the reader
	deadline time.Time
	armed    time.Time // what the clock is set to
	events   uint32    // of the terminal that are watched
}

// canRest is whether rest can be used.
const canRest = true

// newGate becomes the owner of a non-blocking descriptor: it is closed with the gate, or at once on an error.
func newGate(terminal int) (*gate, error) {
	clock, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(err, unix.Close(terminal))
	}
	watcher, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, errors.Join(err, unix.Close(clock), unix.Close(terminal))
	}
	err = unix.SetNonblock(watcher, true) // by which os.NewFile knows that it is for Go's poller
	g := &gate{terminal: terminal, clock: clock, watcher: os.NewFile(uintptr(watcher), "epoll"), events: unix.EPOLLIN}
	for _, fd := range []int{terminal, clock} {
		if err == nil {
			err = unix.EpollCtl(watcher, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN})
		}
	}
	if err == nil {
		g.raw, err = g.watcher.SyscallConn()
	}
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// Close returns when no read is under way any more, so the descriptors' numbers are free for others.
func (g *gate) Close() error {
	return errors.Join(g.watcher.Close(), unix.Close(g.clock), unix.Close(g.terminal))
}

// SetReadDeadline is for the reader alone: unlike those of files and network connections it is not to be called while a
// Read is under way.
func (g *gate) SetReadDeadline(t time.Time) error {
	g.deadline = t
	return nil
}

// passed reports whether the deadline has. The clock need not be read: it only wakes.
func (g *gate) passed() bool { return !g.deadline.IsZero() && !time.Now().Before(g.deadline) }

// Read reads what has come, and waits in Go's poller until something has. p must not be empty.
func (g *gate) Read(p []byte) (n int, err error) {
	waitErr := g.raw.Read(func(watcher uintptr) bool {
		n, err = readNow(g.terminal, p)
		switch {
		case err != syscall.EAGAIN:
			return true
		case g.passed():
			err = os.ErrDeadlineExceeded
			return true
		}
		err = g.await(int(watcher), unix.EPOLLIN)
		return err != nil
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return n, err
}

// Rest lets what arrives wait in the kernel until a time, or until the gate is closed, which is an error. It changes the
// deadline. The terminal is not watched again before a Read has to wait for it.
func (g *gate) Rest(until time.Time) (err error) {
	g.deadline = until
	waitErr := g.raw.Read(func(watcher uintptr) bool {
		if g.passed() {
			return true
		}
		err = g.await(int(watcher), 0)
		return err != nil
	})
	return errors.Join(waitErr, err)
}

// await sets what wakes the reader: events of the terminal, beside a hangup, which always does, and the deadline.
func (g *gate) await(watcher int, events uint32) error {
	if events != g.events {
		if err := unix.EpollCtl(watcher, unix.EPOLL_CTL_MOD, g.terminal, &unix.EpollEvent{Events: events}); err != nil {
			return err
		}
		g.events = events
	}
	if g.deadline.Equal(g.armed) {
		return nil
	}
	g.armed = g.deadline
	var in unix.ItimerSpec // zero stops the clock
	if !g.deadline.IsZero() {
		in.Value = unix.NsecToTimespec(int64(max(time.Until(g.deadline), 1)))
	}
	return unix.TimerfdSettime(g.clock, 0, &in, nil)
}

func readNow(fd int, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
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

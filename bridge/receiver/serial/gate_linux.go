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
// instead, which watches the terminal, and does not during a rest. Deadlines are those of a timer of the kernel's
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
	until    time.Time // rest
	armed    time.Time // what the clock is set to
	watched  bool      // the terminal is
}

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
	g := &gate{terminal: terminal, clock: clock, watcher: os.NewFile(uintptr(watcher), "epoll"), watched: true}
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

// rest lets what arrives before a time wait in the kernel: the next Read does not return before, unless the line hangs up.
func (g *gate) rest(until time.Time) { g.until = until }

// rested reports whether what was read last may have come in a rest.
func (g *gate) rested() bool { return !g.until.IsZero() }

// Read reads what has come, and waits in Go's poller until something has. What has come by a deadline is read first. p must not be
// empty.
func (g *gate) Read(p []byte) (n int, err error) {
	resting := time.Now().Before(g.until)
	look := g.watched && !resting // a line that is watched from now on wakes for what has come already
	waitErr := g.raw.Read(func(watcher uintptr) bool {
		if look && resting && time.Now().Before(g.until) && !hungUp(g.terminal) {
			// Go's poller was woken by what came before the rest, and the line was watched still.
			g.armed = time.Time{}
			look = false
		}
		if look {
			n, err = readNow(g.terminal, p)
			switch {
			case err != syscall.EAGAIN:
				return true
			case !g.deadline.IsZero() && !time.Now().Before(g.deadline):
				err = os.ErrDeadlineExceeded
				return true
			}
			resting = false
		}
		look = true
		if resting {
			err = g.await(int(watcher), false, g.until)
			return err != nil
		}
		g.until = time.Time{}
		err = g.await(int(watcher), true, g.deadline)
		return err != nil
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return n, err
}

// await sets what wakes the reader: bytes or not, beside a hangup, which always does, and a time, zero for none. The clock need not
// be read: it only wakes.
func (g *gate) await(watcher int, bytes bool, at time.Time) error {
	if bytes != g.watched {
		var events uint32
		if bytes {
			events = unix.EPOLLIN
		}
		if err := unix.EpollCtl(watcher, unix.EPOLL_CTL_MOD, g.terminal, &unix.EpollEvent{Events: events}); err != nil {
			return err
		}
		g.watched = bytes
	}
	if at.Equal(g.armed) && (at.IsZero() || time.Now().Before(at)) {
		return nil
	}
	g.armed = at
	var in unix.ItimerSpec // zero stops the clock
	if !at.IsZero() {
		in.Value = unix.NsecToTimespec(int64(max(time.Until(at), 1)))
	}
	return unix.TimerfdSettime(g.clock, 0, &in, nil)
}

func hungUp(terminal int) bool {
	fds := []unix.PollFd{{Fd: int32(terminal)}} // a hangup needs no asking
	n, err := unix.Poll(fds, 0)
	return err != nil || n > 0
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

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
	now      rest      // under way, or ended by the last Read
	next     time.Time // until when the line rests from the next bytes on; zero for not at all
	nextMost time.Duration
	armed    time.Time // what the clock is set to
	watched  bool      // the terminal is

	// of the Read under way, here because what a function literal shares is allocated each time
	step    func(watcher uintptr) (done bool) // attempt
	p       []byte
	n       int
	err     error
	look    bool
	resting bool
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
	g.step = g.attempt
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

// rest lets what arrives during it wait in the kernel: the next Read does not return before, unless the line hangs up. The zero rest
// is none.
func (g *gate) rest(r rest) { g.now, g.next = r, time.Time{} }

// restNext begins a rest when the next bytes come, unless it would be longer than most, or shorter than leastRest.
func (g *gate) restNext(until time.Time, most time.Duration) {
	g.now, g.next, g.nextMost = rest{}, until, most
}

// rested is the rest in which what was read last may have come, zero for none.
func (g *gate) rested() rest { return g.now }

// restsNext begins the next rest if bytes have come, and reports whether it has.
func (g *gate) restsNext() bool {
	if g.next.IsZero() || g.poll() != unix.POLLIN { // a hangup does not wake again
		return false
	}
	now := time.Now()
	d := g.next.Sub(now)
	if d >= leastRest && d <= g.nextMost {
		g.now = rest{now, g.next}
	}
	g.next = time.Time{}
	return !g.now.until.IsZero()
}

// Read reads what has come, and waits in Go's poller until something has. What has come by a deadline is read first. p must not be
// empty.
func (g *gate) Read(p []byte) (int, error) {
	g.p, g.n, g.err = p, 0, nil
	g.resting = time.Now().Before(g.now.until)
	g.look = g.watched && !g.resting // a line that is watched from now on wakes for what has come already
	if err := g.raw.Read(g.step); err != nil {
		return 0, err
	}
	return g.n, g.err
}

// attempt reads, or sets what wakes the reader. It reports whether Read is done.
func (g *gate) attempt(watcher uintptr) bool {
	switch {
	case !g.look:
	case !g.resting:
		g.resting = g.restsNext()
		g.look = !g.resting
	case time.Now().Before(g.now.until) && g.poll()&^unix.POLLIN == 0:
		// Go's poller was woken by what came before the rest, and the line was watched still.
		g.armed = time.Time{}
		g.look = false
	}
	if g.look {
		g.n, g.err = readNow(g.terminal, g.p)
		switch {
		case g.err != syscall.EAGAIN:
			return true
		case !g.deadline.IsZero() && !time.Now().Before(g.deadline):
			g.err = os.ErrDeadlineExceeded
			return true
		}
		g.resting = false
	}
	g.look = true
	if g.resting {
		g.err = g.await(int(watcher), false, g.now.until)
		return g.err != nil
	}
	g.now = rest{}
	g.err = g.await(int(watcher), true, g.deadline)
	return g.err != nil
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

// poll is whether bytes have come (POLLIN), and whether the line has hung up, which is any other bit.
func (g *gate) poll() int16 {
	fd, now := unix.PollFd{Fd: int32(g.terminal), Events: unix.POLLIN}, unix.Timespec{}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	if errno != 0 {
		return unix.POLLERR
	}
	return fd.Revents
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

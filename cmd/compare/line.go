package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// line is a pseudo-terminal that stands for the serial line to one program.
type line struct {
	path   string   // what the program opens
	master *os.File // what is written here the program reads
	slave  *os.File // kept open, so that the line keeps its mode without a reader
}

// stalled is how long a program may take no bytes. The queue of a terminal holds 4 KiB, and they read it in microseconds.
const stalled = 10 * time.Second

// openLine makes a pseudo-terminal that everybody may open: gpsd gives its rights up before it does.
func openLine() (*line, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a pseudo-terminal: %w", err)
	}
	l := &line{master: os.NewFile(uintptr(fd), "/dev/ptmx")}
	if err := l.setUp(fd); err != nil {
		return nil, errors.Join(fmt.Errorf("set up a pseudo-terminal: %w", err), l.close())
	}
	return l, nil
}

func (l *line) setUp(master int) error {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return err
	}
	l.path = "/dev/pts/" + strconv.Itoa(n)
	if l.slave, err = os.OpenFile(l.path, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return err
	}
	if err := l.slave.Chmod(0o666); err != nil {
		return err
	}
	return l.raw()
}

// raw switches off all that a terminal does to bytes; an echo would come back as the program's own output.
func (l *line) raw() error {
	return l.control(func(fd int) error {
		mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		mode.Iflag, mode.Oflag, mode.Lflag = 0, 0, 0
		mode.Cflag = mode.Cflag&^(unix.CSIZE|unix.PARENB|unix.CSTOPB) | unix.CS8 | unix.CREAD | unix.CLOCAL
		mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
		return unix.IoctlSetTermios(fd, unix.TCSETS, mode)
	})
}

// unread is how many bytes wait in the terminal for the program.
func (l *line) unread() int {
	n := 0
	_ = l.control(func(fd int) (err error) { // an error is a line that was closed: nothing waits
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
		return err
	})
	return n
}

// control calls do with the descriptor of the program's end.
func (l *line) control(do func(fd int) error) error {
	c, err := l.slave.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	if err := c.Control(func(fd uintptr) { doErr = do(int(fd)) }); err != nil {
		return err
	}
	return doErr
}

// write hands p to the program, and waits where its queue is full.
func (l *line) write(p []byte) error {
	if err := l.master.SetWriteDeadline(time.Now().Add(stalled)); err != nil {
		return err
	}
	if _, err := l.master.Write(p); err != nil {
		return fmt.Errorf("write to %s: %w", l.path, err)
	}
	return nil
}

func (l *line) close() error {
	err := l.master.Close()
	if l.slave != nil {
		err = errors.Join(err, l.slave.Close())
	}
	return err
}

// pace is how a receiver sends.
type pace struct {
	period time.Duration // from epoch to epoch
	byteAt time.Duration // how long a byte takes
	chunk  time.Duration // bytes of no longer than this, and of no more than one sentence, become readable together
}

// sent is when the bytes of an epoch were on the line.
type sent struct {
	first time.Time   // the first byte was complete
	ends  []time.Time // each sentence was complete
}

// play sends epochs from origin on and returns when their sentences were written, which is later than they should have
// been by what a timer is late. Delays are counted from these moments, so a late timer is nobody's fault.
func (l *line) play(ctx context.Context, epochs []epoch, p pace, origin time.Time) ([]sent, error) {
	log := make([]sent, 0, len(epochs))
	free := origin // when the line has sent all it was given
	for i, e := range epochs {
		from := origin.Add(time.Duration(i) * p.period)
		if free.After(from) {
			from = free // the burst before was longer than the period
		}
		s := sent{ends: make([]time.Time, 0, len(e.ends))}
		for at := 0; at < len(e.data); {
			end := e.chunkEnd(at, int(p.chunk/p.byteAt))
			free = from.Add(time.Duration(end) * p.byteAt)
			if !sleepUntil(ctx, free) {
				return nil, ctx.Err()
			}
			now := time.Now()
			if err := l.write(e.data[at:end]); err != nil {
				return nil, err
			}
			if at == 0 {
				s.first = now.Add(-time.Duration(end-1) * p.byteAt)
			}
			if len(s.ends) < len(e.ends) && e.ends[len(s.ends)] == end {
				s.ends = append(s.ends, now)
			}
			at = end
		}
		log = append(log, s)
	}
	return log, nil
}

// chunkEnd is where the bytes end that become readable together with the one at offset at: behind size bytes, or behind
// the sentence.
func (e epoch) chunkEnd(at, size int) int {
	end := min(at+max(size, 1), len(e.data))
	for _, s := range e.ends {
		if s > at {
			return min(s, end)
		}
	}
	return end
}

// sleepUntil waits, and returns false when ctx has ended.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

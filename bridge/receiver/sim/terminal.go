package sim

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a line that never waits for its reader.
type terminal struct {
	*Terminal

	// owned by the writer
	queued  int       // bytes in the queue at the last tidy
	written int       // since then
	taken   time.Time // when a reader was last seen to take bytes
}

// unreadMost is how long bytes wait for a reader that takes none before they are thrown away: longer than a reader stalls
// that is alive, and as short as can be, because a program that opens a port does not expect the past.
const unreadMost = 1500 * time.Millisecond

// queueFull is when a terminal's queue may be full: Linux holds 4095 bytes.
const queueFull = 4000

// writeWait is how long a write to a full queue waits before what is left of it is lost.
const writeWait = 20 * time.Millisecond

func openTerminal() (*terminal, error) {
	t, err := OpenTerminal()
	if err != nil {
		return nil, err
	}
	return &terminal{Terminal: t}, nil
}

// speed is what the reader has set the line to, in baud.
func (t *terminal) speed() (baud int) {
	_ = onDescriptor(t.Slave, func(fd int) error {
		mode, err := unix.IoctlGetTermios(fd, unix.TCGETS2) // its speeds are numbers, whatever constant was set
		if err == nil {
			baud = int(mode.Ispeed)
		}
		return err
	})
	return baud
}

// write hands p to the reader. What finds no room is lost, as in a UART. An error means that the terminal is closed.
func (t *terminal) write(p []byte) error {
	if err := t.Master.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	n, err := t.Master.Write(p)
	t.written += n
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// tidy throws away what is not read.
func (t *terminal) tidy(now time.Time) {
	queued := t.Unread()
	if queued == 0 || queued < min(t.queued+t.written, queueFull) || t.taken.IsZero() {
		t.taken = now
	}
	t.queued, t.written = queued, 0
	if now.Sub(t.taken) < unreadMost {
		return
	}
	// Nothing to do about an error here: the next write will meet it.
	_ = onDescriptor(t.Slave, func(fd int) error {
		// A reader that was killed leaves its claim on the port behind, which the kernel drops when the last descriptor is
		// closed; here ours is the last.
		_ = unix.IoctlSetInt(fd, unix.TIOCNXCL, 0)
		return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH)
	})
	t.queued = t.Unread()
}

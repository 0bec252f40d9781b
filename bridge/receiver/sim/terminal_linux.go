package sim

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a pseudo-terminal in raw mode that stands for a serial line: what is written to Master comes out at Path.
// Master has deadlines.
type Terminal struct {
	Path   string
	Master *os.File
	// Slave stays open so that the line does not hang up, and keeps its mode, when a reader leaves, and to look into its
	// queue.
	Slave *os.File

	// owned by the writer
	queued  int       // bytes in the queue at the last tidy
	written int       // since then
	taken   time.Time // when a reader was last seen to take bytes
}

// OpenTerminal makes a pseudo-terminal (pty(7): a master is unlocked before its slave can be opened).
func OpenTerminal() (*Terminal, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open a pseudo-terminal: %w", err)
	}
	t := &Terminal{Master: master}
	err = onDescriptor(master, func(fd int) error {
		number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
		t.Path = fmt.Sprintf("/dev/pts/%d", number)
		return errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	})
	if err == nil {
		t.Slave, err = os.OpenFile(t.Path, os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = onDescriptor(t.Slave, raw)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up pseudo-terminal %s: %w", t.Path, err), t.Close())
	}
	return t, nil
}

// raw switches off all that a terminal does to bytes: echo, line editing, signals, translation of line ends.
func raw(fd int) error {
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	mode.Iflag, mode.Oflag, mode.Lflag = 0, 0, 0
	mode.Cflag = mode.Cflag&^(unix.CSIZE|unix.PARENB|unix.CSTOPB) | unix.CS8 | unix.CREAD | unix.CLOCAL
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, mode)
}

// onDescriptor calls do with the descriptor of f, which stays as it is and is not closed meanwhile.
func onDescriptor(f *os.File, do func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	err = c.Control(func(fd uintptr) { doErr = do(int(fd)) })
	return errors.Join(err, doErr)
}

// Close hangs up: readers of Path see the line vanish.
func (t *Terminal) Close() error {
	err := t.Master.Close()
	if t.Slave != nil {
		err = errors.Join(err, t.Slave.Close())
	}
	return err
}

// Unread is how many bytes wait for a reader.
func (t *Terminal) Unread() (n int) {
	// An error is a terminal that was closed: nothing waits.
	_ = onDescriptor(t.Slave, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
		return err
	})
	return n
}

// speed is what the reader has set the line to, in baud.
func (t *Terminal) speed() (baud int) {
	_ = onDescriptor(t.Slave, func(fd int) error {
		mode, err := unix.IoctlGetTermios(fd, unix.TCGETS2) // its speeds are numbers, whatever constant was set
		if err == nil {
			baud = int(mode.Ispeed)
		}
		return err
	})
	return baud
}

const (
	// writeWait is how long a write to a full queue waits before what is left of it is lost.
	writeWait = 20 * time.Millisecond
	// unreadMost is how long bytes wait for a reader that takes none before they are thrown away: longer than a reader stalls
	// that is alive, and as short as can be, because a program that opens a port does not expect the past.
	unreadMost = 1500 * time.Millisecond
	// queueFull is when a terminal's queue may be full: Linux holds 4095 bytes.
	queueFull = 4000
)

// write hands p to the reader. What finds no room is lost, as in a UART. An error means that the terminal is closed.
func (t *Terminal) write(p []byte) error {
	for {
		if err := t.Master.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
			return err
		}
		n, err := t.Master.Write(p)
		t.written += n
		p = p[n:]
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if t.Unread() >= queueFull {
			return nil
		}
		// There is room: it was this program that got no time to write.
	}
}

// tidy throws away what is not read.
func (t *Terminal) tidy(now time.Time) {
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

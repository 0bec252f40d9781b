package sim

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: what is written to it comes out at path.
type terminal struct {
	path   string
	master *os.File
	// slave stays open so that the line does not hang up when a reader leaves, and to look into its queue.
	slave *os.File

	// owned by the writer
	queued  int       // bytes in the queue at the last tidy
	written int       // since then
	taken   time.Time // when a reader was last seen to take bytes
}

// unreadMost is how long bytes wait for a reader that takes none before they are thrown away: longer than a reader stalls
// that is alive, and as short as can be, because who opens a port does not expect the past.
const unreadMost = 1500 * time.Millisecond

// queueFull is when a terminal's queue may be full: Linux holds 4095 bytes.
const queueFull = 4000

// writeWait is how long a write to a full queue waits before what is left of it is lost.
const writeWait = 20 * time.Millisecond

func openTerminal() (*terminal, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("open a pseudo-terminal: %w", err)
	}
	t := &terminal{path: slave.Name(), slave: slave}
	// creack/pty leaves the master in blocking mode; a descriptor that does not block is what has write deadlines.
	t.master, err = nonBlocking(master)
	err = errors.Join(err, master.Close())
	if err == nil {
		err = raw(slave)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up pseudo-terminal %s: %w", t.path, err), t.close())
	}
	return t, nil
}

// nonBlocking returns another descriptor of f that does not block.
func nonBlocking(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// raw switches off all that a terminal does to bytes: echo, line editing, signals, translation of line ends.
func raw(f *os.File) error {
	return onDescriptor(f, func(fd int) error {
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

// onDescriptor calls do with the descriptor of f, which stays as it is and is not closed meanwhile.
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

// speed is what the reader has set the line to, in baud.
func (t *terminal) speed() (baud int) {
	_ = onDescriptor(t.slave, func(fd int) error {
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
	if err := t.master.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	n, err := t.master.Write(p)
	t.written += n
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// tidy throws away what nobody reads.
func (t *terminal) tidy(now time.Time) {
	queued := t.unread()
	if queued == 0 || queued < min(t.queued+t.written, queueFull) || t.taken.IsZero() {
		t.taken = now
	}
	t.queued, t.written = queued, 0
	if now.Sub(t.taken) < unreadMost {
		return
	}
	// Nothing to do about an error here: the next write will meet it.
	_ = onDescriptor(t.slave, func(fd int) error {
		// A reader that was killed leaves its claim on the port behind, which the kernel drops when the last descriptor is
		// closed; here ours is the last.
		_ = unix.IoctlSetInt(fd, unix.TIOCNXCL, 0)
		return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH)
	})
	t.queued = t.unread()
}

// unread is how many bytes wait for a reader.
func (t *terminal) unread() int {
	var n int
	_ = onDescriptor(t.slave, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
		return err
	})
	return n
}

func (t *terminal) close() error {
	if t.master == nil {
		return t.slave.Close()
	}
	return errors.Join(t.slave.Close(), t.master.Close())
}

package sim

import (
	"errors"
	"fmt"
	"os"

	"github.com/creack/pty"
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
}

// OpenTerminal makes a pseudo-terminal.
func OpenTerminal() (*Terminal, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("open a pseudo-terminal: %w", err)
	}
	t := &Terminal{Path: slave.Name(), Slave: slave}
	// creack/pty leaves the master in blocking mode; a descriptor that does not block is what has write deadlines.
	t.Master, err = nonBlocking(master)
	err = errors.Join(err, master.Close())
	if err == nil {
		err = raw(slave)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up pseudo-terminal %s: %w", t.Path, err), t.Close())
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

// Unread is how many bytes wait for a reader.
func (t *Terminal) Unread() int {
	var n int
	// An error is a terminal that was closed: nothing waits.
	_ = onDescriptor(t.Slave, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
		return err
	})
	return n
}

// Close hangs up: readers of Path see the line vanish.
func (t *Terminal) Close() error {
	if t.Master == nil {
		return t.Slave.Close()
	}
	return errors.Join(t.Slave.Close(), t.Master.Close())
}

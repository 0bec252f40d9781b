package realtest

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// Pty is a pseudo-terminal that stands for a receiver on a serial port: what the test writes, a program that opened
// Path reads.
type Pty struct {
	path          string
	master, slave *os.File
	unplug        sync.Once
}

// OpenPty opens a pseudo-terminal in raw mode. It is closed when the test ends.
func OpenPty(t testing.TB) *Pty {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatalf("open a pseudo-terminal: %v", err)
	}
	// The slave stays open here: without a reader the terminal would forget its mode, and a write be refused with EIO.
	p := &Pty{path: slave.Name(), master: master, slave: slave}
	t.Cleanup(p.Unplug)
	if err := makeRaw(slave); err != nil {
		t.Fatalf("set %s raw: %v", p.path, err)
	}
	return p
}

// Path returns the device that a program opens, such as /dev/pts/3.
func (p *Pty) Path() string {
	return p.path
}

// Write sends bytes to the reader of Path. In raw mode none is lost: when as much is unread as the kernel holds
// (some 4 to 64 KiB) Write waits for it, up to a minute.
func (p *Pty) Write(b []byte) (int, error) {
	if err := p.master.SetWriteDeadline(time.Now().Add(stopTimeout)); err != nil {
		return 0, err
	}
	n, err := p.master.Write(b)
	if err != nil {
		return n, fmt.Errorf("write to %s: %w", p.path, err)
	}
	return n, nil
}

// Release ends the exclusive use (TIOCEXCL) that a program took which then died: the last close of the terminal does that,
// and this end keeps it open.
func (p *Pty) Release() error {
	return onDescriptor(p.slave, func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCNXCL, 0) })
}

// Unplug closes the terminal, as a pulled cable does: readers of Path see a hang-up and the path vanishes when they
// have closed it.
func (p *Pty) Unplug() {
	p.unplug.Do(func() {
		_ = p.slave.Close()
		_ = p.master.Close()
	})
}

// makeRaw switches off everything that a terminal does to bytes: line editing, echo, signals, translation of line ends.
// An echo would hand a receiver's own sentences back to it.
func makeRaw(f *os.File) error {
	return onDescriptor(f, func(fd int) error {
		mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		mode.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		mode.Oflag &^= unix.OPOST
		mode.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		mode.Cflag = mode.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		return unix.IoctlSetTermios(fd, unix.TCSETS, mode)
	})
}

// onDescriptor calls do with the descriptor of f, which f.Fd would set to blocking.
func onDescriptor(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}

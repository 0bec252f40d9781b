package serial

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// line is a pseudo-terminal: what is written to its master comes out at its path.
type line struct {
	path          string
	master, slave *os.File
}

func newLine(t *testing.T) *line {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatalf("open a pseudo-terminal: %v", err)
	}
	l := &line{path: slave.Name(), master: master, slave: slave}
	t.Cleanup(l.unplug)
	l.mode(func(fd int, mode *unix.Termios) {
		mode.Cflag |= unix.HUPCL // as ports have it
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, mode); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *line) unplug() {
	_ = l.slave.Close()
	_ = l.master.Close()
}

// isRaw says that a reader has set the line up, to the last step: what is sent from now on comes through as it is.
func (l *line) isRaw() (raw bool) {
	l.mode(func(_ int, mode *unix.Termios) { raw = mode.Lflag&unix.ICANON == 0 && mode.Cflag&unix.HUPCL == 0 })
	return raw
}

// mode calls do with the settings of the line, unless it is closed.
func (l *line) mode(do func(fd int, mode *unix.Termios)) {
	conn, err := l.slave.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) { // unlike Fd, this does not set it to blocking
		if mode, err := unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil {
			do(int(fd), mode)
		}
	})
}

// start runs a Receiver on a port, or on the ports of a tree. The function that it returns ends it.
func start(t *testing.T, src source.Source) (*receiver.Receiver, *receivertest.Recorder, func()) {
	t.Helper()
	return receivertest.Start(t, src, receiver.Config{})
}

// fixed is a port at a speed, and searched one whose speed is to be found.
func fixed(path string, baud int) *port { return &port{path, finder{baud: baud, system: machine}} }
func searched(path string) *port        { return fixed(path, 0) }

// TestBytesArriveWhole: every byte value, in the order in which it was sent, at the speed that was asked for.
func TestBytesArriveWhole(t *testing.T) {
	l := newLine(t)
	mode, err := unix.IoctlGetTermios(int(l.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	mode.Cflag |= unix.HUPCL // as on a real port
	if err := unix.IoctlSetTermios(int(l.slave.Fd()), unix.TCSETS, mode); err != nil {
		t.Fatal(err)
	}
	r, rec, stop := start(t, fixed(l.path, 115200))
	defer stop()
	var sent []byte
	for i := range 50_000 {
		sent = append(sent, byte(i*i>>3), byte(i))
	}
	rec.Wait(t, "opened port", func(string) bool { return r.Status().Opens == 1 })
	if _, err := l.master.Write(sent); err != nil {
		t.Fatal(err)
	}
	rec.Wait(t, "whole", func(data string) bool { return len(data) >= len(sent) })
	if !bytes.Equal([]byte(rec.All()), sent) {
		t.Error("the bytes came out changed")
	}
	mode, err = unix.IoctlGetTermios(int(l.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if speed := mode.Cflag & unix.CBAUD; speed != unix.B115200 || mode.Cflag&unix.CSIZE != unix.CS8 || mode.Cflag&(unix.PARENB|unix.CSTOPB|unix.HUPCL) != 0 {
		t.Errorf("the line is set to %#o", mode.Cflag)
	}
	if s := r.Status(); s.State != receiver.Reading || s.Port != l.path || s.Bytes != uint64(len(sent)) {
		t.Errorf("status: %+v", s)
	}
}

// TestReplug: the port is pulled out and comes back as another device under the same name.
func TestReplug(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "gps0")
	plug := func(i int) *line {
		l := newLine(t)
		temp := fmt.Sprintf("%s.%d", link, i)
		if err := errors.Join(os.Symlink(l.path, temp), os.Rename(temp, link)); err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := plug(0)
	r, rec, stop := start(t, fixed(link, 9600))
	for i := range 3 {
		if _, err := fmt.Fprintf(l.master, "hello %d\n", i); err != nil {
			t.Fatal(err)
		}
		rec.Wait(t, "hello", func(data string) bool { return strings.HasSuffix(data, fmt.Sprintf("hello %d\n", i)) })
		// The name goes first: another process may get the pseudo-terminal's number at once.
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		l.unplug()
		rec.Wait(t, "end of the burst", func(string) bool { return r.Status().State == receiver.Waiting })
		if detail := receivertest.Text(r.Status().Problem); !strings.HasPrefix(detail, link+" went away (") && !strings.HasPrefix(detail, link+" does not exist") {
			t.Errorf("detail: %s", detail)
		}
		l = plug(i + 1)
	}
	stop()
	want := strings.Repeat("opened data quiet ", 3)
	got := ""
	for _, e := range rec.Events() {
		if strings.HasPrefix(e.What, "hello") {
			e.What = "data"
		}
		got += e.What + " "
	}
	if got = strings.TrimSuffix(got, "opened "); got != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

// TestSerialLeavesNothingBehind opens and closes a port many times, by hand and through Run.
func TestSerialLeavesNothingBehind(t *testing.T) {
	l := newLine(t)
	cycle := func() {
		c, err := openSerial(l.path, 9600)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Fatal(err)
		}
		_, rec, stop := start(t, fixed(l.path, 9600))
		rec.Wait(t, "opened port", func(string) bool { return len(rec.What()) > 0 })
		stop()
		if _, err := openSerial("/dev/null", 9600); err == nil {
			t.Fatal("/dev/null is no port")
		}
	}
	cycle() // what the runtime opens for itself, once
	before := descriptors(t)
	for range 50 {
		cycle()
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// TestHighDescriptors: a daemon with a thousand viewers reopens its port at a descriptor that select(2) cannot hold.
func TestHighDescriptors(t *testing.T) {
	l := newLine(t)
	for range 1100 {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Skipf("cannot hold 1100 descriptors: %v", err)
		}
		defer f.Close()
	}
	_, rec, stop := start(t, fixed(l.path, 9600))
	defer stop()
	if _, err := l.master.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	rec.Wait(t, "hello", func(data string) bool { return strings.HasSuffix(data, "hello") })
}

func TestPortIsHeld(t *testing.T) {
	l := newLine(t)
	c, err := openSerial(l.path, 9600)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// TIOCEXCL does not keep root out, so ask for the flag.
	var exclusive int
	if exclusive, err = unix.IoctlGetInt(int(l.slave.Fd()), unix.TIOCGEXCL); err != nil || exclusive != 1 {
		t.Errorf("the port is not held: %d, %v", exclusive, err)
	}
}

func TestExplain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "log.nmea")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// A place with a group that may: whose name /etc/group has everywhere.
	shared := filepath.Join(dir, "ttyUSB0")
	if err := errors.Join(os.WriteFile(shared, nil, 0o600), os.Chmod(shared, 0o660)); err != nil {
		t.Fatal(err)
	}
	group := "4" // adm
	if err := os.Chown(shared, -1, 4); err != nil {
		group = fmt.Sprint(os.Getgid())
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		err  error
		want []string // parts of the line
	}{
		{"missing", openErr("/dev/serial/by-id/none"), []string{"/dev/serial/by-id/none does not exist: plug the receiver in, or name another port with --device"}},
		{"directory", openErr(dir), []string{dir + " is a directory: name a port in it"}},
		{"file", openErr(file), []string{file + " is a file and not a port: play it with --device file:" + file}},
		{"fifo", openErr(fifo), []string{fifo + " is not a serial port: name one with --device"}},
		{"not a terminal", openErr("/dev/null"), []string{"/dev/null is not a serial port: name one with --device"}},
		{"group", explain(shared, &os.PathError{Op: "open", Path: shared, Err: syscall.EACCES}),
			[]string{shared + ": permission denied, it is open to group ", `"sudo usermod -aG ` + groupName(group) + " ", `", then log in again`}},
		{"no group", explain(file, &os.PathError{Op: "open", Path: file, Err: syscall.EACCES}),
			[]string{file + ": permission denied, its mode -rw------- lets no group in: \"sudo chmod g+rw " + file + `"`}},
		{"policy", explain(file, &os.PathError{Op: "open", Path: file, Err: syscall.EPERM}), []string{file + " is forbidden to this service: ", "DeviceAllow"}},
		{"busy", explain("/dev/ttyUSB0", &os.PathError{Op: "open", Path: "/dev/ttyUSB0", Err: syscall.EBUSY}),
			[]string{`/dev/ttyUSB0 is held by another program: "sudo gpsbridge doctor --device /dev/ttyUSB0" names it, and how to stop it`}},
		{"no hardware", explain("/dev/ttyS3", syscall.EIO), []string{"/dev/ttyS3 has no hardware behind it (input/output error): "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.err == nil {
				t.Fatal("no error")
			}
			for _, part := range test.want {
				if !strings.Contains(test.err.Error(), part) {
					t.Errorf("got  %s\nwant %s", test.err, part)
				}
			}
			if strings.Contains(test.err.Error(), "\n") {
				t.Errorf("more than one line: %q", test.err)
			}
		})
	}
}

func openErr(path string) error {
	c, err := openSerial(path, 9600)
	if err == nil {
		_ = c.Close()
	}
	return err
}

// TestPermissionDenied opens a port as a user whom it does not admit.
func TestPermissionDenied(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become a user without permission")
	}
	l := newLine(t)
	if err := errors.Join(os.Chown(l.path, 0, 4), os.Chmod(l.path, 0o660)); err != nil {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() {
		// The thread dies with the goroutine that never unlocks it, and nothing else runs as the other user.
		runtime.LockOSThread()
		if err := errors.Join(unix.Setfsgid(65534), unix.Setfsuid(65534)); err != nil {
			t.Error(err)
		}
		result <- openErr(l.path)
	}()
	err := <-result
	if want := l.path + ": permission denied, it is open to group " + groupName("4") + `: "sudo usermod -aG ` + groupName("4") + " "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s...", err, want)
	}
}

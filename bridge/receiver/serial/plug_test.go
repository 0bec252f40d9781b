package serial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/sim"
	"gpsbridge/bridge/receiver/source"
)

// TestReplugs: under two names in turn, behind two speeds in turn. Every sentence that was sent while the port was open
// arrives, once and in order, and nothing is left behind.
func TestReplugs(t *testing.T) {
	replugs := uint64(6)
	if testing.Short() {
		replugs = 2 // each takes half a second
	}
	m := newTree(t)
	r, rec, stop := start(t, &auto{finder: finder{system: m.system}})

	var sent []string
	descriptorsBefore, goroutinesBefore := 0, 0
	for i := range replugs {
		name := fmt.Sprintf("ttyUSB%d", i%2)
		l := newLine(t)
		m.plug(name, l.path)
		for deadline := time.Now().Add(time.Minute); !l.isRaw(); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("plug %d: not opened: %+v", i, r.Status())
			}
		}
		for k := range 3 {
			sentence := receivertest.RMC(fmt.Sprintf("%02d%02d%02d", i/60, i%60, k))
			sent = append(sent, sentence)
			if _, err := l.master.WriteString(sentence); err != nil {
				t.Fatal(err)
			}
		}
		rec.Wait(t, "last sentence", func(data string) bool { return strings.HasSuffix(data, sent[len(sent)-1]) })
		if s := r.Status(); !strings.HasSuffix(s.Port, name) || s.State != receiver.Reading {
			t.Errorf("plug %d: status: %+v", i, s)
		}
		if err := os.Remove(filepath.Join(m.dev, name)); err != nil {
			t.Fatal(err)
		}
		l.unplug()
		receivertest.WaitStatus(t, r, "notice", func(s receiver.Status) bool { return s.State == receiver.Waiting })
		if i == 0 { // what the runtime opens for itself, once
			descriptorsBefore, goroutinesBefore = descriptors(t), runtime.NumGoroutine()
		}
	}
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() { // the search opens directories for a moment
		d, g := descriptors(t), runtime.NumGoroutine()
		if d <= descriptorsBefore && g <= goroutinesBefore {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors and %d goroutines, there were %d and %d", d, g, descriptorsBefore, goroutinesBefore)
		}
	}
	stop()
	if got := rec.All(); got != strings.Join(sent, "") {
		t.Errorf("of %d sentences came %d", len(sent), strings.Count(got, "$GPRMC"))
	}
	if s := r.Status(); s.Opens != replugs {
		t.Errorf("opened %d times", s.Opens)
	}
}

// opens counts the opens of a device.
type opens struct {
	t  *testing.T
	fd int
}

func watchOpens(t *testing.T, path string) opens {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, path, unix.IN_OPEN)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return opens{t, fd}
}

func (o opens) count() int {
	buf := make([]byte, 4096)
	n, err := unix.Read(o.fd, buf)
	if errors.Is(err, unix.EAGAIN) {
		return 0
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return n / unix.SizeofInotifyEvent
}

// TestLeftAlone: the console, and ports that other programs hold, are never opened, though they come before the receiver's.
func TestLeftAlone(t *testing.T) {
	t.Parallel()
	m := newTree(t)
	console, held, claimed, speaker := newLine(t), newLine(t), newLine(t), newLine(t)
	m.plug("ttyACM0", console.path)
	m.file(filepath.Join(m.proc, "consoles"), "ttyACM0 -W- (EC  p a) 166:0\n")
	m.plug("ttyUSB0", held.path)
	m.file(filepath.Join(m.proc, "77/comm"), "gpsd\n")
	m.link(filepath.Join(m.proc, "77/fd/5"), held.path)
	m.plug("ttyUSB1", claimed.path) // by a process that cannot be seen
	if err := unix.Flock(int(claimed.slave.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	m.plug("ttyUSB2", speaker.path)
	watched := []opens{watchOpens(t, console.path), watchOpens(t, held.path)}
	control := watchOpens(t, speaker.path)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go feed(ctx, speaker, receivertest.RMC("120000"))
	r, rec, stop := start(t, &auto{finder: finder{system: m.system}})
	defer stop()
	rec.Wait(t, "sentence", func(data string) bool { return strings.Contains(data, "$GPRMC") })
	if s := r.Status(); !strings.HasSuffix(s.Port, "ttyUSB2") {
		t.Errorf("status: %+v", s)
	}
	for _, o := range watched {
		if n := o.count(); n > 0 {
			t.Errorf("opened %d times", n)
		}
	}
	if control.count() == 0 {
		t.Error("an open would not have been seen")
	}
	if claimed.isRaw() {
		t.Error("a claimed port was set up")
	}
	cancel()
	_ = os.Remove(filepath.Join(m.dev, "ttyUSB2"))
	speaker.unplug()
	s := receivertest.WaitStatus(t, r, "loss", func(s receiver.Status) bool { return strings.Contains(receivertest.Text(s.Problem), "console") })
	for _, want := range []string{
		"/ttyACM0 is the system console; ", "ttyACM0: take it out of the kernel command line",
		"/ttyUSB0 is held by gpsd (pid 77)", `ttyUSB0: "sudo systemctl disable --now gpsd.socket gpsd"`,
		"/ttyUSB1 is held by another program; ", `ttyUSB1: "sudo gpsbridge doctor`,
	} {
		if !strings.Contains(receivertest.Text(s.Problem), want) {
			t.Errorf("detail %q, want %q", receivertest.Text(s.Problem), want)
		}
	}
}

// TestNotPermitted: a port that only another user may open is named with the fix.
func TestNotPermitted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become a user without permission")
	}
	dir, err := os.MkdirTemp("", "ports")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := tree{t, system{dev: dir, sys: dir, proc: dir}}
	l := newLine(t)
	m.plug("ttyUSB0", l.path)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(l.path, 0, 4), os.Chmod(l.path, 0o660)); err != nil {
		t.Fatal(err)
	}
	watched, result := watchOpens(t, l.path), make(chan error)
	go func() {
		runtime.LockOSThread() // the thread dies with the goroutine, and nothing else runs as the other user
		if err := errors.Join(unix.Setfsgid(65534), unix.Setfsuid(65534)); err != nil {
			t.Error(err)
		}
		h, _ := receivertest.NewHost()
		_, err := (&auto{finder: finder{system: m.system}}).Open(context.Background(), h)
		result <- err
	}()
	err = <-result
	want := dir + "/ttyUSB0: permission denied, it is open to group " + groupName("4") + `: "sudo usermod -aG `
	if err == nil || !strings.HasPrefix(err.Error(), want) || watched.count() > 0 {
		t.Errorf("got  %v\nwant %s...", err, want)
	}
}

// TestSilentPortIsLeft: a receiver falls silent, which is shown long before its port is given up; another port has one that speaks.
func TestSilentPortIsLeft(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 3 s")
	}
	t.Parallel()
	m := newTree(t)
	first, second := newLine(t), newLine(t)
	m.plug("ttyUSB0", first.path)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	feeding, silence := context.WithCancel(ctx)
	go feed(feeding, first, receivertest.RMC("111111"))
	r, rec, stop := receivertest.Start(t, &auto{finder: finder{system: m.system}}, receiver.Config{Silence: time.Hour})
	defer stop()
	rec.Wait(t, "sentence", func(data string) bool { return strings.Contains(data, "111111") })
	silence()
	began := time.Now()
	s := receivertest.WaitStatus(t, r, "silence", func(s receiver.Status) bool { return s.State == receiver.Silent })
	if took := time.Since(began); took > 5*time.Second || !strings.HasSuffix(receivertest.Text(s.Problem), "/ttyUSB0 sends nothing: check the receiver's power and cable") {
		t.Errorf("shown after %v: %+v", took, s)
	}
	m.plug("ttyUSB1", second.path)
	go feed(ctx, second, receivertest.RMC("222222"))
	rec.Wait(t, "other receiver", func(data string) bool { return strings.Contains(data, "222222") })
	t.Logf("the other receiver was read %v after the first fell silent", time.Since(began).Round(10*time.Millisecond))
	if s := r.Status(); !strings.HasSuffix(s.Port, "ttyUSB1") || s.State != receiver.Reading {
		t.Errorf("status: %+v", s)
	}
}

// TestPlugBesideASilentPort: a port that never says anything, as a UART without a receiver, keeps no receiver from being found.
func TestPlugBesideASilentPort(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 4 s")
	}
	t.Parallel()
	m := newTree(t)
	m.plug("ttyAMA0", newLine(t).path)
	r, rec, stop := receivertest.Start(t, &auto{finder: finder{system: m.system}}, receiver.Config{Silence: time.Hour})
	defer stop()
	receivertest.WaitStatus(t, r, "silence", func(s receiver.Status) bool { return s.State == receiver.Silent })
	m.plug("ttyUSB0", simulate(t, sim.Config{Baud: 9600}, "").Path())
	began := time.Now()
	rec.Wait(t, "sentence", func(data string) bool { return strings.Contains(data, "RMC,") })
	t.Logf("read %v after it was plugged in", time.Since(began).Round(10*time.Millisecond))
}

// TestSharedPort: a port that the user named is read, also when it is the console or another program's, and that is said.
func TestSharedPort(t *testing.T) {
	m := newTree(t)
	m.plug("ttyAMA0", "/dev/tty") // no pseudo-terminal, as far as its number says
	p := &port{filepath.Join(m.dev, "ttyAMA0"), finder{system: m.system}}
	if got := p.shared(p.system.port(p.path)); got != nil {
		t.Errorf("alone: %q", got)
	}
	m.file(filepath.Join(m.proc, "7/comm"), "agetty\n")
	m.link(filepath.Join(m.proc, "7/fd/0"), "/dev/tty")
	p.lookout = lookout{}
	want := p.path + ` is held by agetty (pid 7), and each program gets a part of what comes: a login shell runs on it: "sudo systemctl disable --now serial-getty@ttyAMA0"`
	if got := p.shared(p.system.port(p.path)); receivertest.Text(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	m.file(filepath.Join(m.sys, "class/tty/console/active"), "ttyAMA0\n")
	if got := p.shared(p.system.port(p.path)); !got.Same(onConsole(p.path)) {
		t.Errorf("console: %q", got)
	}
	l := newLineTest(t, 9600, false)
	l.standing = &problem.Problem{Code: source.Held, Cause: "held"}
	l.begin(l.now)
	if err := l.seconds(20, receivertest.RMC("120000")); err != nil || !l.status().Warning.Same(l.standing) {
		t.Errorf("status: %+v, %v", l.status(), err)
	}
}

package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// started opens a receiver and runs it until the test ends.
func started(t *testing.T, c Config, link string) *Receiver {
	t.Helper()
	r, err := Open(c, link)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// reader opens the port as a program does that sets no mode.
func reader(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	// So that a test that fails ends.
	if err := f.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestReceiverSendsTheEpochs(t *testing.T) {
	t.Parallel()
	for _, baud := range []int{0, 460800} {
		c := Config{Rate: 25, Baud: baud, Start: defaultStart, Seed: 1}
		r, err := Open(c, "")
		if err != nil {
			t.Fatal(err)
		}
		f := reader(t, r.Path())
		done := make(chan error)
		go func() { done <- r.Run(t.Context()) }()
		want, begins := generator(t, c), make([]byte, len("$GNRMC,hhmmss.ss,"))
		for range 10 {
			if _, err := io.ReadFull(f, begins); err != nil {
				t.Fatal(err)
			}
			// A machine that held the receiver up has had it leave epochs out.
			for skipped := 0; string(begins) != want.Next().Format("$GNRMC,150405.00,"); skipped++ {
				if skipped == 10_000 {
					t.Fatalf("%d baud: no epoch begins with %q", baud, begins)
				}
				want.Skip()
			}
			epoch := want.AppendEpoch(nil)
			got := append(begins, make([]byte, len(epoch)-len(begins))...)
			if _, err := io.ReadFull(f, got[len(begins):]); err != nil || !bytes.Equal(got, epoch) {
				t.Fatalf("%d baud: read\n%q, %v\nwant\n%q", baud, got, err, epoch)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("Run of a closed receiver: %v", err)
		}
		n, err := io.Copy(io.Discard, f)
		if err != nil && !errors.Is(err, unix.EIO) {
			t.Errorf("after the end: %d bytes, %v", n, err)
		}
	}
}

func TestReadersComeAndGo(t *testing.T) {
	t.Parallel()
	r := started(t, Config{Rate: 25}, "")
	for range 5 {
		f := reader(t, r.Path())
		buf := make([]byte, 2000)
		if _, err := io.ReadFull(f, buf); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(buf, []byte("$GNRMC,")); n < 1 {
			t.Errorf("no RMC in %q", buf)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNobodyReads: a write to a full queue comes back, and who opens the port later does not get the past.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	term, err := OpenTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer term.Close()
	// A reader that was killed has left its claim on the port.
	if err := unix.IoctlSetInt(int(term.Slave.Fd()), unix.TIOCEXCL, 0); err != nil {
		t.Fatal(err)
	}
	old := bytes.Repeat([]byte("old "), 1024)
	now := time.Now()
	for i := range 30 { // 120 kB; the kernel takes some 70
		if err := term.write(old); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
	}
	for i := range 100 {
		term.tidy(now.Add(time.Duration(i) * 100 * time.Millisecond))
		if term.Unread() == 0 {
			break
		}
	}
	if err := term.write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if held, err := unix.IoctlGetInt(int(term.Slave.Fd()), unix.TIOCGEXCL); err != nil || held != 0 {
		t.Errorf("the port is still claimed: %d, %v", held, err)
	}
	f := reader(t, term.Path)
	var got []byte
	for !bytes.HasSuffix(got, []byte("new")) {
		buf := make([]byte, 4096)
		n, err := f.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, buf[:n]...)
	}
	if len(got) > 4096 {
		t.Errorf("read %d bytes, of which 3 are new", len(got))
	}
}

// TestTidyLeavesReadersAlone: what a reader that takes bytes has not taken yet stays.
func TestTidyLeavesReadersAlone(t *testing.T) {
	term, err := OpenTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer term.Close()
	f := reader(t, term.Path)
	now := time.Now()
	buf := make([]byte, 100)
	for i := range 10 {
		term.tidy(now.Add(time.Duration(i) * time.Second))
		if err := term.write(bytes.Repeat([]byte{byte('0' + i)}, 150)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(f, buf); err != nil {
			t.Fatal(err)
		}
	}
	rest := make([]byte, 500)
	if _, err := io.ReadFull(f, rest); err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("6", 50) + strings.Repeat("7", 150) + strings.Repeat("8", 150) + strings.Repeat("9", 150); string(rest) != want {
		t.Errorf("read %q, want %q", rest, want)
	}
}

// TestPace: bytes come at the speed of the line, and what is due while it is busy waits.
func TestPace(t *testing.T) {
	t.Parallel()
	r, err := Open(Config{Baud: 9600}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, now := newWire(9600), time.Now()
	if !r.send(t.Context(), w, now, make([]byte, 200)) {
		t.Fatal("not sent")
	}
	if took := w.free.Sub(now); took < 208*time.Millisecond || took > 209*time.Millisecond || time.Since(now) < took {
		t.Errorf("200 bytes took %v at 9600 baud", took)
	}
	if !r.send(t.Context(), w, now.Add(100*time.Millisecond), make([]byte, 8)) || w.free.Sub(now) < 216*time.Millisecond {
		t.Errorf("a byte was sent at %v, the line was busy", w.free.Sub(now))
	}
}

// TestCurrentTime: a receiver that starts in the near future sends each epoch when it is.
func TestCurrentTime(t *testing.T) {
	t.Parallel()
	start := time.Now().Add(300 * time.Millisecond)
	r := started(t, Config{Start: start}, "")
	if _, err := io.ReadFull(reader(t, r.Path()), make([]byte, 80)); err != nil || time.Since(start) < 0 {
		t.Errorf("the first epoch came %v before it was, %v", time.Until(start), err)
	}
}

func TestLink(t *testing.T) {
	link := filepath.Join(t.TempDir(), "gps0")
	first, err := Open(Config{}, link)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(Config{}, link)
	if err != nil {
		t.Fatal(err)
	}
	if second.Path() != link {
		t.Errorf("Path is %s", second.Path())
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if target, err := os.Readlink(link); err != nil || target != second.line.Path {
		t.Errorf("the link leads to %s (%v), want %s", target, err, second.line.Path)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(link); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link is still there: %v", err)
	}
	if err := os.WriteFile(link, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{}, link); err == nil || !strings.Contains(err.Error(), "a file of this name exists") {
		t.Errorf("a file was replaced by a link: %v", err)
	}
}

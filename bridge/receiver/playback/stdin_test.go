package playback

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"

	"golang.org/x/sys/unix"
)

// of is a source of what an open file is.
func of(f *os.File) given { return given{func() (source.Conn, error) { return openStdin(f) }} }

func TestStdinPipe(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r, rec, stop := receivertest.Start(t, of(in), receiver.Config{})
	if _, err := out.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	rec.Wait(t, "hello", func(data string) bool { return data == "hello" })
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	rec.Wait(t, "end", func(string) bool { return r.Status().State == receiver.Ended })
	stop()
	if detail := receivertest.Text(r.Status().Problem); !strings.HasPrefix(detail, "no NMEA sentence in standard input") {
		t.Errorf("detail: %s", detail)
	}
}

// TestStdinIsInterrupted: Run ends without a write or a close, and the descriptor that the shell shares stays as it was.
func TestStdinIsInterrupted(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil { // blocking, as a shell makes it
		t.Fatal(err)
	}
	in, out := os.NewFile(uintptr(fds[0]), "in"), os.NewFile(uintptr(fds[1]), "out")
	defer in.Close()
	defer out.Close()
	_, rec, stop := receivertest.Start(t, of(in), receiver.Config{})
	if _, err := out.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	rec.Wait(t, "hello", func(data string) bool { return data == "hello" })
	stop()
	flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("standard input was made non-blocking: %#o, %v", flags, err)
	}
}

// TestStdinThatHasEnded: what was written is read after its writer has ended.
func TestStdinThatHasEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo") // opening a named pipe waits for a writer, unless told not to
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	r, rec, stop := receivertest.Start(t, of(in), receiver.Config{})
	rec.Wait(t, "end", func(string) bool { return r.Status().State == receiver.Ended })
	stop()
	if got := strings.Join(rec.What(), " "); got != "opened hello quiet" {
		t.Error(got)
	}
}

func TestStdinFileAndSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	socket := os.NewFile(uintptr(pair[0]), "socket")
	defer socket.Close()
	other := os.NewFile(uintptr(pair[1]), "other")
	if _, err := other.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	for _, in := range []*os.File{file, socket} {
		rec := receivertest.NewRecorder()
		if err := receiver.New(of(in), receiver.Config{}).Run(t.Context(), rec); err != nil {
			t.Errorf("%s: %v", in.Name(), err)
		}
		if got := strings.Join(rec.What(), " "); got != "opened hello quiet" {
			t.Errorf("%s: %s", in.Name(), got)
		}
	}
}

var _ source.Conn = net.Conn(nil) // a socket is one

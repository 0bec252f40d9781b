package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// envWriter makes the test binary the writer of TestPowerCutsOnARealFileSystem, in the directory that it names.
const envWriter = "GPSBRIDGE_SPOOL_WRITER"

// write is the program that the power is cut of. It appends as fast as it may, acknowledges some of it, and states what is
// certain to be on the disk: every record from M+1 to N, with M in the last "acking M" and N in the last "saved N".
func write(dir, tmpfs string) error {
	s, err := Open(Options{Dir: filepath.Join(dir, "spool"), Runtime: tmpfs, Max: 8 << 20, Sync: time.Hour, Readers: []string{"r"}})
	if err != nil {
		return err
	}
	const waiting = 2000
	for i := 0; ; i++ {
		var last uint64
		for range 1 + i%90 {
			if last, err = s.Append([]byte(strings.Repeat(fmt.Sprint(i%10), 200+i%300))); err != nil {
				return err
			}
		}
		if r := s.Reader("r"); i%5 == 0 && last > waiting {
			fmt.Printf("acking %d\n", last-waiting) // before it is done: from now on they may be gone
			for pos := r.Acked() + 1; pos <= last-waiting; pos++ {
				r.Ack(pos)
			}
		}
		if err := s.flush(false); err != nil {
			return err
		}
		fmt.Printf("saved %d\n", last)
	}
}

// writer is the process that writes and what it has said.
type writer struct {
	*os.Process
	out          *os.File
	lines        *bufio.Reader
	line         string // so far
	saved, acked uint64
}

// listen reads one line. It is false when none has come for 50 ms.
func (w *writer) listen(t *testing.T) bool {
	t.Helper()
	if err := w.out.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	part, err := w.lines.ReadString('\n')
	w.line += part
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if err != nil {
		t.Fatalf("the writer has ended: %v", err)
	}
	if _, err = fmt.Sscanf(w.line, "saved %d", &w.saved); err != nil {
		_, err = fmt.Sscanf(w.line, "acking %d", &w.acked)
	}
	if err != nil {
		t.Fatalf("the writer printed %q: %v", w.line, err)
	}
	w.line = ""
	return true
}

// freeze stops it wherever it is, and hears what it had said before.
func (w *writer) freeze(t *testing.T) {
	t.Helper()
	if err := w.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(w.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("the writer is not frozen: %v, %v", status, err)
	}
	for w.listen(t) || w.unread(t) > 0 { // a test that did not run for 50 ms has read nothing
	}
}

// unread is how many bytes of what it has said wait in the pipe.
func (w *writer) unread(t *testing.T) (n int) {
	t.Helper()
	conn, err := w.out.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ioctlErr error
	err = conn.Control(func(fd uintptr) { n, ioctlErr = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	if err := errors.Join(err, ioctlErr); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPowerCutsOnARealFileSystem freezes a writer at random moments, copies the block device as it stands, and mounts
// the copy, which replays the journal.
func TestPowerCutsOnARealFileSystem(t *testing.T) {
	image := ext4(t, 32)
	dir := mount(t, "-o", "loop", image)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envWriter+"="+dir, envWriter+"_TMPFS="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	w := &writer{Process: cmd.Process, out: out.(*os.File), lines: bufio.NewReader(out)}
	for cut := range 10 {
		for n := 20 + rand.IntN(200); n > 0; {
			if w.listen(t) {
				n--
			}
		}
		w.freeze(t)
		copyImage := filepath.Join(t.TempDir(), "copy")
		copyFile(t, copyImage, image)
		if err := w.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		checkCut(t, cut, copyImage, w.saved, w.acked)
	}
	t.Logf("10 power cuts, %d records written, %d acknowledged", w.saved, w.acked)
}

func checkCut(t *testing.T, cut int, image string, saved, acked uint64) {
	t.Run(fmt.Sprint("cut ", cut+1), func(t *testing.T) {
		dir := mount(t, "-o", "loop", image)
		s := mustOpen(t, Options{Dir: filepath.Join(dir, "spool"), Max: 8 << 20, Log: slog.New(slog.DiscardHandler)})
		got := contents(t, s.Reader("r"))
		for pos := acked + 1; pos <= saved; pos++ {
			if _, ok := got[pos]; !ok {
				t.Fatalf("%d is lost, %d to %d were on the disk", pos, acked+1, saved)
			}
		}
		for pos, data := range got {
			if strings.Trim(data, data[:1]) != "" || len(data) < 200 {
				t.Fatalf("%d is %q", pos, data)
			}
		}
		if pos := mustAppend(t, s, "more"); pos <= saved {
			t.Errorf("positions go on with %d after %d", pos, saved)
		}
		mustClose(t, s)
	})
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

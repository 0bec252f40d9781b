package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/receiver/sim"
	"gpsbridge/nmea"
)

// onTerminal runs a program on a terminal of so many columns and lines until what it has printed satisfies reached, then
// presses Ctrl-C, and returns all it has printed and how it ended.
func onTerminal(t *testing.T, cmd *exec.Cmd, columns, lines uint16, reached func(string) bool) (string, error) {
	t.Helper()
	return typing(t, cmd, columns, lines, reached, "\x03")
}

// answer types a line at a terminal when a program has printed what to wait for, and returns all it has printed and its exit
// code.
func answer(t *testing.T, cmd *exec.Cmd, prompt, line string) (said string, code int) {
	t.Helper()
	said, err := typing(t, cmd, 80, 24, func(said string) bool { return strings.Contains(said, prompt) }, line)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return said, cmd.ProcessState.ExitCode()
}

// typing runs a program on a terminal and types keys as soon as what it has printed satisfies reached. The program is killed when
// it has not ended soon.
func typing(t *testing.T, cmd *exec.Cmd, columns, lines uint16, reached func(string) bool, keys string) (string, error) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: columns, Rows: lines})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	defer time.AfterFunc(soon, func() { _ = cmd.Process.Kill() }).Stop()
	var said bytes.Buffer
	buf := make([]byte, 4096)
	for pressed := false; ; {
		n, err := terminal.Read(buf)
		said.Write(buf[:n])
		if errors.Is(err, syscall.EIO) || errors.Is(err, io.EOF) { // the program has closed it
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !pressed && reached(said.String()) {
			pressed = true
			if _, err := io.WriteString(terminal, keys); err != nil {
				t.Fatal(err)
			}
		}
	}
	return said.String(), cmd.Wait()
}

// TestStatusAsksTheDaemonAlone: neither the environment's proxy nor what answers in place of the daemon leads the viewers' token elsewhere.
func TestStatusAsksTheDaemonAlone(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { t.Errorf("%s was asked for %s", q.Host, q.URL) }))
	defer other.Close()
	address := append(ownAddresses(), "127.0.0.1")[0] // which has no proxy
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	moved := http.Server{Handler: http.RedirectHandler(other.URL, http.StatusFound)}
	go moved.Serve(l)
	defer moved.Close()
	cmd := gpsbridge(t, "status", "--listen", l.Addr().String())
	cmd.Env = append(cmd.Env, "HTTP_PROXY="+other.URL, "http_proxy="+other.URL, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "does not answer as a gpsbridge daemon (302 Found)") {
		t.Errorf("%v, %s", err, out)
	}
}

// TestStatusWatch: a picture in place, that ends with the terminal as it was.
func TestStatusWatch(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "--device", simulate(t, sim.Config{Rate: 1, Baud: 38400, Garble: true}))
	d.waitStatus("a whole epoch", func(st observe.Status) bool { return st.Receivers[0].Mode == nmea.Mode3D && st.Receivers[0].Fixes > 1 })
	shows := func(picture string) bool {
		return !slices.ContainsFunc([]string{"device    van_7", "reading", "38400 baud", "GNRMC:", "3D", "waiting", "viewers   0", endOfScreen}, func(want string) bool {
			return !strings.Contains(picture, want)
		})
	}
	// On a busy machine a receiver that sends once a second is silent now and then.
	said, err := onTerminal(t, gpsbridge(t, "status", "--watch", "--listen", d.addr), 60, 24, func(said string) bool {
		pictures := strings.Split(said, toTop)
		return len(pictures) > 4 && slices.ContainsFunc(pictures, shows)
	})
	if err != nil || !strings.HasPrefix(said, enterScreen) || !strings.HasSuffix(said, leaveScreen) || strings.Count(said, enterScreen) != 1 {
		t.Errorf("%v; begins with %.20q, ends with %q", err, said, said[max(0, len(said)-1500):])
	}
	pictures := strings.Split(strings.TrimSuffix(said, leaveScreen), toTop)
	for i, picture := range pictures[1:4] {
		if strings.Count(picture, "\n") >= 24 {
			t.Errorf("picture %d has %d lines and would scroll", i, strings.Count(picture, "\n"))
		}
		for line := range strings.SplitSeq(picture, endOfLine+"\r\n") {
			if n := len([]rune(strings.ReplaceAll(line, endOfScreen, ""))); n > 60 {
				t.Errorf("picture %d: a line of %d columns: %q", i, n, line)
			}
		}
	}
}

// TestStatusWatchWithoutTerminal: a line a second, and a daemon that has gone is waited for.
func TestStatusWatchWithoutTerminal(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "--device", simulate(t, sim.Config{Rate: 1, Baud: 38400, Garble: true}))
	d.waitStatus("a fix", func(st observe.Status) bool { return !st.Receivers[0].Stale() })
	watch := start(t, gpsbridge(t, "status", "--watch", "--listen", d.addr))
	if _, err := watch.WaitOutput(soon, func(out string) bool { return strings.Count(out, " 3D fix ") >= 2 }); err != nil {
		t.Fatal(err)
	}
	d.Kill()
	out, err := watch.WaitOutput(soon, func(out string) bool { return strings.Contains(out, "no daemon answers at "+d.addr) })
	if err != nil || strings.Contains(out, "\x1b") {
		t.Errorf("%v: %q", err, out)
	}
	watch.Signal(syscall.SIGINT)
	if code, err := watch.Exit(soon); code != exitDone || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
}

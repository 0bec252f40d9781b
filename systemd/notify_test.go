package systemd

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gpsbridge/bridge/realtest"
)

func TestMain(m *testing.M) { realtest.Main(m, goleak.Cleanup(removeBuilt)) }

// manager is the other end of the notification socket.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	t.Setenv("NOTIFY_SOCKET", path)
	return conn
}

func heard(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 1024)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestNotifySaysReadyStatusAndStopping(t *testing.T) {
	conn := manager(t)
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- Notify(ctx, ready, func() string { return "3D fix\n2 viewers" }) }()
	close(ready)
	for _, want := range []string{"READY=1", "STATUS=3D fix 2 viewers"} {
		if got := heard(t, conn); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	cancel()
	if got := heard(t, conn); got != "STOPPING=1" {
		t.Errorf("heard %q, want STOPPING=1", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNotifyIsNotReadyBeforeItIs(t *testing.T) {
	conn := manager(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Notify(ctx, make(chan struct{}), func() string { return "" }); err != nil {
		t.Error(err)
	}
	conn.SetReadDeadline(time.Now())
	if n, err := conn.Read(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were said before it was ready: %v", n, err)
	}
}

func TestNotifyOutsideSystemdSaysNothing(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	ready := make(chan struct{})
	close(ready)
	if err := Notify(t.Context(), ready, func() string { t.Error("asked for a status"); return "" }); err != nil {
		t.Error(err)
	}
}

func TestWatchdogIsFedByProgressAlone(t *testing.T) {
	conn := manager(t)
	t.Setenv("WATCHDOG_USEC", "2000") // so it asks every millisecond
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	ctx, cancel := context.WithCancel(t.Context())
	var works atomic.Bool
	asked, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- Watchdog(ctx, func() bool {
			works := works.Load()
			select {
			case asked <- struct{}{}:
			case <-ctx.Done():
			}
			return works
		})
	}()
	for range 3 {
		<-asked
	}
	conn.SetReadDeadline(time.Now())
	if n, err := conn.Read(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were said without progress: %v", n, err)
	}
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	works.Store(true)
	<-asked // which may have looked before
	<-asked
	if got := heard(t, conn); got != "WATCHDOG=1" {
		t.Errorf("heard %q, want WATCHDOG=1", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWatchdogOfNobody(t *testing.T) {
	asked := func() bool { t.Error("asked for progress"); return true }
	for _, env := range []struct{ usec, pid string }{{"", ""}, {"1000", "1"}} { // none; that of the process that started this one
		t.Setenv("WATCHDOG_USEC", env.usec)
		t.Setenv("WATCHDOG_PID", env.pid)
		if err := Watchdog(t.Context(), asked); err != nil {
			t.Errorf("WATCHDOG_USEC=%q WATCHDOG_PID=%q: %v", env.usec, env.pid, err)
		}
	}
	t.Setenv("WATCHDOG_USEC", "soon")
	t.Setenv("WATCHDOG_PID", "")
	if err := Watchdog(t.Context(), asked); err == nil {
		t.Error("WATCHDOG_USEC=soon is no error")
	}
}

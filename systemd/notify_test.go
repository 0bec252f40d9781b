package systemd

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manager is the other end of the notification socket.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
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

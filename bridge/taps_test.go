package bridge

import (
	"bufio"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/receivertest"
)

// TestBytesAreRecordedAndShared has a receiver's bytes in a file and at another program, and plays the file back.
func TestBytesAreRecordedAndShared(t *testing.T) {
	t.Parallel()
	const n = 10
	path := filepath.Join(t.TempDir(), "drive.nmea")
	pty := realtest.OpenPty(t)
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: pty.Path() + "?baud=9600", Record: path, NMEAListen: "127.0.0.1:0"}}
	})
	d.await(t, "open port", func(st observe.Status) bool { return st.Receivers[0].Opens == 1 && st.Receivers[0].Shared != nil })
	other, err := net.Dial("tcp", d.Status().Receivers[0].Shared.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	d.await(t, "client", func(st observe.Status) bool { return st.Receivers[0].Shared.Clients == 1 })
	var sent strings.Builder
	for s := range n {
		if _, err := io.MultiWriter(pty, &sent).Write(receivertest.Epoch(s, true)); err != nil {
			t.Fatal(err)
		}
	}
	d.await(t, "fixes", func(st observe.Status) bool { return st.Receivers[0].Fixes == n })
	other.SetReadDeadline(time.Now().Add(patience))
	lines := bufio.NewReader(other)
	for want := range strings.Lines(sent.String()) {
		got, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if got != want && !strings.HasPrefix(sent.String(), want) { // the first line may have begun before it joined
			t.Fatalf("the other program has %q, want %q", got, want)
		}
	}
	if st := d.Status().Receivers[0].Record; st == nil || st.Bytes != uint64(sent.Len()) {
		t.Errorf("recording %+v, want %d bytes", st, sent.Len())
	}
	d.stop()
	d.wait(t)

	again := start(t, func(c *config.File) { c.Receivers = []config.ReceiverSection{{Source: "file:" + path + "?rate=0"}} })
	again.wait(t)
	if st := again.Status().Receivers[0]; st.Fixes != n || st.Bytes != uint64(sent.Len()) {
		t.Errorf("played back: %d fixes and %d bytes, want %d and %d", st.Fixes, st.Bytes, n, sent.Len())
	}
}

func TestRecordingAndSharingThatFailAreSaidAndTrackingGoesOn(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{
			Source: "file:" + recording(t, 20) + "?rate=0", Record: "/nonexistent/drive.nmea", NMEAListen: taken.Addr().String(),
		}}
	})
	d.wait(t)
	if st := d.Status().Receivers[0]; st.Fixes != 20 {
		t.Errorf("%d fixes, want 20", st.Fixes)
	}
	for _, want := range []string{"nothing is recorded, tracking goes on", "are not shared, tracking goes on"} {
		if strings.Count(d.log.String(), want) != 1 {
			t.Errorf("the log does not state once %q", want)
		}
	}
}

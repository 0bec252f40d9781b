package bridge

import (
	"bytes"
	"strings"
	"testing"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/uplink"
)

// TestBatch collects fixes for longer than the test takes: they are in the spool and with local viewers at once, and go to the server
// with a turn, with a reload that ends the collecting, and when the daemon stops.
func TestBatch(t *testing.T) {
	t.Parallel()
	pty := realtest.OpenPty(t)
	server, group := trackingServer(t)
	batch := func(time string) func(*config.File) { return func(c *config.File) { c.Report.Batch = time } }
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: pty.Path() + "?baud=9600"}}
		c.Uplinks = []config.UplinkSection{server}
		batch("5m")(c)
	})
	member := realtest.Join(t, group)
	d.await(t, "open port and connection", func(st observe.Status) bool {
		return st.Receivers[0].Opens == 1 && st.Uplinks[0].State == uplink.Connected
	})
	second := 0
	send := func(epochs ...[]byte) {
		t.Helper()
		if _, err := pty.Write(bytes.Join(epochs, nil)); err != nil {
			t.Fatal(err)
		}
		second += len(epochs)
		d.await(t, "fixes", func(st observe.Status) bool { return st.Receivers[0].Fixes == uint64(second) })
	}
	straight := func(n int) {
		t.Helper()
		var epochs [][]byte
		for i := range n {
			epochs = append(epochs, receivertest.Epoch(second+i, true))
		}
		send(epochs...)
	}
	wait := func(n uint64) {
		t.Helper()
		d.await(t, "fixes that wait", func(st observe.Status) bool {
			u := st.Uplinks[0]
			return u.HeldBack == n && u.Behind == n && u.Sent == uint64(second)-n && st.Spool.Records == int(n) && st.Relay.Messages == int64(second)
		})
		if err := observe.Health(d.Status()); err != nil {
			t.Errorf("%d fixes are held back, and health is %v", n, err)
		}
	}
	arrive := func() {
		t.Helper()
		if got := member.WaitDistinct(second, patience); len(got) != second {
			t.Errorf("%d of %d messages arrived", len(got), second)
		}
	}
	straight(1)
	arrive()
	straight(5)
	wait(5)
	send([]byte(receivertest.Sentence("GPRMC,0900%02d.00,A,5130.0000,N,00007.5000,W,27.0,124.4,231126,,,A", second)))
	arrive()
	wait(0)
	straight(2)
	send(receivertest.Epoch(second, false))
	arrive()
	send(receivertest.Epoch(second, true))
	arrive()
	straight(3)
	wait(3)
	if restart, err := d.Reload(d.changed(t, batch(""))); err != nil || restart != nil {
		t.Fatalf("reload: %v, %v", restart, err)
	}
	arrive()
	straight(2)
	arrive()
	if restart, err := d.Reload(d.changed(t, batch("5m"))); err != nil || restart != nil {
		t.Fatalf("reload: %v, %v", restart, err)
	}
	straight(2)
	wait(2)
	d.stop()
	d.wait(t)
	arrive()
	for i, m := range member.Messages() {
		if strings.Contains(string(m.Text), "backlog") {
			t.Errorf("message %d is marked as late: %s", i, m.Text)
		}
	}
}

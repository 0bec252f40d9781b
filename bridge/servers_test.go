package bridge

import (
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/receivertest"
)

// silentServer takes what it is sent, answers pings, and echoes nothing.
func silentServer(t *testing.T) config.UplinkSection {
	t.Helper()
	var upgrade websocket.Upgrader
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrade.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return config.UplinkSection{Name: "silent", Server: "ws" + strings.TrimPrefix(s.URL, "http"), Ack: "echo"}
}

// TestServerThatHangsCostsTheOtherNothing stops a daemon while one of two servers answers nothing: that has the whole time of
// the stop, and the other one all the same. Satellites have no number, and only a ping shows that the last ones arrived.
func TestServerThatHangsCostsTheOtherNothing(t *testing.T) {
	t.Parallel()
	live, _ := trackingServer(t)
	live.Name = "live"
	pty := realtest.OpenPty(t)
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: pty.Path() + "?baud=9600"}}
		c.Uplinks = []config.UplinkSection{silentServer(t), live}
		c.Report.Sky = true
	})
	d.await(t, "open port", func(st observe.Status) bool { return st.Receivers[0].Opens == 1 })
	const n = 20 // of fixes, so that the server is seen to echo
	for s := range n {
		if _, err := pty.Write(receivertest.Epoch(s, true)); err != nil {
			t.Fatal(err)
		}
	}
	d.await(t, "echoes", func(st observe.Status) bool { return st.Uplinks[1].Acked == n && st.Uplinks[0].Outstanding > 0 })
	// One more fix, and after it, in the same epoch, what is the last message of all.
	if _, err := pty.Write(append(receivertest.Epoch(n, true), receivertest.Sentence("GPGSV,1,1,01,05,71,210,43")...)); err != nil {
		t.Fatal(err)
	}
	d.await(t, "satellites", func(st observe.Status) bool { return st.Spool.Appended == n+2 })
	d.stop()
	d.wait(t)
	if st := d.Status(); st.Uplinks[0].Behind < n || st.Uplinks[1].Behind != 0 {
		t.Errorf("%d wait for the silent server and %d for the other, want the %d fixes and none", st.Uplinks[0].Behind, st.Uplinks[1].Behind, n)
	}
}

// TestBytesADay projects what an uplink that is as old as it likes has cost.
func TestBytesADay(t *testing.T) {
	t.Parallel()
	server, _ := trackingServer(t)
	server.Name = "fleet"
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: "file:" + recording(t, 50) + "?rate=1"}}
		c.Uplinks = []config.UplinkSection{server}
	})
	d.await(t, "acknowledgements", func(st observe.Status) bool { return st.Uplinks[0].Acked > 0 })
	l := d.devices[0].links[0]
	age := func(by time.Duration) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.started = time.Now().Add(-by)
	}
	age(30 * time.Second)
	if u := d.Status().Uplinks[0]; u.BytesPerDay != 0 || u.SentBytes == 0 || u.ReceivedBytes == 0 {
		t.Errorf("%d bytes sent and %d received make %v a day in the first minute, want 0", u.SentBytes, u.ReceivedBytes, u.BytesPerDay)
	}
	age(6 * time.Hour)
	u := d.Status().Uplinks[0]
	if u.HeaderBytes == 0 || math.Abs(u.BytesPerFix*float64(u.Acked)-float64(u.SentBytes+u.ReceivedBytes+u.HeaderBytes)) > 1 {
		t.Errorf("%d bytes of headers, and %v a fix: %+v", u.HeaderBytes, u.BytesPerFix, u)
	}
	if want := 4 * float64(u.SentBytes+u.ReceivedBytes+u.HeaderBytes); u.BytesPerDay < want*0.99 || u.BytesPerDay > want {
		t.Errorf("%d bytes sent and %d received in 6 h make %v a day, want %v", u.SentBytes, u.ReceivedBytes, u.BytesPerDay, want)
	}
	if body := get(t, d, "/metrics"); !regexp.MustCompile(`(?m)^gpsbridge_uplink_bytes_per_day\{device_id="van_7",uplink="fleet"\} [1-9]`).MatchString(body) {
		t.Errorf("no bytes a day in the metrics:\n%s", body)
	}
}

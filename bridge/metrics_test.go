package bridge

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/receivertest"
)

func get(t *testing.T, d *running, path string) string {
	t.Helper()
	<-d.Ready()
	resp, err := http.Get("http://" + d.relay.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v\n%s", path, resp.Status, err, body)
	}
	return string(body)
}

func TestMetricsCountTheWholeChain(t *testing.T) {
	t.Parallel()
	uplink, group := trackingServer(t)
	member := realtest.Join(t, group)
	pty := realtest.OpenPty(t)
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: pty.Path() + "?baud=9600"}}
		uplink.Name = "fleet"
		c.Uplinks = []config.UplinkSection{uplink}
	})
	d.await(t, "open port", func(st observe.Status) bool { return st.Receivers[0].Opens == 1 })
	for s := range 5 {
		if _, err := pty.Write(append([]byte("noise"), receivertest.Epoch(s, true)...)); err != nil {
			t.Fatal(err)
		}
	}
	member.WaitDistinct(5, patience)
	d.await(t, "empty spool", func(st observe.Status) bool { return st.Spool.Records == 0 && st.Spool.Appended == 5 })
	body := get(t, d, "/metrics")
	receiver := `{device_id="van_7",source="` + pty.Path() + `?baud=9600"}`
	for _, want := range []string{
		"gpsbridge_receiver_active" + receiver + " 1",
		"gpsbridge_sentences_total" + receiver + " 5",
		"gpsbridge_fixes_total" + receiver + " 5",
		"gpsbridge_fix_mode" + receiver + " 2",
		"gpsbridge_noise_bytes_total" + receiver + " 25",
		`gpsbridge_sentences_type_total{device_id="van_7",source="` + pty.Path() + `?baud=9600",type="GPRMC"} 5`,
		`gpsbridge_reported_total{device_id="van_7"} 5`,
		`gpsbridge_takeovers_total{device_id="van_7"} 0`,
		`gpsbridge_spool_appended_total{device_id="van_7"} 5`,
		`gpsbridge_spool_records{device_id="van_7"} 0`,
		`gpsbridge_uplink_connected{device_id="van_7",uplink="fleet"} 1`,
		`gpsbridge_uplink_acked_total{device_id="van_7",uplink="fleet"} 5`,
		"gpsbridge_relay_messages_total 5",
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	for _, want := range []string{
		`(?m)^gpsbridge_receiver_reading\{.*\} [01]$`, // on a busy machine the receiver has been silent for long by now
		`(?m)^gpsbridge_uplink_sent_bytes_total\{.*\} [1-9]`, `(?m)^process_resident_memory_bytes [1-9]`, `(?m)^go_goroutines [1-9]`,
	} {
		if !regexp.MustCompile(want).MatchString(body) {
			t.Errorf("no line that matches %q", want)
		}
	}
	if problems, err := promlint.New(strings.NewReader(body)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("Prometheus reports of the page: %v, %v", problems, err)
	}
	if t.Failed() {
		t.Log(body)
	}
}

// TestRawBytesReachViewersThatAsk follows what a receiver sent to a viewer, and to none that did not ask.
func TestRawBytesReachViewersThatAsk(t *testing.T) {
	t.Parallel()
	pty := realtest.OpenPty(t)
	d := start(t, func(c *config.File) { c.Receivers = []config.ReceiverSection{{Source: pty.Path() + "?baud=9600"}} })
	<-d.Ready()
	d.await(t, "open port", func(st observe.Status) bool { return st.Receivers[0].Opens == 1 })
	group := "ws://" + d.relay.Addr().String() + "/ws/gps-tracking/van_7/"
	asks, _, err := websocket.DefaultDialer.DialContext(t.Context(), group+"?nmea=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	d.await(t, "viewer that asks", func(observe.Status) bool { return d.relay.Wants("van_7", "NMEA") })
	plain := watchLocally(t, d)
	sent := "junk\x01 \"" + string(receivertest.Epoch(0, true)) + string(receivertest.Epoch(1, true))
	if _, err := pty.Write([]byte(sent)); err != nil {
		t.Fatal(err)
	}
	plain.read(t) // fails for anything but fixes
	plain.read(t)
	got := ""
	for got != sent {
		var msg struct {
			Class, Receiver, Data string
			Device                string `json:"device_id"`
		}
		if err := asks.ReadJSON(&msg); err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		if msg.Class == "TPV" {
			continue
		}
		if msg.Class != "NMEA" || msg.Device != "van_7" || msg.Receiver != pty.Path()+"?baud=9600" {
			t.Fatalf("message %+v", msg)
		}
		if got += msg.Data; !strings.HasPrefix(sent, got) {
			t.Fatalf("viewer has %q of %q", got, sent)
		}
	}
}

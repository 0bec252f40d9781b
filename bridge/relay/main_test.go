package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waiting for what must come; it is never waited for in full.
const patience = time.Minute

// newRelay makes a relay whose status is its own in a server's shape, where c has no other.
func newRelay(t testing.TB, c Config) *Relay {
	t.Helper()
	var r *Relay
	if c.Status == nil {
		c.Status = func() any { return map[string]any{"role": "server", "now": time.Now(), "relay": r.Status()} }
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start serves c on a free port until the test ends. change may shrink limits.
func start(t testing.TB, c Config, change ...func(*limits)) *Relay {
	t.Helper()
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	r := newRelay(t, c)
	for _, f := range change {
		f(&r.hub.limits)
	}
	serve(t, r)
	return r
}

// serve serves r until the test ends.
func serve(t testing.TB, r *Relay) {
	t.Helper()
	if err := r.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func (r *Relay) url(scheme, path string) string { return scheme + "://" + r.Addr().String() + path }

// member is a client of a group.
type member struct {
	t testing.TB
	*websocket.Conn
}

// dial joins the group of van_7 with a query such as "?sky=1".
func dial(t testing.TB, r *Relay, query string, header http.Header) member {
	t.Helper()
	conn, answer, err := websocket.DefaultDialer.Dial(r.url("ws", "/ws/gps-tracking/van_7/"+query), header)
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, answer)
	}
	t.Cleanup(func() { conn.Close() })
	return member{t, conn}
}

// next is the next message as text.
func (m member) next() string {
	m.t.Helper()
	m.SetReadDeadline(time.Now().Add(patience))
	kind, data, err := m.ReadMessage()
	if err != nil {
		m.t.Fatalf("read: %v", err)
	}
	if kind != websocket.TextMessage {
		m.t.Fatalf("frame type %d, want text", kind)
	}
	return string(data)
}

// seq is the seq of the next message.
func (m member) seq() int {
	m.t.Helper()
	var v struct{ Seq int }
	text := m.next()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		m.t.Fatalf("%s: %v", text, err)
	}
	return v.Seq
}

func (m member) send(text string) {
	m.t.Helper()
	if err := m.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		m.t.Fatalf("send: %v", err)
	}
}

// closed reads until the connection ends and gives the close code.
func (m member) closed() int {
	m.t.Helper()
	m.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, _, err := m.ReadMessage(); err != nil {
			if e, ok := err.(*websocket.CloseError); ok {
				return e.Code
			}
			m.t.Fatalf("ended with %v, want a close frame", err)
		}
	}
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}}
}

func tpv(seq int) string {
	return fmt.Sprintf(`{"class":"TPV","device_id":"van_7","run":"5f1c09ae77b2d041","seq":%d,"mode":3,"lat":51.5,"lon":-0.12}`, seq)
}

func sky(seq int) string {
	return fmt.Sprintf(`{"class":"SKY","device_id":"van_7","seq":%d,"satellites":[]}`, seq)
}

func (r *Relay) tpv(seq int) { r.Publish("van_7", "TPV", []byte(tpv(seq))) }
func (r *Relay) sky(seq int) { r.Publish("van_7", "SKY", []byte(sky(seq))) }

// until waits for what another goroutine brings about. The relay reports to no one
// of it, so it is asked.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never came: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

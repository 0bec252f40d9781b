package doctor

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge"
	"gpsbridge/bridge/uplink"
)

// group serves one WebSocket and returns a connection to it. What the client sends is refused.
func group(t *testing.T, serve func(*websocket.Conn)) *websocket.Conn {
	t.Helper()
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		serve(conn)
	}))
	conn, err := uplink.Dial(t.Context(), uplink.Config{URL: strings.Replace(s.URL, "http", "ws", 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		<-done
		s.Close()
	})
	return conn
}

// listenOnly is a server that reads until the client goes, which answers pings, and takes no message.
func listenOnly(t *testing.T) func(*websocket.Conn) {
	return func(conn *websocket.Conn) {
		for {
			_, msg, err := conn.ReadMessage()
			if err != nil {
				return
			}
			t.Errorf("the doctor sent %s", msg)
		}
	}
}

func TestFollow(t *testing.T) {
	e := &examination{status: &bridge.Status{Receivers: []bridge.ReceiverStatus{{DeviceID: "van_7", Run: "a1", Reported: 7}}}}
	say := func(conn *websocket.Conn, text string) {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Error(err)
		}
	}
	const short, long = 100 * time.Millisecond, 20 * time.Second
	for _, test := range []struct {
		name  string
		limit time.Duration
		serve func(*websocket.Conn)
		good  func(heard) bool
	}{
		{"quiet", short, listenOnly(t), func(h heard) bool { return h.lost == nil && h.pong > 0 && h.seq == 0 }},
		{"new fix", long, func(conn *websocket.Conn) {
			say(conn, `not even JSON`)
			say(conn, `{"class":"TPV","run":"a1","seq":7}`) // older than the look
			say(conn, `{"class":"TPV","run":"b2","seq":9}`) // of another tracker
			say(conn, `{"class":"TPV", "run":"a1", "seq": 8}`)
			say(conn, `{"class":"TPV","run":"a1","seq":9}`)
			listenOnly(t)(conn)
		}, func(h heard) bool { return h.lost == nil && h.seq == 8 }},
		{"refused", long, func(conn *websocket.Conn) {
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4403, ""), time.Now().Add(time.Second))
		}, func(h heard) bool {
			return h.lost != nil && strings.Contains(uplink.ExplainLoss(h.lost).Error(), "device ID not accepted")
		}},
		{"broken off", long, func(*websocket.Conn) {}, func(h heard) bool { return h.lost != nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			began := time.Now()
			if h := follow(t.Context(), group(t, test.serve), test.limit, e.isNew("van_7")); !test.good(h) {
				t.Errorf("heard %+v", h)
			}
			if test.limit == long && time.Since(began) >= long {
				t.Error("it waited for the end of its patience")
			}
		})
	}
}

// TestFollowWithoutPong: a server that does not read answers no ping.
func TestFollowWithoutPong(t *testing.T) {
	end := make(chan struct{})
	conn := group(t, func(*websocket.Conn) { <-end })
	h := follow(t.Context(), conn, 50*time.Millisecond, func([]byte) uint64 { return 0 })
	close(end)
	if h.pong != 0 || h.lost != nil {
		t.Errorf("heard %+v", h)
	}
}

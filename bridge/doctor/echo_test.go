package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/relay"
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
	t.Parallel()
	d := &daemon{status: &observe.Status{
		Receivers: []pipeline.ReceiverStatus{{DeviceID: "van_7", Run: "a1", Reported: 11}},
		Uplinks:   []observe.UplinkStatus{{DeviceID: "van_7", HeldBack: 4, AckedSeq: new(uint64(7))}},
	}}
	send := func(conn *websocket.Conn, text string) {
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
			send(conn, `not even JSON`)
			send(conn, `{"class":"TPV","run":"a1","seq":7}`)                                          // older than the status
			send(conn, `{"class":"TPV","run":"b2","seq":9}`)                                          // of another tracker
			send(conn, `{"class":"TPV","run":"a1","seq":20,"text":"`+strings.Repeat("x", 1<<20)+`"}`) // too long to be one
			send(conn, `{"class":"TPV", "run":"a1", "seq": 8}`)
			send(conn, `{"class":"TPV","run":"a1","seq":9}`)
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
			if h := follow(t.Context(), group(t, test.serve), test.limit, nil, d.newFix("van_7")); !test.good(h) {
				t.Errorf("heard %+v", h)
			}
			if test.limit == long && time.Since(began) >= long {
				t.Error("it waited until the limit")
			}
		})
	}
}

// TestSendToGroup: what becomes of the one message, on servers that differ in what they do with it.
func TestSendToGroup(t *testing.T) {
	t.Parallel()
	closes := func(code int) func(*websocket.Conn, []byte) {
		return func(conn *websocket.Conn, _ []byte) {
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
		}
	}
	echoes := func(conn *websocket.Conn, msg []byte) { _ = conn.WriteMessage(websocket.TextMessage, msg) }
	for _, test := range []struct {
		name  string
		takes func(*websocket.Conn, []byte)
		state State
		wants []string
	}{
		{"refuses", closes(1008), Broken, []string{"one message without a position was sent, and then: server closed with code 1008", ": check token_file"}},
		{"fails", closes(1011), Broken, []string{"server closed with code 1011: its application failed", ": read the server's log"}},
		{"too long", closes(1009), Broken, []string{"longer than the server accepts", ": read the server's log"}},
		{"echoes and fails", func(conn *websocket.Conn, msg []byte) { echoes(conn, msg); closes(1011)(conn, msg) }, Broken, []string{"1011"}},
		{"echoes", echoes, OK, []string{"was sent, and echoed after "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn := group(t, func(conn *websocket.Conn) {
				for {
					_, msg, err := conn.ReadMessage()
					if err != nil {
						return
					}
					test.takes(conn, msg)
				}
			})
			e := serverWalk{chain: &chain{}, daemon: &daemon{alone: true}, id: "van_7"}
			e.listenToGroup(t.Context(), conn, "echo")
			if len(e.links) != 1 || e.links[0].State != test.state || e.links[0].Name != "echo" {
				t.Fatalf("%+v, want one that is %s", e.links, test.state)
			}
			for _, want := range test.wants {
				if !strings.Contains(e.links[0].Text(), want) {
					t.Errorf("%q lacks %q", e.links[0].Text(), want)
				}
			}
		})
	}
}

// TestSendsNothing: where the options forbid it, and where a daemon may run.
func TestSendsNothing(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]serverWalk{
		"forbidden":      {chain: &chain{}, daemon: &daemon{alone: true}, noSend: true, id: "van_7"},
		"daemon unknown": {chain: &chain{}, daemon: &daemon{}, id: "van_7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e.listenToGroup(t.Context(), group(t, listenOnly(t)), "echo")
			if len(e.links) != 1 || e.links[0].State != OK || !strings.Contains(e.links[0].Seen, "no fix was sent to see it come back") {
				t.Errorf("%+v", e.links)
			}
		})
	}
}

// TestAlone: a message is sent where it is known that no daemon runs, and nowhere else.
func TestAlone(t *testing.T) {
	for _, test := range []struct {
		name, listen string
		status       *observe.Status
		err          error
		want         bool
	}{
		{"no daemon", relay.DefaultListen, nil, nil, true},
		{"daemon", relay.DefaultListen, &observe.Status{}, nil, false},
		{"another program, or a daemon that asks for a token", relay.DefaultListen, nil, errors.New("it asks for a token"), false},
		{"relay off", "off", nil, nil, false},
	} {
		var c config.Config
		c.Relay.Listen = test.listen
		d := &daemon{find: func(context.Context) (*observe.Status, error) { return test.status, test.err }}
		if d.examine(t.Context(), c); d.alone != test.want {
			t.Errorf("%s: alone %v, want %v", test.name, d.alone, test.want)
		}
	}
}

// TestJudgeEcho: silence is judged by what the configuration waits for.
func TestJudgeEcho(t *testing.T) {
	const answered = 3 * time.Millisecond
	for _, test := range []struct {
		name  string
		heard heard
		ack   uplink.AckMode
		state State
		wants string
	}{
		{"echo", heard{pong: answered, seq: 1, echo: 12 * time.Millisecond}, "", OK, "echoed after 12 ms"},
		{"no echo", heard{pong: answered}, "", OK, "does not echo: pong, in 3 ms, will acknowledge"},
		{"no echo, auto", heard{pong: answered}, uplink.AckAuto, OK, "pong, in 3 ms, will acknowledge"},
		{"no echo, asked for", heard{pong: answered}, uplink.AckEcho, Broken, `while ack = "echo" requires that: check that the server's channel layer`},
		{"no echo, nothing asked for", heard{pong: answered}, uplink.AckNone, OK, `ack = "none" requires nothing`},
		{"nothing", heard{}, "", Warning, "no ping was answered for 5s: the server or the network is overloaded"},
	} {
		if l := judgeEcho("echo", test.heard, test.ack); l.State != test.state || !strings.Contains(l.Text(), test.wants) {
			t.Errorf("%s: %+v, want %s with %q", test.name, l, test.state, test.wants)
		}
	}
}

// TestFollowWithoutPong: a server that does not read answers no ping.
func TestFollowWithoutPong(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	conn := group(t, func(*websocket.Conn) { <-end })
	h := follow(t.Context(), conn, 50*time.Millisecond, nil, func([]byte) uint64 { return 0 })
	close(end)
	if h.pong != 0 || h.lost != nil {
		t.Errorf("heard %+v", h)
	}
}

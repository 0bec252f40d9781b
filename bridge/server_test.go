package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/layer"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
)

// node is a tracking server that a test has started, one of several.
type node struct {
	*Server
	uplink config.UplinkSection // to it
}

// startNode starts a tracking server whose groups are in Redis; it is stopped with the test.
func startNode(t *testing.T, of layer.Config) node {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if _, err := secret.ReadOrCreate(path); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	s, err := NewServer(config.Server{Config: relay.Config{Listen: "127.0.0.1:0"}, PublishTokenFile: path,
		Layer: &of}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the tracking server ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log of the server at %s:\n%s", s.Addr(), log)
		}
	})
	return node{s, config.UplinkSection{Server: "ws://" + s.Addr(), Token: path}}
}

func (n node) group(query string) string {
	return "ws://" + n.Addr() + "/ws/gps-tracking/van_7/" + query
}

// get is the code and the body of an answer.
func (n node) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + n.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (n node) awaitHealth(t *testing.T, code int) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		got, body := n.get(t, "/healthz")
		if got == code {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("/healthz is %d and never was %d: %s", got, code, body)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Servers that start before their Redis become ready with it. Then they have groups together: a tracker at one, members at both, those
// that join later or come back too. When Redis has lost everything, all goes on.
func TestServersShareTheirGroups(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	redis.Kill()
	pubsub := layer.Config{URLs: []string{redis.URL()}, Kind: "pubsub"}
	a, b := startNode(t, pubsub), startNode(t, pubsub)
	a.awaitHealth(t, http.StatusServiceUnavailable)
	if _, text := a.get(t, "/healthz"); !strings.HasPrefix(text, "relay.layer") {
		t.Errorf("/healthz is %q, want the key of the problem", text)
	}
	if code, text := a.get(t, "/api/v1/status"); code != http.StatusOK || !strings.Contains(text, `"layer":{"problem":{"code":`) {
		t.Errorf("the status is %d %s, want a problem of the layer", code, text)
	}
	redis.Restart()
	a.awaitHealth(t, http.StatusOK)
	b.awaitHealth(t, http.StatusOK)

	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: "sim:?rate=25"}}
		a.uplink.Order = "oldest-first"
		c.Uplinks = []config.UplinkSection{a.uplink}
	})
	here, there := realtest.Join(t, a.group("")), realtest.Join(t, b.group(""))
	for _, m := range []*realtest.Member{here, there} {
		m.WaitDistinct(10, patience)
	}
	d.await(t, "fixes are acknowledged by their echo", func(st observe.Status) bool { return st.Uplinks[0].Acked > 10 && st.Uplinks[0].Ack == "echo" })
	first := there.Messages()[0]
	checkAfter(t, b, first)

	redis.Do("CLIENT", "KILL", "TYPE", "pubsub") // what the other node publishes now is missed
	for _, m := range []*realtest.Member{here, there} {
		m.WaitDistinct(m.Received()+10, patience)
	}
	redis.FlushAll()
	d.await(t, "the tracker was asked to send again", func(st observe.Status) bool { return st.Uplinks[0].Connects > 1 })
	for _, m := range []*realtest.Member{here, there} {
		if all := m.WaitDistinct(m.Received()+10, patience); len(all) != m.Received() {
			t.Errorf("%d messages came, %d different ones", m.Received(), len(all))
		}
		all := m.Messages()
		for i, one := range all {
			if one.Seq != all[0].Seq+uint64(i) {
				t.Errorf("message %d is seq %d, the first was %d", i, one.Seq, all[0].Seq)
				break
			}
		}
	}
	_, metrics := a.get(t, "/metrics")
	for _, want := range []string{"gpsbridge_layer_ready 1\n", "gpsbridge_layer_groups 1\n", "gpsbridge_layer_sessions_total 2\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no metric %q", want)
		}
	}
}

// checkAfter joins at n as a client that has got a message of van_7 before, and wants to see all that came since, in order.
func checkAfter(t *testing.T, n node, since realtest.Message) {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(n.group(fmt.Sprintf("?after=%s:%d", since.Run, since.Seq)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	for i := range 15 {
		_, text, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Class    string
			Complete bool
			Run      string
			Seq      uint64
		}
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		if i == 0 && (m.Class != "HISTORY" || !m.Complete) || i > 0 && (m.Run != since.Run || m.Seq != since.Seq+uint64(i)) {
			t.Fatalf("after %s:%d message %d is %s", since.Run, since.Seq, i, text)
		}
	}
}

// Members at Daphne and at relays are in one group: each gets every message of a tracker at a relay and of one at Daphne once and in
// order, while others join and leave.
func TestServersAndDjangoShareAGroup(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	django := realtest.StartDjango(t, realtest.Options{Layer: realtest.Redis, RedisURL: redis.URL()})
	members := []*realtest.Member{realtest.Join(t, django.GroupURL("van_7"))}
	auto := layer.Config{URLs: []string{redis.URL()}, Event: "gps.message", Field: "message"} // Daphne's member shows which kind it is
	a, b := startNode(t, auto), startNode(t, auto)
	a.awaitHealth(t, http.StatusOK)
	b.awaitHealth(t, http.StatusOK)
	members = append(members, realtest.Join(t, a.group("")), realtest.Join(t, b.group("")))
	here, there := join(t, a), realtest.Join(t, django.GroupURL("van_7"))
	const rounds, burst = 3, 10 // a queue of Django holds 100
	for round := range rounds {
		for i := range burst {
			seq := round*burst + i + 1
			there.Send(message("daphne", seq))
			if err := here.WriteMessage(websocket.TextMessage, []byte(message("relay", seq))); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range members {
			m.WaitDistinct(2*burst*(round+1), patience)
		}
		for _, address := range []string{a.group(""), b.group(""), django.GroupURL("van_7")} {
			realtest.Join(t, address).Leave()
		}
	}
	for i, m := range members {
		if err := realtest.Complete(m.Messages()); err != nil {
			t.Errorf("member %d: %v", i, err)
		}
	}
}

// message is a fix of van_7.
func message(run string, seq int) string {
	return fmt.Sprintf(`{"class":"TPV","device_id":"van_7","run":%q,"seq":%d,"mode":3,"lat":51.5,"lon":-0.12}`, run, seq)
}

// join joins as a tracker that reads nothing.
func join(t *testing.T, n node) *websocket.Conn {
	t.Helper()
	token, err := secret.Read(n.uplink.Token)
	if err != nil {
		t.Fatal(err)
	}
	conn, _, err := websocket.DefaultDialer.Dial(n.group(""), http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

package realtest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/realtest/program"
)

// answer bounds a wait for messages on a machine that is busy with other tests.
const answer = time.Minute

func fix(run string, seq int) string {
	return fmt.Sprintf(`{"class":"TPV","run":%q,"seq":%d,"lat":51.50336350}`, run, seq)
}

// configurations are the servers that tests run against.
func configurations(t *testing.T, f func(t *testing.T, o Options)) {
	for name, o := range map[string]Options{
		"Daphne in memory":  {},
		"Daphne with Redis": {Layer: Redis},
		"Uvicorn in memory": {Server: Uvicorn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, o)
		})
	}
}

func TestGroup(t *testing.T) {
	configurations(t, func(t *testing.T, o Options) {
		server := StartDjango(t, o)
		tracker := Join(t, server.GroupURL("van_7"))
		viewer := Join(t, server.GroupURL("van_7"))
		stranger := Join(t, server.GroupURL("van_8"))

		const n = 20
		for seq := 1; seq <= n; seq++ {
			tracker.Send(fix("a1", seq))
		}
		stranger.Send(fix("b2", 1))
		for who, m := range map[string]*Member{"sender": tracker, "second member": viewer} {
			if err := Complete(m.WaitDistinct(n, answer)); err != nil {
				t.Errorf("%s: %v", who, err)
			}
		}
		if got := stranger.WaitDistinct(1, answer); len(got) != 1 || got[0].Run != "b2" {
			t.Errorf("a member of another group got %v, want only its own message", got)
		}
		processed, err := server.Processed()
		if err != nil || len(processed) != n+1 {
			t.Errorf("processed %d messages (%v), want %d", len(processed), err, n+1)
		}
	})
}

func TestServerKilledAndRestarted(t *testing.T) {
	configurations(t, func(t *testing.T, o Options) {
		server := StartDjango(t, o)
		tracker := Join(t, server.GroupURL("van_7"))
		viewer := Join(t, server.GroupURL("van_7"))
		tracker.Send(fix("a1", 1))
		viewer.WaitDistinct(1, answer)

		url := server.URL()
		server.Kill()
		if err := program.Listens(server.port)(); err == nil {
			t.Error("a killed server took a connection")
		}
		server.Restart()
		if server.URL() != url {
			t.Fatalf("restarted at %s, want %s", server.URL(), url)
		}
		tracker.WaitJoined(2, answer)
		viewer.WaitJoined(2, answer)
		tracker.Send(fix("a1", 1)) // a repeat, as after a lost acknowledgement
		tracker.Send(fix("a1", 2))
		distinct := viewer.WaitDistinct(2, answer)
		if err := Complete(distinct); err != nil {
			t.Error(err)
		}
		if distinct[0].Join != 1 || distinct[1].Join != 2 {
			t.Errorf("received in joins %d and %d, want 1 and 2", distinct[0].Join, distinct[1].Join)
		}
		if all := viewer.Messages(); len(all) != 3 {
			t.Errorf("received %d messages, want 3 with the repeat", len(all))
		}
		if joins := viewer.Joins(); len(joins) != 2 || joins[1] != 1 {
			t.Errorf("joins %v, want the second after 1 message", joins)
		}
		taken, err := server.Taken()
		if err != nil || len(taken) != 3 {
			t.Fatalf("processed %d messages (%v), want 3 over both runs of the server", len(taken), err)
		}
		if before, after := taken[0].Connection, taken[1].Connection; before >= after || after != taken[2].Connection {
			t.Errorf("messages came over connections %d, %d and %d; want a later one for the last two", before, after, taken[2].Connection)
		}
	})
}

func TestServerHangs(t *testing.T) {
	server := StartDjango(t, Options{})
	member := Join(t, server.GroupURL("van_7"))
	server.Hang()
	member.Send(fix("a1", 1)) // accepted by the kernel
	if got, err := server.Processed(); err != nil || len(got) != 0 {
		t.Errorf("a hung server processed %d messages (%v)", len(got), err)
	}
	server.Wake()
	member.WaitDistinct(1, answer)
	if joins := member.Joins(); len(joins) != 1 {
		t.Errorf("joined %d times, want the connection to have stayed", len(joins))
	}
}

func TestMemberLeaves(t *testing.T) {
	server := StartDjango(t, Options{})
	stays, leaves := Join(t, server.GroupURL("van_7")), Join(t, server.GroupURL("van_7"))
	leaves.Leave()
	stays.Send(fix("a1", 1))
	stays.WaitDistinct(1, answer)
	if got := leaves.Messages(); len(got) != 0 || len(leaves.Joins()) != 1 {
		t.Errorf("a member that left got %d messages and joined %d times", len(got), len(leaves.Joins()))
	}
}

func TestServerTerminated(t *testing.T) {
	server := StartDjango(t, Options{})
	member := Join(t, server.GroupURL("van_7"))
	server.Terminate()
	server.Restart() // kills what has not ended yet
	member.WaitJoined(2, answer)
}

func TestServerStopped(t *testing.T) {
	server := StartDjango(t, Options{})
	server.Stop()
	if conn, _, err := websocket.DefaultDialer.Dial(server.GroupURL("van_7"), nil); err == nil {
		conn.Close()
		t.Error("a stopped server took a connection")
	}
}

func TestServerRefuses(t *testing.T) {
	server := StartDjango(t, Options{Refuse: true})
	conn, response, err := websocket.DefaultDialer.Dial(server.GroupURL("van_7"), nil)
	if !errors.Is(err, websocket.ErrBadHandshake) || response.StatusCode != http.StatusForbidden {
		t.Errorf("got %v, %v, want HTTP 403", response, err)
	}
	if err == nil {
		conn.Close()
	}
}

// The route accepts \w and a trailing slash; anything else is refused.
func TestRouteIsTheRealOne(t *testing.T) {
	server := StartDjango(t, Options{})
	for _, path := range []string{"/ws/gps-tracking/van_7", "/ws/gps-tracking/van-7/", "/gps-tracking/van_7/"} {
		if conn, _, err := websocket.DefaultDialer.Dial(server.URL()+path, nil); err == nil {
			conn.Close()
			t.Errorf("%s: accepted, want it refused", path)
		}
	}
}

func TestRedisFlushedGoesDeaf(t *testing.T) {
	store := StartRedis(t)
	server := StartDjango(t, Options{Layer: Redis, RedisURL: store.URL()})
	member := Join(t, server.GroupURL("van_7"))
	member.Send(fix("a1", 1))
	member.WaitDistinct(1, answer)

	store.FlushAll()
	member.Send(fix("a1", 2)) // to a group without members
	second := Join(t, server.GroupURL("van_7"))
	second.Send(fix("a1", 3))
	second.WaitDistinct(1, answer)
	if got := member.Messages(); len(got) != 1 {
		t.Errorf("the forgotten member has %d messages, want 1: Redis was not flushed", len(got))
	}
}

func TestRedisRestart(t *testing.T) {
	store := StartRedis(t)
	store.Do("SET", "x", "1")
	store.Kill()
	if _, err := store.Command("PING"); err == nil {
		t.Fatal("a killed Redis answered")
	}
	store.Restart()
	if got := store.Do("EXISTS", "x"); got != "0" {
		t.Errorf("restarted, it has %s of the keys", got)
	}
}

func TestComplete(t *testing.T) {
	msg := func(run string, seqs ...uint64) (out []Message) {
		for _, s := range seqs {
			out = append(out, Message{Run: run, Seq: s})
		}
		return out
	}
	tests := []struct {
		name     string
		messages []Message
		want     string
	}{
		{"in order", msg("a", 1, 2, 3), ""},
		{"two runs", append(msg("a", 1, 2), msg("b", 1, 2)...), ""},
		{"gap", msg("a", 1, 3), "message 2 is seq 3"},
		{"swapped", msg("a", 1, 3, 2), "message 2 is seq 3"},
		{"late start", msg("a", 2), "message 1 is seq 2"},
	}
	for _, tt := range tests {
		err := Complete(tt.messages)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

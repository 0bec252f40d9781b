package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/problem"
)

// gaps are the pauses between attempts to connect.
func (s *server) gaps() (d []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; i < len(s.times); i++ {
		d = append(d, s.times[i].Sub(s.times[i-1]))
	}
	return d
}

func TestBackoffGrowsAndResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			if n > 1 {
				echo(s, n, conn)
				return
			}
			end := time.AfterFunc(usefulAfter, func() { conn.NetConn().Close() })
			defer end.Stop()
			echo(s, n, conn)
		})
		s.setRefuse(http.StatusInternalServerError)
		q := newQueue(1)
		u := run(t, s.config(), q)
		pass(20 * time.Minute)

		limit, longest := 500*time.Millisecond, time.Duration(0)
		gaps := s.gaps()
		for i, gap := range gaps {
			if gap > limit {
				t.Errorf("pause %d is %s, want at most %s", i, gap, limit)
			}
			limit = min(2*limit, 30*time.Second)
			longest = max(longest, gap)
		}
		if len(gaps) < 40 || len(gaps) > 200 || longest < 20*time.Second {
			t.Errorf("%d attempts in 20 minutes, longest pause %s", len(gaps), longest)
		}

		s.setRefuse(0)
		q.await(t, 1, time.Minute)
		pass(usefulAfter + time.Second)
		gaps = s.gaps()
		if last := gaps[len(gaps)-1] - usefulAfter; last > 500*time.Millisecond || u.Status().Connects != 2 {
			t.Errorf("pause after a connection that acknowledged: %s, status %+v", last, u.Status())
		}
	})
}

// A server that takes connections and breaks them is not hammered.
func TestBackoffIsNotResetByAConnectionAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, _ int, conn *websocket.Conn) {
			conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseInternalServerErr, ""))
			s.receive(conn)
		})
		var log logBuffer
		c := s.config()
		c.Log = log.logger()
		u := run(t, c, newQueue(1))
		pass(20 * time.Minute)
		if n := len(s.gaps()); n < 40 || n > 200 {
			t.Errorf("%d connections in 20 minutes", n)
		}
		if st := u.Status(); st.State == Connected || !strings.Contains(problemText(st), "1011") {
			t.Errorf("status %+v", st)
		}
		if n := strings.Count(log.String(), "\n"); n > 5 {
			t.Errorf("%d lines for the same thing again and again:\n%s", n, log.String())
		}
	})
}

func TestRefusalsAreRetriedSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		s.setRefuse(http.StatusForbidden)
		u := run(t, s.config(), newQueue(1))
		pass(20 * time.Minute)
		gaps := s.gaps()
		for i, gap := range gaps {
			if gap < 2500*time.Millisecond || gap > 60*time.Second || (i > 4 && gap < 20*time.Second) {
				t.Errorf("pause %d is %s", i, gap)
			}
		}
		if st := u.Status(); len(gaps) < 20 || st.State != Waiting || st.RetryIn <= 0 || !strings.Contains(problemText(st), "403") {
			t.Errorf("%d attempts, status %+v", len(gaps), st)
		}
	})
}

// Each thing is logged once, with the number of its repeats when it is over.
func TestLogSaysWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		s.setRefuse(http.StatusForbidden)
		var log logBuffer
		c := s.config()
		c.Log = log.logger()
		q := newQueue(3)
		_, stop := start(t, c, q)
		pass(10 * time.Minute)
		forbidden := len(s.gaps()) + 1
		s.setRefuse(http.StatusInternalServerError)
		pass(10 * time.Minute)
		failed := len(s.gaps()) + 1 - forbidden
		s.setRefuse(0)
		q.await(t, 3, time.Minute)
		stop()
		s.stop()

		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		want := [][]string{
			{"WARN", "cannot connect", "403 Forbidden", "ALLOWED_HOSTS"},
			{"WARN", "cannot connect", "500 Internal", fmt.Sprintf("repeats=%d ", forbidden-1), "Redis"},
			{"INFO", "msg=connected", fmt.Sprintf("repeats=%d ", failed-1), "ack=auto"},
			{"INFO", "acknowledging by echo"},
			{"INFO", "connection closed"},
		}
		if len(lines) != len(want) {
			t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), log.String())
		}
		for i := range want {
			for _, part := range want[i] {
				if !strings.Contains(lines[i], part) {
					t.Errorf("line %d lacks %q: %s", i, part, lines[i])
				}
			}
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			<-release
			echo(s, n, conn)
		})
		q := newQueue(100)
		u, stop := start(t, s.config(), q)

		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := u.Drain(short); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not acknowledged: 100") {
			t.Errorf("drain of a server that stalls: %v", err)
		}
		drained := make(chan error, 1)
		go func() { drained <- u.Drain(context.Background()) }()
		synctest.Wait()
		select {
		case err := <-drained:
			t.Errorf("drain ended with %v before the acknowledgements", err)
		default:
		}
		close(release)
		if err := <-drained; err != nil || q.Acked() != 100 {
			t.Errorf("drain: %v with %d of 100 acknowledged", err, q.Acked())
		}
		stop()
		if err := u.Drain(t.Context()); err != nil {
			t.Errorf("drain of an empty queue: %v", err)
		}
		q.add(record(101))
		if err := u.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "stopped") {
			t.Errorf("drain of a stopped uplink: %v", err)
		}
		s.stop()
	})
}

func TestDrainFailsAtOnceWithoutServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		s.setRefuse(http.StatusForbidden)
		u := run(t, s.config(), newQueue(7))
		synctest.Wait()
		begin := time.Now()
		err := u.Drain(t.Context())
		if problem.CodeOf(err) != Forbidden || !strings.Contains(err.Error(), "not acknowledged: 7") || time.Since(begin) > 0 {
			t.Errorf("drain after %s: %v", time.Since(begin), err)
		}
	})
}

// Cancelling ends an attempt whose server takes the connection and sends nothing.
func TestCancelEndsAHangingHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{URL: "ws://hangs.example/", dial: func(context.Context, string, int) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				buf := make([]byte, 4096)
				for {
					if _, err := theirs.Read(buf); err != nil {
						return
					}
				}
			}()
			return ours, nil
		}}
		begin := time.Now()
		_, err := Dial(t.Context(), c)
		if problem.CodeOf(err) != Timeout || time.Since(begin) != time.Minute {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		_, stop := start(t, c, newQueue(1))
		synctest.Wait()
		begin = time.Now()
		stop()
		if took := time.Since(begin); took > 0 {
			t.Errorf("cancelling took %s", took)
		}
	})
}

func TestRunEndsWithTheErrorOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		broken := errors.New("disk on fire")
		u, err := New(s.config(), brokenQueue{newQueue(1), broken})
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("Run: %v", err)
		}
		synctest.Wait() // the server may still be taking the connection
		s.stop()
	})
}

type brokenQueue struct {
	*fakeQueue
	err error
}

func (q brokenQueue) Next(uint64) (uint64, []byte, error) { return 0, nil, q.err }

func TestSecretsStayHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(token, []byte("SECRET-token\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := newServer(t, echo)
		var log logBuffer
		c := s.config()
		c.URL = "ws://user:SECRET-password@tracking.example/ws/?key=SECRET-value&other=SECRET-too"
		c.TokenFile, c.Log = token, log.logger()
		c.Header = http.Header{"X-Api-Key": {"SECRET-header"}}
		q := newQueue(2)
		u, stop := start(t, c, q)
		q.await(t, 2, time.Second)
		shown, err := json.Marshal(u.Status())
		if err != nil {
			t.Fatal(err)
		}
		s.setRefuse(http.StatusForbidden)
		_, refusal := Dial(t.Context(), c)
		s.setRefuse(http.StatusMovedPermanently)
		_, redirect := Dial(t.Context(), c)
		stop()
		s.stop()
		_, malformed := New(Config{URL: "ws://user:SECRET-password@host:port/"}, q)
		_, scheme := New(Config{URL: "http://user:SECRET-password@host/?k=SECRET"}, q)
		for _, text := range []string{string(shown), log.String(), refusal.Error(), redirect.Error(), malformed.Error(), scheme.Error()} {
			if strings.Contains(text, "SECRET") || strings.ContainsRune(strings.TrimRight(text, "\n"), 0) {
				t.Errorf("shows a secret: %s", text)
			}
		}
		if !strings.Contains(string(shown), `"url":"ws://tracking.example/ws/?key=...\u0026other=..."`) {
			t.Errorf("status without the address: %s", shown)
		}
	})
}

func TestStatusKeys(t *testing.T) {
	u, err := New(Config{URL: "wss://h.example/ws/gps-tracking/van_7/"}, newQueue(0))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(u.Status())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"name", "url", "state", "since", "ack", "window", "outstanding", "sent", "acked", "resent", "connects"} {
		if _, ok := got[key]; !ok {
			t.Errorf("status lacks %q: %s", key, data)
		}
	}
	if got["name"] != "h.example" || got["state"] != "connecting" {
		t.Errorf("status %s", data)
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	for _, window := range []int{0, 1, 99} {
		if _, err := New(Config{URL: "ws://h/", Window: window}, newQueue(0)); err != nil {
			t.Errorf("window %d: %v", window, err)
		}
	}
	for want, c := range map[string]Config{
		"empty":                {},
		"ws://HOST":            {URL: "http://h/"},
		"names no host":        {URL: "ws:///path/"},
		"auto, echo, pong":     {URL: "ws://h/", Ack: "maybe"},
		"100 is out of range":  {URL: "ws://h/", Window: 100},
		"-1 is out of range":   {URL: "ws://h/", Window: -1},
		"cert_file and key_fi": {URL: "ws://h/", CertFile: "x"},
		"#fragment":            {URL: "ws://h/#x"},
	} {
		if _, err := New(c, newQueue(0)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v): %v, want %q", c.URL, err, want)
		}
	}
}

// Status states since when there is a connection, or none, however often one was tried.
func TestStatusSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		s.setRefuse(http.StatusInternalServerError)
		begin := time.Now()
		u, stop := start(t, s.config(), newQueue(1))
		want := func(state State, since time.Time) {
			t.Helper()
			if st := u.Status(); st.State != state || !st.Since.Equal(since.Round(time.Millisecond)) {
				t.Errorf("%s since %s, want %s since %s", st.State, st.Since, state, since)
			}
		}
		pass(5 * time.Minute)
		for u.Status().State != Waiting {
			pass(time.Millisecond)
		}
		want(Waiting, begin)
		s.setRefuse(0)
		pass(time.Minute)
		s.mu.Lock()
		connected := s.times[len(s.times)-1]
		s.mu.Unlock()
		want(Connected, connected)
		stopped := time.Now()
		stop()
		want(Stopped, stopped)
	})
}

// TestSteady holds when records may be held back: on a connection on which nothing waits, or waits for long.
func TestSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		echoes := make(chan struct{}, 100)
		s := newServer(t, func(s *server, _ int, conn *websocket.Conn) {
			got := make(chan []byte, 100)
			go func() {
				for msg := range got {
					<-echoes
					conn.WriteMessage(websocket.TextMessage, msg)
				}
			}()
			defer close(got)
			for {
				msg, ok := s.receive(conn)
				if !ok {
					return
				}
				got <- msg
			}
		})
		defer close(echoes)
		s.setRefuse(http.StatusServiceUnavailable)
		q := newQueue(0)
		c := s.config()
		c.Ack, c.Order, c.Backlog = AckEcho, LiveFirst, markLate
		u := run(t, c, q)
		steady := func(when string, want bool) {
			t.Helper()
			synctest.Wait()
			if got := u.Steady(); got != want {
				t.Errorf("%s: %t, want %t", when, got, want)
			}
		}
		steady("without a connection", false)
		s.setRefuse(0)
		pass(time.Minute)
		steady("on a connection", true)
		q.add(record(1))
		steady("with a record on its way", true)
		pass(probeFloor + time.Second)
		steady("with a record on its way for long", false)
		echoes <- struct{}{}
		steady("after its echo", true)
		for seq := 2; seq <= 20; seq++ {
			q.add(record(seq))
		}
		steady("with more than a window", false)
		for range 50 { // with repeats
			echoes <- struct{}{}
			pass(10 * time.Millisecond)
		}
		pass(time.Second)
		steady("after all echoes", true)
	})
}

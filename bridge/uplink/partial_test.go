package uplink

import (
	"bytes"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/problem"
)

// habit decides what becomes of a record: whether it is echoed, and with what code the connection is closed on it (0: not).
type habit func(seq int, marked bool, now time.Time) (echo bool, code int)

// applying serves as the tracking group does at a round trip, with a habit.
func applying(rtt time.Duration, h habit) func(*server, int, *websocket.Conn) {
	return func(s *server, n int, conn *websocket.Conn) {
		echoes := make(chan func(), 1e4)
		var sender sync.WaitGroup
		defer sender.Wait()
		defer close(echoes)
		sender.Go(func() {
			for echo := range echoes {
				echo()
			}
		})
		for {
			msg, ok := s.receive(conn)
			if !ok {
				return
			}
			echo, code := h(seqOf(msg), bytes.Contains(msg, []byte(lateMark)), time.Now())
			switch code {
			case 0:
			case websocket.ClosePolicyViolation: // the application itself closes, at once
				conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
				conn.Close()
				return
			default:
				breakOff(conn, code)
				return
			}
			due := time.Now().Add(rtt)
			if echo {
				echoes <- func() {
					<-time.After(time.Until(due))
					conn.WriteMessage(websocket.TextMessage, rewrite(msg))
				}
			}
		}
	}
}

// Servers that echo some records only, of a tracker at 10 Hz that begins with a backlog: once the pattern is recognised, within
// a minute, live records arrive as they come, and everything is done with.
func TestServersThatEchoSome(t *testing.T) {
	const (
		backlog = 400
		rtt     = 50 * time.Millisecond
	)
	live := 600 + few(2400)
	var last time.Time
	newest := 0
	for name, tc := range map[string]struct {
		h       habit
		warning problem.Code
	}{
		"all": {func(int, bool, time.Time) (bool, int) { return true, 0 }, ""},
		"one a second": {func(_ int, _ bool, now time.Time) (bool, int) {
			if now.Sub(last) < time.Second {
				return false, 0
			}
			last = now
			return true, 0
		}, EchoesSome},
		"one in five seconds": {func(_ int, _ bool, now time.Time) (bool, int) {
			if now.Sub(last) < 5*time.Second {
				return false, 0
			}
			last = now
			return true, 0
		}, EchoesSome},
		"a third": {func(seq int, _ bool, _ time.Time) (bool, int) { return seq%3 == 0, 0 }, EchoesSome},
		"nothing older than its newest": {func(seq int, _ bool, _ time.Time) (bool, int) {
			fresh := seq > newest
			newest = max(newest, seq)
			return fresh, 0
		}, EchoesLive},
		"nothing marked":                {func(_ int, marked bool, _ time.Time) (bool, int) { return !marked, 0 }, EchoesLive},
		"fails on what is marked":       {func(_ int, marked bool, _ time.Time) (bool, int) { return true, code(marked, fails) }, RefusesMark},
		"closes 1008 on what is marked": {func(_ int, marked bool, _ time.Time) (bool, int) { return true, code(marked, 1008) }, RefusesMark},
		"closes 1000 on what is marked": {func(_ int, marked bool, _ time.Time) (bool, int) { return true, code(marked, 1000) }, RefusesMark},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				last, newest = time.Time{}, 0
				s := newServer(t, applying(rtt, tc.h))
				c, quarantine := s.quarantining()
				q := newQueue(backlog)
				u, stop := start(t, c, q)
				q.addEach(100*time.Millisecond, backlog+live)
				st := u.Status()
				if got := problem.CodeOf(asError(st.Warning)); got != tc.warning {
					t.Errorf("warning %v, want %q", st.Warning, tc.warning)
				}
				pass(time.Minute)
				if after := u.Status(); after.Behind > 20 && tc.warning != EchoesSome || after.Quarantined > 0 {
					t.Errorf("status %+v", after)
				}
				q.await(t, uint64(backlog+live-20), 30*time.Minute) // the last ones without an echo end as the server were stuck
				quarantine.want(t)
				stop()
				s.stop()
				// Arrivals at the server.
				arrived := map[int]time.Time{}
				for i, seq := range s.got {
					if _, again := arrived[seq]; !again {
						arrived[seq] = s.gotAt[i]
					}
				}
				inTime, after := 0, backlog+600 // a minute
				for seq := after + 1; seq <= backlog+live; seq++ {
					if at, ok := arrived[seq]; ok && at.Sub(q.added[seq-1]) <= 5*time.Second {
						inTime++
					}
				}
				if share := float64(inTime) / float64(backlog+live-after); share < 0.99 {
					t.Errorf("%.1f %% of live records arrived within 5 s", 100*share)
				}
				if len(arrived) != backlog+live {
					t.Errorf("%d of %d records arrived", len(arrived), backlog+live)
				}
				t.Logf("%d connections, %d sent, %d repeats, %d without an echo", st.Connects, st.Sent, st.Resent, st.Unechoed)
			})
		})
	}
}

func asError(p *problem.Problem) error {
	if p == nil {
		return nil
	}
	return p
}

func code(is bool, c int) int {
	if is {
		return c
	}
	return 0
}

// Of what a former device ID has left, a record counts as accepted without an echo when a connection has stood for Retain after
// it. Not so where more records come, nor where ack is echo.
func TestLeftWithoutEcho(t *testing.T) {
	const left = 10
	unmarked := func(_ int, marked bool, _ time.Time) (bool, int) { return !marked, 0 }
	nothing := func(int, bool, time.Time) (bool, int) { return false, 0 }
	for name, tc := range map[string]struct {
		ack   AckMode
		order Order
		final bool
		h     habit
		acked uint64 // of 10, at the end
	}{
		"echoes nothing marked":     {AckAuto, LiveFirst, true, unmarked, left},
		"echoes nothing of it":      {AckAuto, LiveFirst, true, nothing, left},
		"and in the order of queue": {AckAuto, OldestFirst, true, nothing, left},
		"more records may come":     {AckAuto, LiveFirst, false, nothing, 0},
		"ack is echo":               {AckEcho, LiveFirst, true, nothing, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, applying(50*time.Millisecond, tc.h))
				c := s.liveFirst()
				c.Ack, c.Order, c.Final, c.Echoes = tc.ack, tc.order, tc.final, true
				u := run(t, c, newQueue(left))
				pass(10 * time.Minute) // Retain, and the silence before it takes a minute
				if st := u.Status(); st.Acked > 1 {
					t.Errorf("acknowledged too early: %+v", st)
				}
				pass(5 * time.Minute)
				if st := u.Status(); st.Acked != tc.acked || problem.CodeOf(asError(st.Warning)) == EchoesSome != (tc.acked > 0) {
					t.Errorf("status %+v", st)
				}
			})
		})
	}
}

// A server that echoes some records and gets stuck, with its connection open and pings answered, is found by its silence.
func TestPartialServerThatGetsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last time.Time
		begin := time.Now()
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			applying(50*time.Millisecond, func(_ int, _ bool, now time.Time) (bool, int) {
				if now.Sub(last) < time.Second || n == 1 && now.Sub(begin) > 3*time.Minute {
					return false, 0
				}
				last = now
				return true, 0
			})(s, n, conn)
		})
		c, _ := s.quarantining()
		q := newQueue(0)
		u := run(t, c, q)
		q.addEach(100*time.Millisecond, 6*600)
		if st := u.Status(); st.Connects != 2 || st.Behind > 50 {
			t.Errorf("status %+v", st)
		}
	})
}

package uplink

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// The loss of the last records is found during a drain within 3 s, on the same
// connection, by repeating the very last; the others come again by the gap.
func TestDrainFindsALossAtTheEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		lost   int // of ten, at the end
		resent uint64
	}{"one": {1, 1}, "three": {3, 3}, "all": {8, 8}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, dropping(50*time.Millisecond, func(n int, _ []byte) bool { return n > 10-tc.lost && n <= 10 }))
				q := newQueue(2)
				u := run(t, s.config(), q)
				q.await(t, 2, time.Second) // the server is seen to echo
				q.addEach(0, 10)
				pass(time.Second / 2)
				begin := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if err := u.Drain(ctx); err != nil {
					t.Errorf("drain: %v", err)
				}
				if st := u.Status(); st.Connects != 1 || st.Resent != tc.resent {
					t.Errorf("after %s: status %+v", time.Since(begin), st)
				}
			})
		})
	}
}

// A server that echoes nothing any more gets few repeats, however long the
// drain: after 1, 3 and 7 s.
func TestDrainRepeatsRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, dropping(time.Millisecond, func(n int, _ []byte) bool { return n > 2 }))
		q := newQueue(2)
		u := run(t, s.config(), q)
		q.await(t, 2, time.Second)
		q.add(record(3))
		q.add(record(4))
		ctx, cancel := context.WithTimeout(t.Context(), silenceMin-time.Second)
		defer cancel()
		if err := u.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not acknowledged: 2") {
			t.Errorf("drain: %v", err)
		}
		if st := u.Status(); st.Resent != 3 || st.Outstanding != 2 || st.Connects != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

// A server that is merely slow gets its time: echoes of 800 ms are no loss.
func TestDrainWaitsForASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, distant(800*time.Millisecond, 0))
		q := newQueue(20)
		u := run(t, s.config(), q)
		q.await(t, 20, time.Minute)
		q.addEach(0, 60)
		if err := u.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if st := u.Status(); st.Resent != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

// One record at a time has nothing behind it that would show its loss either.
func TestLossIsFoundWhereOneGoesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			if n%2 == 0 && n < 20 { // loses the first echo after a break
				if msg, _ := s.receive(conn); seqOf(msg) == 50 {
					breakOff(conn, fails)
					return
				}
			}
			poisoned(fails, time.Millisecond, 50)(s, n, conn)
		})
		c, quarantine := s.quarantining()
		q := newQueue(100)
		begin := time.Now()
		run(t, c, q)
		q.addEach(time.Second, 140)
		q.await(t, 140, time.Minute)
		if took := q.ackedAt[99].Sub(begin); took > 40*time.Second {
			t.Errorf("got past the bad record after %s", took)
		}
		quarantine.want(t, 50)
	})
}

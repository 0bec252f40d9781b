package uplink

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// A whole window that is lost, as by a server whose channel layer is full, is
// found and sent again on the same connection: nothing later can show it.
func TestLostWindowIsSentAgain(t *testing.T) {
	for _, order := range []Order{LiveFirst, OldestFirst} {
		t.Run(string(order), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				lost := func(n int, _ []byte) bool { return n > 20 && time.Since(begin) < 4*time.Second } // and the first repeat too
				s := newServer(t, dropping(50*time.Millisecond, lost))
				c := s.liveFirst()
				c.Order = order
				q := newQueue(300)
				u, stop := start(t, c, q)
				q.await(t, 300, time.Minute)
				st := u.Status()
				stop()
				s.stop()
				// 300 round trips of 50 ms, one at a time, and two pauses of 2 and 4 s.
				// What went out in the pauses was the next records, not repeats.
				if took := time.Since(begin); took > 24*time.Second || st.Connects != 1 {
					t.Errorf("took %s, status %+v", took, st)
				}
				if _, repeats := s.firsts(); repeats > 0 || st.Resent != st.Lost {
					t.Errorf("%d repeats of what was not lost, status %+v", repeats, st)
				}
				if order == LiveFirst {
					s.wantOrder(t, 300, false)
				}
			})
		})
	}
}

// The last record has nothing behind it that would show its loss.
func TestLossOfTheLastIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, dropping(time.Millisecond, func(n int, _ []byte) bool { return n == 10 }))
		q := newQueue(10)
		u := run(t, s.config(), q)
		pass(probeFloor - 100*time.Millisecond)
		if st := u.Status(); st.Resent != 0 || st.Outstanding != 1 {
			t.Errorf("status %+v", st)
		}
		q.await(t, 10, time.Second)
		if st := u.Status(); st.Resent != 1 || st.Connects != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

// A server that becomes slow, from one record to the next, is not taken for one
// that loses: repeats stay the exception, whether records come one by one or as
// a backlog, and the connection stays.
func TestServerThatBecomesSlow(t *testing.T) {
	for name, every := range map[string]time.Duration{"one by one": 6 * time.Second, "each second": time.Second, "backlog": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var slow atomic.Bool
				s := newServer(t, delayed(func(int) (time.Duration, bool) {
					if slow.Load() {
						return 5 * time.Second, true
					}
					return 50 * time.Millisecond, true
				}))
				q := newQueue(0)
				u, stop := start(t, s.config(), q)
				for seq := 1; seq <= 300; seq++ {
					slow.Store(seq > 100)
					q.add(record(seq))
					pass(every)
					if seq <= 100 {
						q.await(t, uint64(seq), time.Minute)
					}
				}
				q.await(t, 300, 30*time.Minute)
				st := u.Status()
				stop()
				s.stop()
				if st.Resent > 5 || st.Connects != 1 {
					t.Errorf("status %+v", st)
				}
				s.wantAll(t, 300)
			})
		})
	}
}

// A server that has got stuck gets two repeats, then a new connection.
func TestStuckServerGetsFewRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			if n > 1 {
				echo(s, n, conn)
				return
			}
			if msg, ok := s.receive(conn); ok {
				conn.WriteMessage(websocket.TextMessage, msg)
			}
			silent(s, n, conn)
		})
		q := newQueue(1)
		u := run(t, s.config(), q)
		q.await(t, 1, time.Second)
		q.addEach(0, 10)
		q.await(t, 10, time.Minute)
		// Of the nine, a window of eight was outstanding.
		if st := u.Status(); st.Connects != 2 || st.Resent != 2+startWindow {
			t.Errorf("status %+v", st)
		}
	})
}

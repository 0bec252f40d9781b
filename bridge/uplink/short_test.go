package uplink

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// short is a server that speaks the subprotocol of short acknowledgements: serve gets its connections.
func short(t *testing.T, serve func(s *server, n int, conn *websocket.Conn)) *server {
	s := newServer(t, serve)
	s.protocols = []string{ackProtocol}
	return s
}

// ackFrame acknowledges up to a record.
func ackFrame(seq int) []byte { return fmt.Appendf(nil, `{"ack":{"run":"r1","seq":%d}}`, seq) }

// TestShortAcknowledgement holds acknowledgements back for 5 s: nothing is repeated, the round trip is the link's, no ping is
// needed, and no connection is given up, live and with a backlog.
func TestShortAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rtt, records = 100 * time.Millisecond, 42
		var pings atomic.Int64
		s := short(t, func(s *server, _ int, conn *websocket.Conn) {
			conn.SetPingHandler(func(string) error { pings.Add(1); return nil })
			last := 0
			for {
				msg, ok := s.receive(conn)
				if !ok {
					return
				}
				if last = seqOf(msg); last%6 != 1 {
					continue
				}
				pass(rtt)
				conn.WriteMessage(websocket.TextMessage, ackFrame(last))
			}
		})
		c, q := s.config(), newQueue(0)
		u := run(t, c, q)
		for i := range records + 1 {
			q.add(record(i + 1))
			pass(time.Second)
		}
		synctest.Wait()
		st := u.Status()
		if st.Acked != records+1 || st.Unechoed != 0 || st.Resent != 0 || st.Connects != 1 || st.Warning != nil || st.Ack != AckEcho {
			t.Errorf("status %+v, want %d records acknowledged, none sent again, on one connection", st, records+1)
		}
		if n := pings.Load(); n > 0 {
			t.Errorf("%d pings beside acknowledgements", n)
		}
		if st.RTT < 0.09 || st.RTT > 0.25 {
			t.Errorf("round trip %.3f s, want that of the link, %s", st.RTT, rtt)
		}
	})
}

// TestShortAcknowledgementOfWhatWasSentLater: it proves nothing about what was sent after the message that it names, which
// comes again on the next connection.
func TestShortAcknowledgementOfWhatWasSentLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first atomic.Bool
		s := short(t, func(s *server, n int, conn *websocket.Conn) {
			for i := 1; ; i++ {
				if _, ok := s.receive(conn); !ok {
					return
				}
				switch {
				case n == 1 && i == 5:
					conn.WriteMessage(websocket.TextMessage, ackFrame(3))
					pass(time.Second)
					first.Store(true)
					return
				case n == 2 && i == 2:
					conn.WriteMessage(websocket.TextMessage, ackFrame(4))
				}
			}
		})
		q := newQueue(0)
		for i := range 5 {
			q.add(record(i + 1))
		}
		u := run(t, s.config(), q)
		pass(8 * time.Second)
		synctest.Wait()
		if !first.Load() || q.Acked() != 4 {
			t.Errorf("acknowledged up to %d, want 4: %+v", q.Acked(), u.Status())
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if want := []int{1, 2, 3, 4, 5, 4, 5}; len(s.got) < len(want) || !slices.Equal(s.got[:len(want)], want) {
			t.Errorf("the server got %v, want %v first", s.got, want)
		}
	})
}

// TestCopiesBesideShortAcknowledgements has another member of the group send the same records, as a second uplink to the same server
// does: its copies say nothing about this connection, whether they come before the acknowledgement or after it.
func TestCopiesBesideShortAcknowledgements(t *testing.T) {
	for _, behind := range []int{0, 2, 6} {
		synctest.Test(t, func(t *testing.T) {
			const records = 198
			s := short(t, func(s *server, _ int, conn *websocket.Conn) {
				var all [][]byte
				for {
					msg, ok := s.receive(conn)
					if !ok {
						return
					}
					if all = append(all, msg); len(all) > behind {
						conn.WriteMessage(websocket.TextMessage, all[len(all)-1-behind])
					}
					if n := seqOf(msg); n%6 == 1 {
						conn.WriteMessage(websocket.TextMessage, ackFrame(n))
					}
				}
			})
			q := newQueue(0)
			u := run(t, s.config(), q)
			for i := range records + 1 {
				q.add(record(i + 1))
				pass(200 * time.Millisecond)
			}
			synctest.Wait()
			if st := u.Status(); st.Acked != records+1 || st.Resent != 0 || st.Lost != 0 || st.Connects != 1 || st.Warning != nil {
				t.Errorf("copies %d records behind: status %+v, want %d records acknowledged, none sent again", behind, st, records+1)
			}
		})
	}
}

// TestBlindSubprotocol has a server accept the subprotocol that it is offered, whatever it is, and echo.
func TestBlindSubprotocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := short(t, echo)
		q := newQueue(0)
		u := run(t, s.config(), q)
		for i := range 20 {
			q.add(record(i + 1))
			pass(time.Second)
		}
		synctest.Wait()
		if st := u.Status(); st.Acked != 20 || st.Unechoed != 0 || st.Resent != 0 || st.Connects != 1 || st.Warning != nil {
			t.Errorf("status %+v, want 20 records acknowledged by their echoes", st)
		}
	})
}

// TestSubprotocolIsRefused has a server refuse the handshake for the subprotocol: the next is without, and that stays.
func TestSubprotocolIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			if n == 1 {
				return
			}
			echo(s, n, conn)
		})
		offers := 0
		s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Sec-WebSocket-Protocol") != "" {
				offers++
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			s.ServeHTTP(w, r)
		})
		q := newQueue(0)
		q.add(record(1))
		u := run(t, s.config(), q)
		pass(5 * time.Minute)
		synctest.Wait()
		if st := u.Status(); st.Acked != 1 || offers != 1 {
			t.Errorf("%d handshakes with the subprotocol, want 1, and the record acknowledged: %+v", offers, st)
		}
	})
}

// TestWhoAsksForShortAcknowledgements: where an echo is wanted, and the window is no smaller than what they are for.
func TestWhoAsksForShortAcknowledgements(t *testing.T) {
	for _, c := range []struct {
		ack    AckMode
		window int
		want   bool
	}{
		{AckAuto, 0, true}, {AckEcho, 0, true}, {AckPong, 0, false}, {AckNone, 0, false}, {AckEcho, 4, false}, {AckEcho, 8, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Bool
			s := newServer(t, echo)
			s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Store(r.Header.Get("Sec-WebSocket-Protocol") == ackProtocol)
				s.ServeHTTP(w, r)
			})
			conf := s.config()
			conf.Ack, conf.Window = c.ack, c.window
			run(t, conf, newQueue(0))
			synctest.Wait()
			if asked.Load() != c.want {
				t.Errorf("ack %s, window %d: asked %t, want %t", c.ack, c.window, asked.Load(), c.want)
			}
		})
	}
}

// TestDrainAsksForTheShortAcknowledgement: a repeat of the last record is acknowledged at once, so that a stop takes no 6 s.
func TestDrainAsksForTheShortAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := short(t, func(s *server, _ int, conn *websocket.Conn) {
			for last := 0; ; {
				msg, ok := s.receive(conn)
				if !ok {
					return
				}
				if seq := seqOf(msg); seq == 1 || seq == last {
					pass(50 * time.Millisecond)
					conn.WriteMessage(websocket.TextMessage, ackFrame(seq))
				}
				last = seqOf(msg)
			}
		})
		q := newQueue(3)
		u := run(t, s.config(), q)
		pass(time.Second)
		begin := time.Now()
		if err := u.Drain(t.Context()); err != nil || time.Since(begin) > 500*time.Millisecond {
			t.Errorf("drained after %s: %v", time.Since(begin), err)
		}
		if st := u.Status(); st.Acked != 3 || st.Resent > 2 {
			t.Errorf("status %+v, want 3 records acknowledged", st)
		}
	})
}

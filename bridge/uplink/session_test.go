package uplink

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

func TestEchoAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		q := newQueue(1000)
		u := run(t, s.config(), q)
		q.await(t, 1000, time.Minute)
		if repeats := s.wantAll(t, 1000); repeats != 0 {
			t.Errorf("%d repeats on a sound connection", repeats)
		}
		st := u.Status()
		if st.Ack != AckEcho || st.State != Connected || st.Acked != 1000 || st.Sent != 1000 || st.Outstanding != 0 || st.LastAckAge == nil {
			t.Errorf("status %+v", st)
		}
	})
}

// A server over its capacity drops records and sends nothing: the gap shows it.
func TestGapIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records = 500
		// The end has nothing behind it to show a gap.
		s := newServer(t, dropping(0, func(n int, msg []byte) bool { return n%17 == 0 && seqOf(msg) != records }))
		q := newQueue(records)
		u := run(t, s.config(), q)
		q.await(t, records, time.Second) // no reconnecting: that would take 10 s
		st := u.Status()
		if order, repeats := s.firsts(); len(order) != records || repeats != 0 {
			t.Errorf("%d records, %d repeats of records that were not lost", len(order), repeats)
		}
		if st.Connects != 1 || st.Lost < records/20 || st.Resent != st.Lost || st.Sent != records+st.Resent {
			t.Errorf("status %+v", st)
		}
	})
}

// A group that lost its member (a Redis failover) leaves the socket open, and
// answers pings.
func TestStuckServerIsReconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			for i := 0; ; i++ {
				msg, ok := s.receive(conn)
				if !ok {
					return
				}
				if n > 1 || i < 20 {
					conn.WriteMessage(websocket.TextMessage, msg)
				}
			}
		})
		q := newQueue(100)
		begin := time.Now()
		u := run(t, s.config(), q)
		q.await(t, 100, 5*time.Minute)
		if took := time.Since(begin); took < silenceMin || took > silenceMin+2*time.Second {
			t.Errorf("recovered after %s, want about %s at a round trip of 0", took, silenceMin)
		}
		repeats := s.wantAll(t, 100)
		if st := u.Status(); st.Connects != 2 || st.Resent == 0 || st.Resent != uint64(repeats) {
			t.Errorf("%d repeats, status %+v", repeats, st)
		}
	})
}

// Echoes that lag by seconds are slow, not lost: nothing is sent twice.
func TestLateEchoIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, delayed(func(int) (time.Duration, bool) { return 8 * time.Second, true }))
		q := newQueue(200)
		u := run(t, s.config(), q)
		q.await(t, 200, 10*time.Minute)
		st := u.Status()
		if st.Resent != 0 || st.Connects != 1 || st.RTT < 7.9 || st.RTT > 8.1 {
			t.Errorf("status %+v", st)
		}
		if st.Window <= startWindow {
			t.Errorf("window %d has not grown", st.Window)
		}
	})
}

// The server dies at random, in the middle of whatever, and drops and delays.
func TestRandomFaultsLoseNothing(t *testing.T) {
	const records = 2000
	for seed := range uint64(few(8)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 0))
				s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
					rnd := rand.New(rand.NewPCG(seed, uint64(n)))
					for life := rnd.IntN(300); life > 0; life-- {
						msg, ok := s.receive(conn)
						if !ok {
							return
						}
						switch r := rnd.IntN(100); {
						case r == 0:
							continue // processed, and its echo lost
						case r < 10:
							<-time.After(time.Duration(rnd.IntN(2000)) * time.Millisecond)
						}
						if conn.WriteMessage(websocket.TextMessage, rewrite(msg)) != nil {
							return
						}
					}
				})
				q := newQueue(records / 2)
				u := run(t, s.config(), q)
				for seq := records/2 + 1; seq <= records; seq++ {
					<-time.After(time.Duration(rnd.IntN(200)) * time.Millisecond)
					q.add(record(seq))
				}
				q.await(t, records, time.Hour)
				repeats := s.wantAll(t, records)
				st := u.Status()
				t.Logf("%d connections, %d repeats, %d lost", st.Connects, repeats, st.Lost)
				if st.Acked != records || st.Connects < 3 {
					t.Errorf("status %+v", st)
				}
			})
		})
	}
}

func TestCancelClosesWithHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		q := newQueue(3)
		u, stop := start(t, s.config(), q)
		q.await(t, 3, time.Second)
		begin := time.Now()
		stop()
		if took := time.Since(begin); took > 100*time.Millisecond {
			t.Errorf("closing took %s although the server answered", took)
		}
		if st := u.Status(); st.State != Stopped {
			t.Errorf("status %+v", st)
		}
		s.stop()
		if !slices.Equal(s.closes, []int{websocket.CloseGoingAway}) {
			t.Errorf("server got close codes %v", s.closes)
		}
	})
}

// What the server still echoes while the connection closes counts.
func TestEchoesCountWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, _ int, conn *websocket.Conn) {
			msg, _ := s.receive(conn)
			conn.SetCloseHandler(func(code int, _ string) error {
				<-time.After(closeWait / 2)
				conn.WriteMessage(websocket.TextMessage, msg)
				return conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
			})
			s.receive(conn)
		})
		q := newQueue(1)
		_, stop := start(t, s.config(), q)
		synctest.Wait()
		begin := time.Now()
		stop()
		if took := time.Since(begin); q.Acked() != 1 || took >= closeWait {
			t.Errorf("%d acknowledged, closed after %s", q.Acked(), took)
		}
		s.stop()
	})
}

// A write that fails is explained by the close frame that is on its way.
func TestCloseFrameExplainsAFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, _ int, conn *websocket.Conn) {
			s.receive(conn)
			<-time.After(reasonWait / 2)
			conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4403, "no"), time.Now().Add(time.Second))
		})
		c := s.config()
		c.dial = func(ctx context.Context, addr string, _ int) (net.Conn, error) {
			conn, err := s.pipes.dial(ctx, addr, 0)
			return &breakingConn{Conn: conn, writes: 2}, err // the handshake and one record
		}
		u := run(t, c, newQueue(2))
		pass(time.Second)
		if st := u.Status(); st.State != Waiting || !strings.Contains(problemText(st), "4403") {
			t.Errorf("status %+v", st)
		}
	})
}

// breakingConn takes a number of writes and fails then.
type breakingConn struct {
	net.Conn
	writes int
}

func (c *breakingConn) Write(p []byte) (int, error) {
	if c.writes == 0 {
		return 0, syscall.EPIPE
	}
	c.writes--
	return c.Conn.Write(p)
}

func TestCancelDoesNotWaitForADeadServer(t *testing.T) {
	for name, serve := range map[string]func(*server, int, *websocket.Conn){
		"skippeds": func(_ *server, _ int, conn *websocket.Conn) { io.Copy(io.Discard, conn.NetConn()) },
		"blocks":   func(_ *server, _ int, conn *websocket.Conn) { <-time.After(5 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, serve)
				_, stop := start(t, s.config(), newQueue(3))
				synctest.Wait()
				begin := time.Now()
				stop()
				if took := time.Since(begin); took > closeWait {
					t.Errorf("closing took %s, want at most %s", took, closeWait)
				}
				s.stop()
			})
		})
	}
}

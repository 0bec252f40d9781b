package uplink

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

func TestEchoAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(echo)
		q := newQueue(1000)
		u, stop := start(t, s.config(), q)
		q.await(t, 1000, time.Minute)
		if repeats := s.wantAll(t, 1000); repeats != 0 {
			t.Errorf("%d repeats on a sound connection", repeats)
		}
		st := u.Status()
		if st.Ack != AckEcho || st.State != Connected || st.Acked != 1000 || st.Sent != 1000 || st.Outstanding != 0 || st.LastAckAge == nil {
			t.Errorf("status %+v", st)
		}
		stop()
		s.stop()
	})
}

// A server over its capacity drops records and says nothing: the gap shows it.
func TestGapIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records = 500
		count := 0
		s := newServer(func(s *server, _ int, conn *websocket.Conn) {
			for {
				_, msg, err := conn.ReadMessage()
				if err != nil {
					return
				}
				count++
				if count%17 == 0 && seqOf(msg) != records { // the end has nothing behind it to show a gap
					continue
				}
				s.mu.Lock()
				s.got = append(s.got, seqOf(msg))
				s.mu.Unlock()
				conn.WriteMessage(websocket.TextMessage, msg)
			}
		})
		q := newQueue(records)
		u, stop := start(t, s.config(), q)
		q.await(t, records, time.Second) // no reconnecting: that would take 10 s
		st := u.Status()
		if order, repeats := s.firsts(); len(order) != records || repeats != 0 {
			t.Errorf("%d records, %d repeats of records that were not lost", len(order), repeats)
		}
		if st.Connects != 1 || st.Lost < records/20 || st.Resent != st.Lost || st.Sent != records+st.Resent {
			t.Errorf("status %+v", st)
		}
		stop()
		s.stop()
	})
}

// A group that lost its member (a Redis failover) leaves the socket open, and
// answers pings.
func TestDeafServerIsReconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(s *server, n int, conn *websocket.Conn) {
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
		u, stop := start(t, s.config(), q)
		q.await(t, 100, 5*time.Minute)
		if took := time.Since(begin); took < deafMin || took > deafMin+2*time.Second {
			t.Errorf("recovered after %s, want about %s at a round trip of 0", took, deafMin)
		}
		repeats := s.wantAll(t, 100)
		if st := u.Status(); st.Connects != 2 || st.Resent == 0 || st.Resent != uint64(repeats) {
			t.Errorf("%d repeats, status %+v", repeats, st)
		}
		stop()
		s.stop()
	})
}

// Echoes that lag by seconds are slow, not lost: nothing is sent twice.
func TestLateEchoIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(s *server, _ int, conn *websocket.Conn) {
			type late struct {
				due time.Time
				msg []byte
			}
			queue := make(chan late, 1000)
			defer close(queue)
			go func() {
				for l := range queue {
					<-time.After(time.Until(l.due))
					conn.WriteMessage(websocket.TextMessage, l.msg)
				}
			}()
			for {
				msg, ok := s.receive(conn)
				if !ok {
					return
				}
				queue <- late{time.Now().Add(8 * time.Second), msg}
			}
		})
		q := newQueue(200)
		u, stop := start(t, s.config(), q)
		q.await(t, 200, 10*time.Minute)
		st := u.Status()
		if st.Resent != 0 || st.Connects != 1 || st.RTT < 7.9 || st.RTT > 8.1 {
			t.Errorf("status %+v", st)
		}
		if st.Window <= startWindow {
			t.Errorf("window %d has not grown", st.Window)
		}
		stop()
		s.stop()
	})
}

func TestAutoSettlesOnPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begins := make(chan struct{})
		s := newServer(func(s *server, _ int, conn *websocket.Conn) {
			for {
				msg, ok := s.receive(conn)
				if !ok {
					return
				}
				select {
				case <-begins: // a new version of the server: it echoes
					conn.WriteMessage(websocket.TextMessage, msg)
				default:
				}
			}
		})
		q := newQueue(100)
		begin := time.Now()
		u, stop := start(t, s.config(), q)
		if st := u.Status(); st.Ack != AckAuto {
			t.Errorf("mode %s before anything is known", st.Ack)
		}
		q.await(t, 100, time.Hour)
		if took := time.Since(begin); took < settleAfter || took > settleAfter+time.Second {
			t.Errorf("settled after %s, want %s", took, settleAfter)
		}
		repeats := s.wantAll(t, 100)
		if st := u.Status(); st.Ack != AckPong || st.Connects != 1 || repeats != 0 {
			t.Errorf("%d repeats, status %+v", repeats, st)
		}

		close(begins)
		q.add(record(101))
		q.add(record(102))
		q.await(t, 102, time.Minute)
		synctest.Wait()
		if st := u.Status(); st.Ack != AckEcho {
			t.Errorf("mode %s after an echo", st.Ack)
		}
		stop()
		s.stop()
	})
}

// Once a server was seen to echo, pongs never count in its place.
func TestEchoIsNeverLeftForPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(s *server, n int, conn *websocket.Conn) {
			if n == 1 {
				msg, _ := s.receive(conn)
				conn.WriteMessage(websocket.TextMessage, msg)
			}
			silent(s, n, conn)
		})
		q := newQueue(10)
		u, stop := start(t, s.config(), q)
		pass(time.Hour)
		if st := u.Status(); q.Acked() != 1 || st.Ack != AckEcho || st.Connects < 30 {
			t.Errorf("acknowledged %d, status %+v", q.Acked(), st)
		}
		stop()
		s.stop()
	})
}

// One record alone is not several: auto takes it for dropped first.
func TestAutoNeedsSeveralSendings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(s *server, n int, conn *websocket.Conn) {
			if n == 1 {
				silent(s, n, conn)
			}
			echo(s, n, conn)
		})
		q := newQueue(1)
		u, stop := start(t, s.config(), q)
		q.await(t, 1, 5*time.Minute)
		if st := u.Status(); st.Ack != AckEcho || st.Connects != 2 || st.Resent != 1 {
			t.Errorf("status %+v", st)
		}
		stop()
		s.stop()
	})
}

// In pong mode nothing is acknowledged before the answer to a later ping.
func TestPongWaitsForItsPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newServer(func(s *server, n int, conn *websocket.Conn) {
			conn.SetPingHandler(func(payload string) error {
				<-release
				return conn.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(time.Second))
			})
			silent(s, n, conn)
		})
		q := newQueue(5)
		c := s.config()
		c.Ack = AckPong
		u, stop := start(t, c, q)
		pass(5 * time.Second)
		if q.Acked() != 0 {
			t.Errorf("%d records acknowledged without a pong", q.Acked())
		}
		close(release)
		q.await(t, 5, time.Second)
		if st := u.Status(); st.RTT == 0 || st.Connects != 1 {
			t.Errorf("status %+v", st)
		}
		stop()
		s.stop()
	})
}

func TestAckNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(silent)
		q := newQueue(100)
		c := s.config()
		c.Ack = AckNone
		u, stop := start(t, c, q)
		q.await(t, 100, time.Second)
		if st := u.Status(); st.Ack != AckNone || st.Acked != 100 || st.Connects != 1 {
			t.Errorf("status %+v", st)
		}
		stop()
		s.wantAll(t, 100)
		s.stop()
	})
}

// Records without a key (satellites, say) travel among others and alone.
func TestKeylessRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(echo)
		q := newQueue(3)
		q.add([]byte(`{"class":"SKY"}`))
		q.add(record(5))
		u, stop := start(t, s.config(), q)
		q.await(t, 5, time.Second) // with the echo of the later record
		q.add([]byte(`{"class":"SKY"}`))
		q.await(t, 6, 30*time.Second) // with the next ping
		if st := u.Status(); st.Connects != 1 || st.Resent != 0 {
			t.Errorf("status %+v", st)
		}
		stop()
		s.stop()
	})
}

func TestUnsendableRecordsAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(echo)
		q := newQueue(0)
		for _, data := range []string{"", " \r\n", "\xb5\x62\x01", string(record(4))} {
			q.add([]byte(data))
		}
		var log logBuffer
		c := s.config()
		c.Log = log.logger()
		u, stop := start(t, c, q)
		q.await(t, 4, time.Second)
		if st := u.Status(); st.Skipped != 3 || st.Sent != 1 {
			t.Errorf("status %+v", st)
		}
		if n := strings.Count(log.String(), "thrown away"); n != 3 {
			t.Errorf("%d lines for 3 records thrown away:\n%s", n, log.String())
		}
		stop()
		s.stop()
	})
}

// The server dies at random, in the middle of whatever, and drops and delays.
func TestRandomFaultsLoseNothing(t *testing.T) {
	const records = 2000
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				s := newServer(func(s *server, n int, conn *websocket.Conn) {
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
				u, stop := start(t, s.config(), q)
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
				stop()
				s.stop()
			})
		})
	}
}

// A link that swallows everything is found by ping, whether records are on
// their way or not.
func TestBlackHoleIsFoundByPing(t *testing.T) {
	for _, records := range []int{0, 3} {
		t.Run(fmt.Sprint(records), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lostAt time.Time
				s := newServer(func(s *server, n int, conn *websocket.Conn) {
					if n > 1 {
						echo(s, n, conn)
						return
					}
					io.Copy(io.Discard, conn.NetConn())
					lostAt = time.Now()
				})
				q := newQueue(records)
				c := s.config()
				c.Ping, c.PongTimeout = 20*time.Second, 10*time.Second
				begin := time.Now()
				u, stop := start(t, c, q)
				pass(2 * time.Minute)
				if st := u.Status(); st.State != Connected || st.Connects != 2 || int(q.Acked()) != records {
					t.Errorf("acknowledged %d, status %+v", q.Acked(), st)
				}
				stop()
				s.stop()
				if took := lostAt.Sub(begin); took <= 0 || took > 30*time.Second {
					t.Errorf("dead link found after %s, want within ping + timeout, 30 s", took)
				}
			})
		})
	}
}

// A link that takes nothing more ends by the deadline of the write.
func TestStuckWriteEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(s *server, n int, conn *websocket.Conn) {
			if n > 1 {
				echo(s, n, conn)
				return
			}
			<-time.After(time.Minute) // reads nothing
		})
		q := newQueue(3)
		begin := time.Now()
		_, stop := start(t, s.config(), q)
		q.await(t, 3, time.Minute)
		if took := time.Since(begin); took > 11*time.Second {
			t.Errorf("went on after %s, want after the write timeout of 10 s", took)
		}
		stop()
		s.stop()
	})
}

// A quiet connection stays, whoever pings.
func TestQuietConnectionStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pongs := 0
		s := newServer(func(s *server, n int, conn *websocket.Conn) {
			conn.SetPongHandler(func(string) error { pongs++; return nil })
			done := make(chan struct{})
			defer close(done)
			go func() {
				for {
					select {
					case <-done:
						return
					case <-time.After(7 * time.Second):
						conn.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(time.Second))
					}
				}
			}()
			echo(s, n, conn)
		})
		u, stop := start(t, s.config(), newQueue(0))
		pass(10 * time.Minute)
		synctest.Wait()
		if st := u.Status(); st.Connects != 1 || st.State != Connected {
			t.Errorf("status %+v", st)
		}
		stop()
		s.stop()
		if pongs < 80 {
			t.Errorf("%d pings of the server answered, want one each 7 s", pongs)
		}
	})
}

func TestConnectionIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(echo)
		q := newQueue(1)
		u, stop := start(t, s.config(), q)
		pass(10 * time.Hour)
		if st := u.Status(); st.Connects != 1 {
			t.Errorf("%d connections within 10 h", st.Connects)
		}
		pass(4 * time.Hour)
		if st := u.Status(); st.Connects != 2 || st.State != Connected {
			t.Errorf("status after 14 h %+v", st)
		}
		stop()
		s.stop()
		if !slices.Equal(s.closes, []int{websocket.CloseNormalClosure, websocket.CloseGoingAway}) {
			t.Errorf("server got close codes %v", s.closes)
		}
	})
}

func TestCancelClosesWithHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(echo)
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

func TestCancelDoesNotWaitForADeadServer(t *testing.T) {
	for name, serve := range map[string]func(*server, int, *websocket.Conn){
		"swallows": func(_ *server, _ int, conn *websocket.Conn) { io.Copy(io.Discard, conn.NetConn()) },
		"blocks":   func(_ *server, _ int, conn *websocket.Conn) { <-time.After(5 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(serve)
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

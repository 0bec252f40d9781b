package uplink

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// A link that loses everything is found by ping, whether records are on
// their way or not.
func TestBlackHoleIsFoundByPing(t *testing.T) {
	for _, records := range []int{0, 3} {
		t.Run(fmt.Sprint(records), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lostAt time.Time
				s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
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

// While a record is echoed every second no ping is needed; a link that dies then is found as soon as another.
func TestNoPingsBesideEchoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const echoed = 300
		var pings atomic.Int64
		var last, lostAt time.Time
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			conn.SetPingHandler(func(payload string) error {
				pings.Add(1)
				return conn.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(time.Second))
			})
			for n > 1 || len(s.got) < echoed {
				msg, ok := s.receive(conn)
				if !ok || conn.WriteMessage(websocket.TextMessage, msg) != nil {
					return
				}
				last = time.Now()
			}
			io.Copy(io.Discard, conn.NetConn())
			lostAt = time.Now()
		})
		q := newQueue(0)
		c := s.config()
		u, stop := start(t, c, q)
		for seq := 1; seq <= echoed; seq++ {
			q.add(record(seq))
			pass(time.Second)
		}
		if st := u.Status(); pings.Load() != 0 || st.Acked != echoed {
			t.Errorf("%d pings in five minutes with an echo each second: %+v", pings.Load(), st)
		}
		pass(time.Minute)
		stop()
		s.stop()
		if took := lostAt.Sub(last); took <= 0 || took > 30*time.Second {
			t.Errorf("dead link found after %s, want within ping + timeout, 30 s", took)
		}
	})
}

// A link that takes nothing more ends by the deadline of the write.
func TestStuckWriteEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			if n > 1 {
				echo(s, n, conn)
				return
			}
			<-time.After(time.Minute) // reads nothing
		})
		q := newQueue(3)
		begin := time.Now()
		run(t, s.config(), q)
		q.await(t, 3, time.Minute)
		if took := time.Since(begin); took > 11*time.Second {
			t.Errorf("went on after %s, want after the write timeout of 10 s", took)
		}
	})
}

// A quiet connection stays, whichever side pings.
func TestQuietConnectionStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pongs := 0
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
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

// The answer to a ping goes with the next record, in one write, and soon by itself where none comes.
func TestPongGoesWithTheNextRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pongs, writes atomic.Int64
		ping := make(chan bool)
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			conn.SetPongHandler(func(string) error { pongs.Add(1); return nil })
			go func() {
				for range ping {
					conn.WriteControl(websocket.PingMessage, []byte("beat"), time.Now().Add(time.Second))
				}
			}()
			echo(s, n, conn)
		})
		c, q := s.config(), newQueue(1)
		c.dial = func(ctx context.Context, addr string, segment int) (net.Conn, error) {
			conn, err := s.pipes.dial(ctx, addr, segment)
			return writeCounter{conn, &writes}, err
		}
		run(t, c, q)
		q.await(t, 1, time.Minute)
		for seq, fix := range []bool{true, false, true} {
			before := writes.Load()
			ping <- true
			pass(time.Second)
			if fix {
				q.add(record(seq + 2))
			}
			pass(time.Second)
			synctest.Wait()
			if n, p := writes.Load()-before, pongs.Load(); n != 1 || p != int64(seq+1) {
				t.Errorf("ping %d, with a record: %t: %d writes and %d pongs in all, want one write for both", seq+1, fix, n, p)
			}
		}
		close(ping)
	})
}

// A server that waits for a pong for less than it may wait for a record gets it at once from the second connection on.
func TestPongAtOnceWhereTheServerDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			pongs, done := make(chan bool, 1), make(chan bool)
			defer close(done)
			conn.SetPongHandler(func(string) error { pongs <- true; return nil })
			go func() {
				for {
					select {
					case <-done:
						return
					case <-time.After(5 * time.Second):
					}
					conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
					select {
					case <-pongs:
					case <-done:
						return
					case <-time.After(time.Second):
						conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseInternalServerErr, pingTimeout), time.Now().Add(time.Second))
						return
					}
				}
			}()
			echo(s, n, conn)
		})
		u, stop := start(t, s.config(), newQueue(0))
		pass(10 * time.Minute)
		synctest.Wait()
		if st := u.Status(); st.Connects != 2 || st.State != Connected {
			t.Errorf("status %+v, want the second connection to stay", st)
		}
		stop()
		s.stop()
	})
}

// writeCounter counts writes.
type writeCounter struct {
	net.Conn
	n *atomic.Int64
}

func (w writeCounter) Write(p []byte) (int, error) {
	w.n.Add(1)
	return w.Conn.Write(p)
}

// Another member's message may be huge, and the link slow: what comes in shows
// that it lives, though no ping can be answered in the middle of a frame.
func TestHugeMessageOnASlowLink(t *testing.T) {
	for name, size := range map[string]int{"looked at": maxEcho / 4, "thrown away": 2 * maxEcho} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int64
				s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
					wire := conn.NetConn()
					var reading sync.WaitGroup
					reading.Go(func() { io.Copy(io.Discard, wire) })
					defer reading.Wait()
					wire.Write(binary.BigEndian.AppendUint64([]byte{0x82, 127}, uint64(size))) // RFC 6455, section 5.2
					for chunk := make([]byte, 4096); n == 1 && sent.Load() < int64(size); sent.Add(int64(len(chunk))) {
						if _, err := wire.Write(chunk); err != nil {
							return
						}
						pass(time.Second)
					}
				})
				u := run(t, s.config(), newQueue(0))
				pass(time.Duration(size/4096+1) * time.Second)
				if st := u.Status(); sent.Load() != int64(size) || st.Connects != 1 || st.TooLong > 0 != (size > maxEcho) {
					t.Errorf("%d of %d bytes came through, status %+v", sent.Load(), size, st)
				}
			})
		})
	}
}

// A loop that promises to report again within a time does so, however long the link takes for what it does.
func TestBeatsAreInTime(t *testing.T) {
	readsNothing := func(*server, int, *websocket.Conn) { <-time.After(time.Minute) }
	for name, tc := range map[string]struct {
		serve   func(s *server, n int, conn *websocket.Conn)
		records int
	}{
		"healthy":                {echo, 100},
		"never echoes":           {silent, 100},
		"reads nothing":          {readsNothing, 100},
		"reads nothing, no more": {readsNothing, 0},
		"ends at once":           {func(*server, int, *websocket.Conn) {}, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, tc.serve)
				c := s.config()
				c.dial = func(ctx context.Context, addr string, _ int) (net.Conn, error) {
					if len(s.gaps())%3 == 2 {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return s.pipes.dial(ctx, addr, 0)
				}
				var mu sync.Mutex
				last, promised, beats := time.Now(), time.Duration(0), 0
				c.Beat = func(within time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					if beats == 0 && within != 2*c.withDefaults().ConnectTimeout {
						t.Errorf("the first promise is %s", within)
					}
					if took := time.Since(last); beats > 0 && took > promised { // none is for the end
						t.Errorf("reported after %s, promised %s", took, promised)
					}
					last, promised, beats = time.Now(), within, beats+1
				}
				_, stop := start(t, c, newQueue(tc.records))
				pass(5 * time.Minute)
				stop()
				s.stop()
				if promised != 0 || beats < 10 {
					t.Errorf("%d reports, promised %s at the end", beats, promised)
				}
			})
		})
	}
}

// Connections are replaced at their age give or take a tenth, so that a fleet that connected at one moment spreads.
func TestConnectionsAreRenewedApart(t *testing.T) {
	const age = 100 * time.Minute
	ages := map[time.Duration]bool{}
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, echo)
			c := s.config()
			c.Renew, c.Rand = age, rand.New(rand.NewPCG(seed, 0))
			run(t, c, newQueue(1))
			pass(age + age/10 + time.Second)
			gaps := s.gaps()
			if len(gaps) != 1 || gaps[0] < age-age/10 || gaps[0] > age+age/10 {
				t.Fatalf("replaced after %v", gaps)
			}
			ages[gaps[0]] = true
		})
	}
	if len(ages) < 20 {
		t.Errorf("ages of 20 connections: %v", ages)
	}
}

func TestConnectionIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
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

package uplink

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// A link that skippeds everything is found by ping, whether records are on
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
				if st := u.Status(); sent.Load() != int64(size) || st.Connects != 1 {
					t.Errorf("%d of %d bytes came through, status %+v", sent.Load(), size, st)
				}
			})
		})
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

package uplink

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/group"
)

// A server in trouble breaks connections on records that it would take later:
// none of them may be quarantined.
func TestServerTroubleSetsQuarantinesNothing(t *testing.T) {
	trouble := time.Duration(few(40)) * time.Minute
	for name, serve := range map[string]func(s *server, n int, conn *websocket.Conn){
		"breaks on everything": func(s *server, n int, conn *websocket.Conn) {
			if _, ok := s.receive(conn); ok {
				breakOff(conn, fails)
			}
		},
		"ends on everything": func(s *server, n int, conn *websocket.Conn) { s.receive(conn) },
		"breaks on the second": func(s *server, n int, conn *websocket.Conn) {
			if msg, ok := s.receive(conn); ok {
				conn.WriteMessage(websocket.TextMessage, msg)
				s.receive(conn)
				breakOff(conn, fails)
			}
		},
		"breaks on the first of every other": func(s *server, n int, conn *websocket.Conn) {
			if n%2 == 0 {
				echo(s, n, conn)
			} else if _, ok := s.receive(conn); ok {
				breakOff(conn, fails)
			}
		},
		"closes everything": func(s *server, n int, conn *websocket.Conn) {
			if _, ok := s.receive(conn); ok {
				breakOff(conn, websocket.CloseNormalClosure)
			}
		},
		"breaks at random":    breaksAtRandom(fails),
		"ends at random":      breaksAtRandom(ends),
		"closes at random":    breaksAtRandom(websocket.CloseNormalClosure),
		"stuck to everything": silent,
		"stuck behind the first": func(s *server, n int, conn *websocket.Conn) {
			if msg, ok := s.receive(conn); ok {
				conn.WriteMessage(websocket.TextMessage, msg)
				silent(s, n, conn)
			}
		},
		"its ping timed out": func(s *server, n int, conn *websocket.Conn) {
			rnd := rand.New(rand.NewPCG(7, uint64(n)))
			if _, ok := s.receive(conn); ok && (n < 50 || rnd.IntN(2) == 0) {
				conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseInternalServerErr, pingTimeout), time.Now().Add(time.Second))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
					if time.Since(begin) < trouble {
						serve(s, n, conn)
					} else {
						echo(s, n, conn)
					}
				})
				c, quarantine := s.quarantining()
				q := newQueue(1000)
				run(t, c, q)
				for seq := 1001; time.Since(begin) < trouble; seq++ {
					pass(time.Second)
					q.add(record(seq))
				}
				q.await(t, q.Last(), time.Hour)
				quarantine.want(t)
			})
		})
	}
}

// breaksAtRandom serves until a record in five breaks the connection.
func breaksAtRandom(code int) func(s *server, n int, conn *websocket.Conn) {
	return func(s *server, n int, conn *websocket.Conn) {
		rnd := rand.New(rand.NewPCG(7, uint64(n)))
		for {
			msg, ok := s.receive(conn)
			if !ok {
				return
			}
			if rnd.IntN(5) == 0 {
				breakOff(conn, code)
				return
			}
			conn.WriteMessage(websocket.TextMessage, msg)
		}
	}
}

// Redis stops for some seconds again and again: 1011 on all that is on its way,
// 500 until it is back.
func TestRedisTroubleSetsQuarantinesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		down := make(chan struct{})
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			mu.Lock()
			down := down
			mu.Unlock()
			over := make(chan struct{})
			defer close(over)
			go func() {
				select {
				case <-over:
				case <-down:
					<-time.After(400 * time.Millisecond)
					conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseInternalServerErr, ""), time.Now().Add(time.Second))
				}
			}()
			for {
				msg, ok := s.receive(conn)
				if !ok {
					return
				}
				select {
				case <-down:
				default:
					conn.WriteMessage(websocket.TextMessage, msg)
				}
			}
		})
		c, quarantine := s.quarantining()
		q := newQueue(200)
		run(t, c, q)
		rnd := rand.New(rand.NewPCG(3, 3))
		for seq := 201; seq <= 3000; seq++ {
			pass(time.Duration(rnd.IntN(400)) * time.Millisecond)
			q.add(record(seq))
			if rnd.IntN(20) == 0 {
				mu.Lock()
				close(down)
				s.setRefuse(http.StatusInternalServerError)
				pass(time.Duration(rnd.IntN(3000)) * time.Millisecond)
				down = make(chan struct{})
				s.setRefuse(0)
				mu.Unlock()
			}
		}
		q.await(t, 3000, time.Hour)
		quarantine.want(t)
	})
}

// A relay whose Redis is away takes a message and closes with 1012, or drains with 1001, or answers 503 with Retry-After. None of it is
// evidence against a record or the compression, and when it is over all is as before.
func TestRelayWithoutItsStoreIsNoEvidence(t *testing.T) {
	away := time.Duration(few(20)) * time.Minute
	for name, code := range map[string]int{"1012": websocket.CloseServiceRestart, "1001": websocket.CloseGoingAway, "503": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				isAway := func() bool { return time.Since(begin) > time.Minute && time.Since(begin) < time.Minute+away }
				s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
					for {
						msg, ok := s.receive(conn)
						switch {
						case !ok:
							return
						case isAway():
							conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(cmp.Or(code, websocket.CloseGoingAway), ""), time.Now().Add(time.Second))
							return
						}
						conn.WriteMessage(websocket.TextMessage, msg)
					}
				})
				s.accepts = true
				asked := 0
				if code == 0 {
					s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if isAway() {
							asked++
							w.Header().Set("Retry-After", "10")
							w.WriteHeader(http.StatusServiceUnavailable)
							return
						}
						s.ServeHTTP(w, r)
					})
				}
				c, quarantine := s.quarantining()
				q := newQueue(0)
				u := run(t, c, q)
				for seq := 1; time.Since(begin) < time.Minute+away+2*time.Minute; seq++ {
					pass(500 * time.Millisecond)
					q.add(record(seq))
				}
				u.mu.Lock()
				searching, size := u.isolation.searching(), u.win.size
				u.mu.Unlock()
				if st := u.Status(); searching || size < startWindow || st.Behind > 10 || !st.Compressed || st.Warning != nil {
					t.Errorf("isolating %t, window %d, status %+v", searching, size, st)
				}
				if code == 0 && (asked < int(away/(40*time.Second)) || asked > int(away/(9*time.Second))) { // pauses of 10 to 30 s
					t.Errorf("%d attempts in %s", asked, away)
				}
				quarantine.want(t)
			})
		})
	}
}

// A relay whose Redis has lost what it acknowledged gets it again, oldest first and marked, beside what is new: by the close frame, and
// by the epoch where that came on a connection to another node. Where it has not stated that it may ask, nothing is kept.
func TestWhatARelayHasLostIsSentAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		retain string
		asks   bool // by the close frame
		again  bool
	}{
		"close frame":   {"600", true, true},
		"epoch":         {"600", false, true},
		"not announced": {"", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
					for i := 1; ; i++ {
						msg, ok := s.receive(conn)
						if !ok {
							return
						}
						conn.WriteMessage(websocket.TextMessage, msg)
						if n == 1 && i == 500 {
							reason := ""
							if tc.asks {
								reason = group.SendAgain
							}
							conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseServiceRestart, reason), time.Now().Add(time.Second))
							return
						}
					}
				})
				s.retain = tc.retain
				q := retainingQueue{newQueue(0), new(time.Duration)}
				var log logBuffer
				c := s.liveFirst()
				c.Log = log.logger()
				u := run(t, c, q)
				q.addEach(100*time.Millisecond, 500)
				q.addEach(100*time.Millisecond, 1500)
				q.await(t, 1500, time.Minute)
				s.mu.Lock()
				defer s.mu.Unlock()
				times, last := map[int]int{}, 0
				for i, seq := range s.got {
					if times[seq]++; times[seq] == 2 && seq < 500 {
						if !s.late[i] || seq < last {
							t.Errorf("record %d came again after %d, marked %t", seq, last, s.late[i])
						}
						last = seq
					}
				}
				for seq := 1; seq < 500; seq++ {
					if (times[seq] == 2) != tc.again {
						t.Fatalf("record %d came %d times", seq, times[seq])
					}
				}
				if *q.retain != 10*time.Minute && tc.again || *q.retain != 0 && !tc.again {
					t.Errorf("the queue keeps for %s", *q.retain)
				}
				if st := u.Status(); strings.Contains(log.String(), "sending it again") != tc.again || st.Connects != 2 {
					t.Errorf("%+v, log:\n%s", st, log.String())
				}
			})
		})
	}
}

// retainingQueue keeps everything that is acknowledged while it is to.
type retainingQueue struct {
	*fakeQueue
	retain *time.Duration
}

func (q retainingQueue) Retain(d time.Duration) { *q.retain = d }

func (q retainingQueue) Again() (records int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if *q.retain == 0 {
		return 0
	}
	for i := range q.acked {
		if q.acked[i] {
			records++
		}
		q.acked[i] = false
	}
	q.low = 0
	q.wake()
	return records
}

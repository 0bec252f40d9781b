package uplink

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
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

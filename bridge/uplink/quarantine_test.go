package uplink

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// quarantined collects what was quarantined.
type quarantined struct {
	mu      sync.Mutex
	seqs    []int
	reasons []string
	err     error // of taking them
}

func (a *quarantined) take(msg []byte, reason string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	a.seqs, a.reasons = append(a.seqs, seqOf(msg)), append(a.reasons, reason)
	return nil
}

func (a *quarantined) setErr(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

// want checks what was quarantined, in any order.
func (a *quarantined) want(t *testing.T, want ...int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	got := slices.Sorted(slices.Values(a.seqs))
	if !slices.Equal(got, want) {
		t.Errorf("quarantined %v, want %v", got, want)
	}
}

// What ends a connection, beside the codes of close frames.
const (
	ends  = 0                                // nothing, as with Uvicorn when an application fails
	fails = websocket.CloseInternalServerErr // as with Daphne
)

// quarantining is a configuration for what is bad, and where that goes.
func (s *server) quarantining() (Config, *quarantined) {
	var a quarantined
	c := s.liveFirst()
	c.Quarantine = a.take
	return c, &a
}

// breakOff ends a connection with a close frame as Daphne does when an application fails: up to a
// second later and without any echo of what it has taken.
func breakOff(conn *websocket.Conn, code int) {
	if code == ends {
		return
	}
	timeout := time.Now().Add(time.Second)
	conn.SetReadDeadline(timeout)
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			break
		}
	}
	conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), timeout.Add(time.Second))
}

// poisoned serves like the tracking group, whose application ends the connection
// on some records. Echoes go out by a second task, rtt later, and are lost with it.
func poisoned(code int, rtt time.Duration, bad ...int) func(*server, int, *websocket.Conn) {
	return func(s *server, n int, conn *websocket.Conn) {
		echoes := make(chan []byte, 1000)
		var task sync.WaitGroup
		done := make(chan struct{})
		task.Go(func() {
			for {
				select {
				case <-done:
					return
				case msg := <-echoes:
					<-time.After(rtt)
					select {
					case <-done:
						return
					default:
						conn.WriteMessage(websocket.TextMessage, rewrite(msg))
					}
				}
			}
		})
		end := sync.OnceFunc(func() { close(done); task.Wait() })
		defer end()
		for {
			msg, ok := s.receive(conn)
			switch {
			case !ok:
				return
			case slices.Contains(bad, seqOf(msg)):
				end()
				breakOff(conn, code)
				return
			}
			echoes <- msg
		}
	}
}

// Bad records are quarantined, however they lie, and nothing else is; live ones
// go on meanwhile.
func TestBadRecordsAreQuarantined(t *testing.T) {
	for name, bad := range map[string][]int{
		"one": {500}, "the oldest": {1}, "the newest": {1000}, "side by side": {300, 301, 302},
		"the second and the next to last": {2, 999}, "live": {1005}, "live side by side": {1010, 1011},
	} {
		for _, order := range orders() {
			for _, code := range []int{fails, ends} {
				t.Run(fmt.Sprint(name, order, code), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := newServer(t, poisoned(code, 20*time.Millisecond, bad...))
						s.accepts = len(bad) == 1 && bad[0] == 1 // compression, which is not the cause
						var quarantine quarantined
						var log logBuffer
						c := s.liveFirst()
						c.Order, c.Quarantine, c.Log = order, quarantine.take, log.logger()
						q := newQueue(1000)
						begin := time.Now()
						u, stop := start(t, c, q)
						const records = 1200
						q.addEach(time.Second, records)
						q.await(t, records, time.Hour)
						t.Logf("%d connections, %s", u.Status().Connects, time.Since(begin))
						quarantine.want(t, bad...)
						if st := u.Status(); st.Quarantined != uint64(len(bad)) || st.Acked != uint64(records-len(bad)) || st.Behind != 0 {
							t.Errorf("status %+v", st)
						}
						if n := strings.Count(log.String(), "record quarantined"); n != len(bad) {
							t.Errorf("%d lines for %d records quarantined:\n%s", n, len(bad), log.String())
						}
						stop()
						s.stop()
						if order, _ := s.firsts(); len(order) != records {
							t.Errorf("server got %d of %d records", len(order), records)
						}
					})
				})
			}
		}
	}
}

// An application may close what it does not like with a code that states nothing
// of the kind.
func TestOrdinaryCloseOnABadRecord(t *testing.T) {
	for _, code := range []int{websocket.CloseNormalClosure, websocket.CloseNoStatusReceived, websocket.ClosePolicyViolation, 4400} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, poisoned(code, time.Millisecond, 50))
				c, quarantine := s.quarantining()
				q := newQueue(100)
				run(t, c, q)
				q.addEach(time.Second, 500)
				q.await(t, 500, time.Hour)
				quarantine.want(t, 50)
			})
		})
	}
}

// A bad record that cannot be quarantined is kept, and quarantined when it can be.
// Without a place for it, it is tried permanently.
func TestBadRecordIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, poisoned(fails, time.Millisecond, 50))
		quarantine := quarantined{err: errors.New("no space left on device")}
		var log logBuffer
		c := s.liveFirst()
		c.Quarantine, c.Log = quarantine.take, log.logger()
		q := newQueue(100)
		u, stop := start(t, c, q)
		q.addEach(time.Second, 700)
		if st := u.Status(); q.Acked() != 49 || st.Quarantined != 0 {
			t.Errorf("acknowledged up to %d, status %+v", q.Acked(), st)
		}
		if n := strings.Count(log.String(), "no space left"); n != 1 {
			t.Errorf("said %d times:\n%s", n, log.String())
		}
		quarantine.setErr(nil)
		q.await(t, 700, 10*time.Minute)
		quarantine.want(t, 50)
		stop()
		s.stop()

		s = newServer(t, poisoned(fails, time.Millisecond, 50))
		q = newQueue(100)
		u, stop = start(t, s.liveFirst(), q)
		pass(time.Hour)
		if st := u.Status(); st.Quarantined != 0 || q.Acked() > 49 {
			t.Errorf("acknowledged up to %d, status %+v", q.Acked(), st)
		}
		stop()
		s.stop()
	})
}

// The only record there is may be the bad one: without another to compare it
// with, it stays.
func TestLoneRecordIsNotQuarantined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, poisoned(fails, time.Millisecond, 1))
		c, quarantine := s.quarantining()
		q := newQueue(1)
		run(t, c, q)
		pass(time.Hour)
		quarantine.want(t)
		for seq := 2; seq <= 200; seq++ {
			q.add(record(seq))
			pass(time.Second)
		}
		q.await(t, 200, time.Hour)
		quarantine.want(t, 1)
	})
}

// A vehicle that is parked gives no new record to compare a bad one with: those that wait with it are compared, and do not wait longer.
func TestBadRecordAmongTheLast(t *testing.T) {
	for _, records := range []int{2, 3, 8} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, poisoned(fails, 20*time.Millisecond, 1))
			c, _ := s.quarantining()
			u := run(t, c, newQueue(records))
			pass(10 * time.Minute)
			if acked := u.Status().Acked; acked != uint64(records-1) {
				t.Errorf("%d of %d good records acknowledged", acked, records-1)
			}
		})
	}
}

// When the evidence ends, the uplink is back at full speed: a server that failed on everything for a while, as with its Redis
// down, costs one record per round trip no longer than the next window.
func TestFullSpeedAfterTheEvidenceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rtt = 300 * time.Millisecond
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			if n <= 2*breaksToIsolate {
				if _, ok := s.receive(conn); ok {
					breakOff(conn, fails)
				}
				return
			}
			distant(rtt, 0)(s, n, conn)
		})
		c, quarantine := s.quarantining()
		q := newQueue(100)
		u := run(t, c, q)
		q.addEach(100*time.Millisecond, 6100) // ten minutes at 10 Hz
		q.await(t, 6100, 2*time.Second)
		quarantine.want(t)
		if st := u.Status(); st.Connects != 2*breaksToIsolate+1 || st.Unechoed != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

// A server that reads ahead of its application answers a ping before the application breaks the connection on what came before. So
// the first break shows records that were sent after the cause, whatever the window, and the next ones have to show the cause: the mark.
func TestPongAheadOfTheBreak(t *testing.T) {
	for _, window := range []int{1, 2, 8} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const rtt, processing = 100 * time.Millisecond, 120 * time.Millisecond
				const records, fewLost = 300, 10 // of the 150 that wait at the beginning, one to five mostly
				var mu sync.Mutex
				accepted := map[int]bool{}
				s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
					conn.SetPingHandler(func(payload string) error {
						pass(rtt)
						return conn.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(time.Second))
					})
					for msg, ok := s.receive(conn); ok; msg, ok = s.receive(conn) {
						if bytes.Contains(msg, []byte(lateMark)) {
							time.AfterFunc(processing, func() { conn.Close() })
							continue
						}
						mu.Lock()
						accepted[seqOf(msg)] = true
						mu.Unlock()
					}
				})
				c, quarantine := s.quarantining()
				c.Ack, c.Window = AckPong, window
				q := newQueue(records / 2)
				u := run(t, c, q)
				q.addEach(time.Second, records)
				q.await(t, records, time.Minute)
				quarantine.want(t)
				if st := u.Status(); st.Warning == nil || st.Warning.Code != RefusesMark {
					t.Errorf("warning %v, want %s", st.Warning, RefusesMark)
				}
				mu.Lock()
				defer mu.Unlock()
				if lost := records - len(accepted); lost > fewLost {
					t.Errorf("%d records were acknowledged and the server broke on them", lost)
				}
			})
		})
	}
}

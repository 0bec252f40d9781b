package uplink

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// leavingOut serves as the tracking group does at a round trip rtt, and never
// echoes some records.
func leavingOut(rtt time.Duration, bad ...int) func(*server, int, *websocket.Conn) {
	return delayed(func(seq int) (time.Duration, bool) { return rtt, !slices.Contains(bad, seq) })
}

// timesGot is how often a record arrived.
func (s *server) timesGot(seq int) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, got := range s.got {
		if got == seq {
			n++
		}
	}
	return n
}

// Records that the server never echoes are accepted after some repeats, however
// they lie. They cost neither the connection nor the window.
func TestUnechoedRecordsAreAccepted(t *testing.T) {
	every := make([]int, 0, 20)
	for seq := 5; seq <= 1000; seq += 50 {
		every = append(every, seq)
	}
	for name, bad := range map[string][]int{
		"none": nil, "one": {500}, "the oldest": {1}, "side by side": {300, 301, 302},
		"live": {1005}, "live side by side": {1010, 1011}, "every fiftieth": every,
	} {
		for _, order := range orders() {
			t.Run(fmt.Sprint(name, order), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newServer(t, leavingOut(50*time.Millisecond, bad...))
					var quarantine quarantined
					c := s.liveFirst()
					c.Order, c.Quarantine = order, quarantine.take
					q := newQueue(1000)
					u := run(t, c, q)
					const records = 1500
					for seq := 1001; seq <= records; seq++ {
						pass(time.Second)
						q.add(record(seq))
						if seq == 1010 && len(bad) < 10 && u.Status().Acked < 1000 {
							t.Errorf("the rest was held up: %+v", u.Status())
						}
					}
					q.await(t, records, 5*time.Minute)
					quarantine.want(t)
					st := u.Status()
					if st.Unechoed != uint64(len(bad)) || st.Acked != records || st.Behind != 0 || st.Connects != 1 {
						t.Errorf("status %+v", st)
					}
					backlog := len(bad) == 0 || bad[0] <= 1000 // a window that is not used does not grow again
					if len(bad) < 10 && backlog && st.Window < startWindow {
						t.Errorf("window %d", st.Window)
					}
					for seq := 1100; seq <= records; seq++ {
						if took := q.ackedAt[seq-1].Sub(q.added[seq-1]); took > time.Second {
							t.Errorf("live record %d was acknowledged after %s", seq, took)
						}
					}
					for _, seq := range bad {
						if n := s.timesGot(seq); n > 2*lossesToAccept {
							t.Errorf("record %d was sent %d times", seq, n)
						}
					}
				})
			})
		}
	}
}

// A server that loses at random what it would take at the next try: nothing is
// quarantined, however much it loses.
func TestOverrunServerSetsQuarantinesNothing(t *testing.T) {
	for name, loses := range map[string]func(rnd *rand.Rand, since time.Duration) bool{
		"a tenth": func(rnd *rand.Rand, _ time.Duration) bool { return rnd.IntN(10) == 0 },
		"half":    func(rnd *rand.Rand, _ time.Duration) bool { return rnd.IntN(2) == 0 },
		"most":    func(rnd *rand.Rand, _ time.Duration) bool { return rnd.IntN(10) < 7 },
		"every other second": func(_ *rand.Rand, since time.Duration) bool {
			return int(since.Seconds())%2 == 1
		},
		"the first of each second": func(_ *rand.Rand, since time.Duration) bool { return since%time.Second < 100*time.Millisecond },
	} {
		for seed := range uint64(few(4)) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					begin := time.Now()
					rnd := rand.New(rand.NewPCG(seed, 2))
					s := newServer(t, func(s *server, _ int, conn *websocket.Conn) {
						for {
							msg, ok := s.receive(conn)
							if !ok {
								return
							}
							<-time.After(20 * time.Millisecond)
							if !loses(rnd, time.Since(begin)) {
								conn.WriteMessage(websocket.TextMessage, msg)
							}
						}
					})
					c, quarantine := s.quarantining()
					q := newQueue(500)
					u := run(t, c, q)
					q.addEach(time.Second, 1700)
					q.await(t, 1700, 4*time.Hour)
					t.Logf("%+v", u.Status())
					quarantine.want(t)
				})
			})
		}
	}
}

// Without later records that are echoed there is no proof, however long it takes.
func TestUnechoedRecordWithNothingBehindIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, leavingOut(time.Millisecond, 20))
		c, quarantine := s.quarantining()
		q := newQueue(20)
		run(t, c, q)
		pass(time.Hour)
		if q.Acked() != 19 {
			t.Errorf("acknowledged up to %d", q.Acked())
		}
		for seq := 21; seq <= 600; seq++ {
			q.add(record(seq))
			pass(time.Second)
		}
		q.await(t, 600, time.Minute)
		quarantine.want(t)
	})
}

// What is known about a record outlives the connection.
func TestUnechoedOverManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			end := time.AfterFunc(30*time.Second, func() {
				conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""), time.Now().Add(time.Second))
			})
			defer end.Stop()
			leavingOut(time.Millisecond, 20)(s, n, conn)
		})
		c, quarantine := s.quarantining()
		q := newQueue(20)
		u := run(t, c, q)
		for seq := 21; seq <= 600; seq++ {
			q.add(record(seq))
			pass(time.Second)
		}
		q.await(t, 600, time.Minute)
		quarantine.want(t)
		if st := u.Status(); st.Connects < 10 || st.Unechoed != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

// A record that is held back goes out when its time has come, without another
// one to take it along.
func TestHeldRecordGoesOutByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		skipped := lossesToRare + 1
		s := newServer(t, func(s *server, _ int, conn *websocket.Conn) {
			for {
				msg, ok := s.receive(conn)
				if !ok {
					return
				}
				if seqOf(msg) == 20 && skipped > 0 {
					skipped--
					continue
				}
				conn.WriteMessage(websocket.TextMessage, msg)
			}
		})
		q := newQueue(20)
		u := run(t, s.config(), q)
		q.addEach(100*time.Millisecond, 25)
		pass(100 * time.Millisecond)
		if st := u.Status(); st.Lost != 5 || st.Outstanding != 1 {
			t.Errorf("status %+v", st)
		}
		pass(holdFirst)
		if st := u.Status(); st.Acked != 25 || st.Connects != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

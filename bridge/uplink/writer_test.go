package uplink

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// liveFirst is a configuration that marks what is late.
func (s *server) liveFirst() Config {
	c := s.config()
	c.Order, c.Backlog = LiveFirst, markLate
	return c
}

// After a long outage the newest record is there at once, new ones never wait
// behind the backlog by more than a window, and the backlog comes in order.
func TestLiveFirstAfterALongOutage(t *testing.T) {
	const (
		backlog = 10_000
		live    = 200
		rtt     = 100 * time.Millisecond
		each    = time.Millisecond // of the server, for each record
		every   = 100 * time.Millisecond
	)
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, distant(rtt, each))
		q := newQueue(backlog)
		begin := time.Now()
		u := run(t, s.liveFirst(), q)
		q.addEach(every, backlog+live)
		q.await(t, backlog+live, time.Hour)
		took := time.Since(begin)

		if took := q.ackedAt[backlog-1].Sub(begin); took > 2*rtt {
			t.Errorf("newest record acknowledged after %s, want within two round trips of %s", took, rtt)
		}
		longest := time.Duration(0)
		for pos := backlog; pos < backlog+live; pos++ {
			longest = max(longest, q.ackedAt[pos].Sub(q.added[pos]))
		}
		if window := rtt + maxWindow*each; longest > window+rtt {
			t.Errorf("a live record was acknowledged after %s, want within a window (%s) and a round trip (%s)", longest, window, rtt)
		}
		s.wantOrder(t, backlog+live, true)
		st := u.Status()
		if st.Backlog != backlog-1 || st.Resent != 0 || st.Connects != 1 || st.Window != maxWindow || st.Behind != 0 {
			t.Errorf("status %+v", st)
		}
		// Three quarters of the window a round trip, and the start.
		if limit := backlog / 24 * (rtt + 24*each) * 5 / 4; took > limit {
			t.Errorf("drained in %s, want within %s", took, limit)
		}
		t.Logf("%d records in %s, live ones acknowledged within %s", backlog, took, longest)
	})
}

// What fits into a window goes out in its order, and is not marked.
func TestShortPileStaysInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, distant(50*time.Millisecond, 0))
		q := newQueue(0)
		u := run(t, s.liveFirst(), q)
		for seq := 1; seq <= startWindow; seq++ {
			q.add(record(seq)) // before there is a connection
		}
		q.await(t, startWindow, time.Second)
		s.wantAll(t, startWindow)
		if st := u.Status(); st.Backlog != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

// What an earlier process left behind newer records that it had sent is late, however little it is.
func TestWhatAnEarlierProcessLeftIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, distant(50*time.Millisecond, 0))
		q := newQueue(10)
		for pos := uint64(4); pos <= 10; pos++ {
			q.Ack(pos)
		}
		u := run(t, s.liveFirst(), q)
		q.await(t, 10, 10*time.Second)
		if st := u.Status(); st.Backlog != 3 {
			t.Errorf("%d records were marked late, want 3: status %+v", st.Backlog, st)
		}
	})
}

func TestOldestFirstIsStrict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, distant(50*time.Millisecond, 0))
		c := s.liveFirst()
		c.Order = OldestFirst
		q := newQueue(1000)
		u := run(t, c, q)
		q.addEach(50*time.Millisecond, 1020)
		q.await(t, 1020, time.Minute)
		s.wantAll(t, 1020)
		if st := u.Status(); st.Backlog != 0 || slices.Contains(s.late, true) {
			t.Errorf("records were marked: status %+v", st)
		}
	})
}

// A pile that grows on a connection that stands, because the server is slow for
// a while, stays in order at first, and then the newest record goes first.
func TestPileOnAStandingConnection(t *testing.T) {
	for slow, jumps := range map[time.Duration]bool{piledFor / 2: false, 3 * piledFor: true} {
		t.Run(slow.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
					begin := time.Now()
					for {
						msg, ok := s.receive(conn)
						if !ok {
							return
						}
						if since := time.Since(begin); since > time.Second && since < time.Second+slow {
							<-time.After(time.Second)
						}
						conn.WriteMessage(websocket.TextMessage, msg)
					}
				})
				q := newQueue(1)
				u := run(t, s.liveFirst(), q)
				q.addEach(100*time.Millisecond, 1000)
				q.await(t, 1000, time.Hour)
				s.wantOrder(t, 1000, true)
				_, repeats := s.firsts()
				if st := u.Status(); (st.Backlog > 0) != jumps || st.Connects != 1 || repeats != 0 {
					t.Errorf("%d repeats, status %+v", repeats, st)
				}
			})
		})
	}
}

// The newest record may be done with already, by this process or an earlier
// one: the backlog does not wait for the next.
func TestNewestDoneWithAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		q := newQueue(500)
		q.Ack(500)
		q.Ack(250)
		run(t, s.liveFirst(), q)
		q.await(t, 500, time.Second)
		order, repeats := s.firsts()
		if len(order) != 498 || repeats != 0 || !slices.IsSorted(order) {
			t.Errorf("%d records, %d repeats, in order: %t; want 498, 0, true", len(order), repeats, slices.IsSorted(order))
		}
	})
}

// slowQueue takes its time for some records, as a worn SD card does.
type slowQueue struct {
	*fakeQueue
	slow uint64
}

func (q slowQueue) Next(after uint64) (uint64, []byte, error) {
	pos, data, err := q.fakeQueue.Next(after)
	if pos == q.slow {
		pass(2 * time.Second)
	}
	return pos, data, err
}

// A newest record that is slow to read comes nevertheless.
func TestNewestIsSlowToRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		q := slowQueue{newQueue(100), 100}
		run(t, s.liveFirst(), q)
		q.await(t, 100, 4*time.Second)
	})
}

// Records that no server takes, in the middle of the backlog and at its end.
func TestUnsendableInTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		q := newQueue(100)
		q.add(nil)
		q.addEach(0, 200)
		q.add([]byte("\xff"))
		u := run(t, s.liveFirst(), q)
		q.await(t, 201, time.Minute)
		if st := u.Status(); st.Skipped != 2 || st.Sent != 199 {
			t.Errorf("status %+v", st)
		}
	})
}

// The backlog of a server that drops what it cannot take comes again by the gap
// in the echoes, whatever positions lie between.
func TestGapsAreSeenByOrderOfSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, dropping(5*time.Millisecond, func(n int, _ []byte) bool { return n%13 == 0 }))
		q := newQueue(1000)
		u := run(t, s.liveFirst(), q)
		q.addEach(20*time.Millisecond, 1100)
		q.await(t, 1100, time.Minute)
		s.wantOrder(t, 1100, false)
		if st := u.Status(); st.Lost < 50 || st.Resent < st.Lost {
			t.Errorf("status %+v", st)
		}
	})
}

func TestParseOrder(t *testing.T) {
	for in, want := range map[string]Order{"": defaultOrder, "live-first": LiveFirst, "oldest-first": OldestFirst} {
		if got, err := ParseOrder(in); got != want || err != nil {
			t.Errorf("ParseOrder(%q) = %q, %v", in, got, err)
		}
	}
	if _, err := ParseOrder("newest"); err == nil {
		t.Error("an unknown order was taken")
	}
}

// What is on its way, or waits to be sent again, is not taken a second time:
// the backlog may reach over records that were sent as live.
func TestNothingIsTakenTwice(t *testing.T) {
	u, err := New(Config{URL: "ws://h.example/"}, newQueue(5))
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(u, nil, nil)
	for pos := uint64(1); pos <= 3; pos++ {
		_, f, err := s.look(pos - 1)
		if err != nil || f == nil || !f.keyed {
			t.Fatalf("record %d is not ready: %+v, %v", pos, f, err)
		}
		u.win.sending(f, time.Unix(0, 0))
	}
	u.win.echoOf(2, time.Unix(0, 0)) // 1 is lost, 2 done, 3 on its way
	for pos, want := range map[uint64]bool{1: false, 3: false, 4: true} {
		if _, f, _ := s.look(pos - 1); (f != nil) != want {
			t.Errorf("record %d taken: %t, want %t", pos, f != nil, want)
		}
	}
}

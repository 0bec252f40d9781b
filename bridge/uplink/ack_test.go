package uplink

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/problem"
)

// From a server that never echoes a pong is provisional: sending goes on, the record is kept for Retain, and the pattern is
// named. Without a loss nothing is sent twice.
func TestProvisionalPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, silent)
		q := newQueue(1000)
		c := s.liveFirst()
		c.Retain = 5 * time.Minute
		begin := time.Now()
		u := run(t, c, q)
		q.addEach(time.Second, 1060)
		if order, repeats := s.firsts(); len(order) < 1059 || repeats != 0 || q.Acked() != 0 {
			t.Errorf("%d records and %d repeats sent, %d acknowledged", len(order), repeats, q.Acked())
		}
		pass(2 * time.Second)
		if st := u.Status(); st.Warning == nil || st.Warning.Code != NeverEchoes || st.Warning.Key != "ack" || st.Provisional != 1060 || st.LastAckAge == nil {
			t.Errorf("status %+v", st)
		}
		drains := time.Now()
		if err := u.Drain(t.Context()); err != nil || time.Since(drains) > 0 {
			t.Errorf("drained after %s of what is acknowledged provisionally: %v", time.Since(drains), err)
		}
		q.await(t, 1060, 10*time.Minute)
		if took := time.Since(begin); took < c.Retain || took > c.Retain+2*time.Minute {
			t.Errorf("acknowledged after %s, want %s", took, c.Retain)
		}
		if st := u.Status(); st.Unechoed != 1060 || st.Connects != 1 || st.Resent != 0 || st.Provisional != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

// That a server never echoes is worth a warning when it has had the time for it.
func TestNeverEchoesIsKnownInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := run(t, newServer(t, silent).liveFirst(), newQueue(0))
		u := run(t, newServer(t, silent).liveFirst(), newQueue(5))
		pass(warnAfter - time.Millisecond)
		if w := u.Status().Warning; w != nil {
			t.Errorf("too early: %v", w)
		}
		pass(time.Millisecond)
		synctest.Wait()
		if w := u.Status().Warning; problem.CodeOf(asError(w)) != NeverEchoes {
			t.Errorf("after %s: %v", warnAfter, w)
		}
		if w := idle.Status().Warning; w != nil {
			t.Errorf("nothing was sent, and the warning is %v", w)
		}
	})
}

// A server that has never echoed may not be meant to, where ack is echo; one that has is stuck.
func TestSilenceNamesTheKey(t *testing.T) {
	for echoed, want := range map[int]problem.Code{0: NoEcho, 1: Unresponsive} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
				for range echoed {
					if msg, ok := s.receive(conn); ok && n == 1 {
						conn.WriteMessage(websocket.TextMessage, msg)
					}
				}
				silent(s, n, conn)
			})
			c := s.config()
			c.Ack = AckEcho
			u := run(t, c, newQueue(100))
			var first *problem.Problem
			for i := 0; i < 20_000 && first == nil; i++ { // it is there while the uplink waits, which may be short
				pass(10 * time.Millisecond)
				first = u.Status().Problem
			}
			if problem.CodeOf(asError(first)) != want || (want == NoEcho) != (first.Key == "ack") {
				t.Errorf("%d echoed: %v", echoed, first)
			}
		})
	}
}

// An echo may be as long as maxEcho.
func TestLongEcho(t *testing.T) {
	for size, acked := range map[int]uint64{maxEcho: 1, maxEcho + 1: 0} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
				if msg, ok := s.receive(conn); ok {
					conn.WriteMessage(websocket.TextMessage, append(msg, bytes.Repeat([]byte(" "), size-len(msg))...))
				}
				silent(s, n, conn)
			})
			c := s.config()
			c.Ack = AckEcho
			u := run(t, c, newQueue(1))
			pass(time.Second)
			if st := u.Status(); st.Acked != acked {
				t.Errorf("%d bytes: status %+v", size, st)
			}
		})
	}
}

// Whatever a message repeats is looked for once, in the order of sending: it may have 50,000 numbers in 1 MiB.
func TestEchoesInAMessage(t *testing.T) {
	u := &Uplink{runs: map[string]bool{"r1": true}, win: newWindow(maxWindow)}
	for seq := range 3 {
		u.win.sending(&flight{pos: uint64(seq + 1), key: Key{"r1", uint64(seq + 1)}, keyed: true}, time.Time{})
	}
	list := func(seqs ...int) string {
		var all []string
		for _, seq := range seqs {
			all = append(all, string(record(seq)))
		}
		return strings.Join(all, ",")
	}
	for text, want := range map[string][]Key{
		list(2): {{"r1", 2}},
		list(9): {{"r1", 9}},
		strings.Repeat(list(3, 1, 2, 9, 1)+",", 1000) + list(8): {{"r1", 1}, {"r1", 2}, {"r1", 3}},
		strings.Repeat(list(9, 8, 7)+",", 1000) + list(6):       {{"r1", 9}},
		`{"run":"other","seq":1}`:                               nil,
	} {
		if got := u.echoesIn([]byte("[" + text + "]")); !slices.Equal(got, want) {
			t.Errorf("in %.60s: %v, want %v", text, got, want)
		}
	}
}

// Each record is kept for Retain from its own pong on.
func TestProvisionalIsKeptFromItsOwnPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, silent)
		c := s.liveFirst()
		c.Retain = 10 * time.Minute
		q := newQueue(1)
		run(t, c, q)
		q.addEach(5*time.Minute, 2)
		pass(6 * time.Minute)
		if q.Acked() != 1 {
			t.Errorf("acknowledged %d after 11 minutes", q.Acked())
		}
		pass(5 * time.Minute)
		if q.Acked() != 2 {
			t.Errorf("acknowledged %d after 16 minutes", q.Acked())
		}
	})
}

// What a server does with records of a class is judged by blocks of ten seconds and five records at the least, three in a row.
func TestJudgementOfAServer(t *testing.T) {
	type block struct {
		echoed, skipped int
		lasts           time.Duration
	}
	blocks := func(n, echoed, skipped int, lasts time.Duration) (all []block) {
		for range n {
			all = append(all, block{echoed, skipped, lasts})
		}
		return all
	}
	for name, tc := range map[string]struct {
		blocks []block
		some   bool
	}{
		"a tenth":                     {blocks(3, 9, 1, blockTime), true},
		"a tenth, twice":              {blocks(2, 9, 1, blockTime), false},
		"less than a tenth":           {blocks(9, 10, 1, blockTime), false},
		"half":                        {blocks(3, 3, 3, blockTime), true},
		"none, five at a time":        {blocks(3, 0, 5, blockTime), true},
		"none, four at a time":        {blocks(3, 0, 4, blockTime), false},
		"none, in a shorter time":     {blocks(3, 0, 5, blockTime-time.Millisecond), false},
		"none, but not in a row":      {slices.Concat(blocks(2, 0, 5, blockTime), blocks(1, 5, 0, blockTime), blocks(2, 0, 5, blockTime)), false},
		"none, and then all":          {slices.Concat(blocks(3, 0, 5, blockTime), blocks(3, 5, 0, blockTime)), false},
		"none, and then all, twice":   {slices.Concat(blocks(3, 0, 5, blockTime), blocks(2, 5, 0, blockTime)), true},
		"none, and then a few of all": {slices.Concat(blocks(3, 0, 5, blockTime), blocks(9, 20, 1, blockTime)), true},
	} {
		t.Run(name, func(t *testing.T) {
			var e echoes
			now := time.Unix(0, 0)
			for _, b := range tc.blocks {
				for n := range b.echoed + b.skipped {
					if n == b.echoed+b.skipped-1 {
						now = now.Add(b.lasts)
					}
					e.saw(live, n >= b.skipped, now)
				}
			}
			if e.some(live) != tc.some || e.some(late) {
				t.Errorf("some %t, want %t: %+v", e.some(live), tc.some, e)
			}
		})
	}
}

// That a server echoes records of one class and none of the other is known at once.
func TestJudgementOfAClassWithoutEcho(t *testing.T) {
	for name, tc := range map[string]struct {
		liveEchoed bool
		between    bool // an echo of a late one
		skipped    int
		some       bool
	}{
		"live ones echoed, enough late ones not":  {true, false, neverLeast, true},
		"too few":                                 {true, false, neverLeast - 1, false},
		"live ones not echoed":                    {false, false, neverLeast, false},
		"an echo between, and enough before that": {true, true, neverLeast + 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			var e echoes
			now := time.Unix(0, 0)
			e.saw(live, tc.liveEchoed, now)
			for n := range tc.skipped {
				e.saw(late, tc.between && n == 3, now)
			}
			if e.some(late) != tc.some {
				t.Errorf("some %t, want %t: %+v", e.some(late), tc.some, e)
			}
		})
	}
}

// A server that left some connections in a row without an echo is named.
func TestSilentServerIsNamed(t *testing.T) {
	for silences, want := range map[int]bool{0: false, silencesNeeded - 1: false, silencesNeeded: true} {
		e := echoes{silences: silences}
		if w := e.warning(); (w != nil) != want || want && w.Code != EchoesSome {
			t.Errorf("%d connections: %v", silences, w)
		}
	}
}

// What a pong acknowledged provisionally is sent again when the server dies with it.
func TestProvisionalIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			if n > 1 {
				echo(s, n, conn)
				return
			}
			end := time.AfterFunc(4*time.Minute, func() { conn.NetConn().Close() }) // stuck, and killed
			defer end.Stop()
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return
				}
			}
		})
		q := newQueue(1000)
		u := run(t, s.liveFirst(), q)
		q.addEach(time.Second, 1300)
		q.await(t, 1300, time.Minute)
		if order, _ := s.firsts(); len(order) != 1300 {
			t.Errorf("server processed %d of 1300 records: status %+v", len(order), u.Status())
		}
	})
}

// The first own echo settles auto on echo, also one of a record that a pong acknowledged long ago, and is remembered.
func TestFirstEchoSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, _ int, conn *websocket.Conn) { // its consumer is blocked for a minute
			stuck := make(chan []byte, 10000)
			go func() {
				<-time.After(time.Minute)
				for msg := range stuck {
					conn.WriteMessage(websocket.TextMessage, rewrite(msg))
				}
			}()
			defer close(stuck)
			for {
				msg, ok := s.receive(conn)
				if !ok {
					return
				}
				stuck <- msg
			}
		})
		q := newQueue(500)
		saw := 0
		c := s.liveFirst()
		c.SawEcho = func() { saw++ }
		u := run(t, c, q)
		q.addEach(time.Second, 600)
		pass(time.Second)
		if st := u.Status(); q.Acked() != 600 || st.Ack != AckEcho || saw != 1 || st.Resent != 0 || st.Connects != 1 || st.Warning != nil {
			t.Errorf("acknowledged %d, seen %d times, status %+v", q.Acked(), saw, st)
		}
		if c.Echoes = true; true {
			again, err := New(c, q)
			if err != nil || again.Status().Ack != AckEcho {
				t.Errorf("an uplink that knows: %v", err)
			}
		}
	})
}

// Echoes that applications wrap are found, and one frame may acknowledge several.
func TestWrappedEchoes(t *testing.T) {
	for name, wrap := range map[string]func(msgs ...[]byte) []byte{
		"object": func(msgs ...[]byte) []byte { return fmt.Appendf(nil, `{"type":"fix","data":%s}`, msgs[0]) },
		"text":   func(msgs ...[]byte) []byte { return fmt.Appendf(nil, `{"message":%q}`, msgs[0]) },
		"list":   func(msgs ...[]byte) []byte { return fmt.Appendf(nil, "[%s]", msgs[0]) },
		"batch of five, last first": func(msgs ...[]byte) []byte {
			slices.Reverse(msgs)
			return fmt.Appendf(nil, `{"items":[%s]}`, bytes.Join(msgs, []byte(",")))
		},
		"batch of five": func(msgs ...[]byte) []byte {
			return fmt.Appendf(nil, `{"items":[%s]}`, bytes.Join(msgs, []byte(",")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				size := 1
				if strings.HasPrefix(name, "batch") {
					size = 5
				}
				s := newServer(t, func(s *server, _ int, conn *websocket.Conn) {
					var batch [][]byte
					for {
						msg, ok := s.receive(conn)
						if !ok {
							return
						}
						if batch = append(batch, msg); len(batch) == size {
							conn.WriteMessage(websocket.TextMessage, wrap(batch...))
							batch = nil
						}
					}
				})
				q := newQueue(500)
				u := run(t, s.liveFirst(), q) // the newest goes before the others
				q.await(t, 500, 10*time.Second)
				if st := u.Status(); st.Ack != AckEcho || st.Unechoed != 0 || st.Resent != 0 {
					t.Errorf("status %+v", st)
				}
			})
		})
	}
}

// Once a server was seen to echo, pongs never count in its place.
func TestEchoIsNeverLeftForPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			if n == 1 {
				msg, _ := s.receive(conn)
				conn.WriteMessage(websocket.TextMessage, msg)
			}
			silent(s, n, conn)
		})
		q := newQueue(10)
		u := run(t, s.config(), q)
		pass(time.Hour)
		if st := u.Status(); q.Acked() != 1 || st.Ack != AckEcho || st.Connects < 30 {
			t.Errorf("acknowledged %d, status %+v", q.Acked(), st)
		}
	})
}

// In pong mode nothing is acknowledged before the answer to a later ping.
func TestPongWaitsForItsPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			conn.SetPingHandler(func(payload string) error {
				<-release
				return conn.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(time.Second))
			})
			silent(s, n, conn)
		})
		q := newQueue(5)
		c := s.config()
		c.Ack = AckPong
		u := run(t, c, q)
		pass(5 * time.Second)
		if q.Acked() != 0 {
			t.Errorf("%d records acknowledged without a pong", q.Acked())
		}
		close(release)
		q.await(t, 5, time.Second)
		if st := u.Status(); st.RTT == 0 || st.Connects != 1 || st.Outstanding != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestAckNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, silent)
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
		s := newServer(t, echo)
		q := newQueue(3)
		q.add([]byte(`{"class":"SKY"}`))
		q.add(record(5))
		u := run(t, s.config(), q)
		q.await(t, 5, time.Second) // with the echo of the later record
		q.add([]byte(`{"class":"SKY"}`))
		pass(keylessWait - time.Millisecond)
		if q.Acked() != 5 {
			t.Errorf("acknowledged before a later one could have come: %+v", u.Status())
		}
		q.await(t, 6, time.Second) // with a ping of its own
		q.add([]byte(`{"class":"SKY"}`))
		ctx, done := context.WithTimeout(t.Context(), time.Second)
		defer done()
		if err := u.Drain(ctx); err != nil { // no later one is coming
			t.Errorf("%v: status %+v", err, u.Status())
		}
		q.add([]byte(`{"class":"SKY"}`))
		pass(keylessWait - time.Millisecond)
		if q.Acked() != 7 {
			t.Errorf("in a hurry after the drain: %+v", u.Status())
		}
		if st := u.Status(); st.Connects != 1 || st.Resent != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestUnsendableRecordsAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		q := newQueue(0)
		for _, data := range []string{"", " \r\n", "\xb5\x62\x01", string(record(4))} {
			q.add([]byte(data))
		}
		var log logBuffer
		c := s.config()
		c.Log = log.logger()
		u := run(t, c, q)
		q.await(t, 4, time.Second)
		if st := u.Status(); st.Skipped != 3 || st.Sent != 1 {
			t.Errorf("status %+v", st)
		}
		if n := strings.Count(log.String(), "thrown away"); n != 3 {
			t.Errorf("%d lines for 3 records thrown away:\n%s", n, log.String())
		}
	})
}

// A ping that overtakes a record proves nothing about it, though the record was
// on its way to the socket already.
func TestPongOfAPingAheadOfTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, silent)
		c := s.liveFirst()
		c.Ack, c.Ping = AckPong, time.Second
		marking, marked := make(chan struct{}), make(chan struct{})
		c.Backlog = func(msg []byte) []byte { // between the window and the socket
			if seqOf(msg) == 1 {
				close(marking)
				<-marked
			}
			return msg
		}
		q := newQueue(2 * startWindow)
		run(t, c, q)
		<-marking
		pass(c.Ping * 3) // which go out and are answered
		if q.Acked() != 0 {
			t.Errorf("acknowledged up to %d before it was sent", q.Acked())
		}
		close(marked)
		q.await(t, q.Last(), time.Second)
	})
}

// A clean end by this side is no proof either: servers throw away what they have not processed when a client closes.
func TestProvisionalIsSentAgainAfterOurOwnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, silent)
		c := s.liveFirst()
		c.Renew, c.Retain = 5*time.Minute, time.Hour
		q := newQueue(20)
		u := run(t, c, q)
		pass(7 * time.Minute)
		if _, repeats := s.firsts(); u.Status().Connects != 2 || repeats != 20 || q.Acked() != 0 {
			t.Errorf("%d repeats, %d acknowledged: status %+v", repeats, q.Acked(), u.Status())
		}
	})
}

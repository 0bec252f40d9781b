package uplink

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/problem"
)

// longRecord is a record of the length of a fix.
func longRecord(seq int) []byte {
	return fmt.Appendf(nil, `{"class":"TPV","device_id":"van_7","run":"r1","seq":%d,"mode":3,"status":1,"time":"2026-11-23T09:%02d:%02d.000Z","lat":51.5033%04d,"lon":-0.1276%04d,"speed":13.%d,"track":84.%d}`,
		seq, seq/60%60, seq%60, seq*7%10000, seq*13%10000, seq%100, seq*3%100)
}

// offered reports for each connection whether compression was offered.
func (s *server) offered() (all []bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, offer := range s.offers {
		all = append(all, offer != "")
	}
	return all
}

// Compressed or not, the same bytes arrive.
func TestCompressedRecordsArriveAsTheyAre(t *testing.T) {
	const records = 300
	for _, compress := range []Compress{CompressAuto, CompressOff} {
		t.Run(string(compress), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, func(_ *server, _ int, conn *websocket.Conn) {
					for seq := 1; ; seq++ {
						_, msg, err := conn.ReadMessage()
						if err != nil {
							return
						}
						if !bytes.Equal(msg, longRecord(seq)) {
							t.Errorf("record %d arrived as %q", seq, msg)
						}
						conn.WriteMessage(websocket.TextMessage, msg)
					}
				})
				s.accepts = true
				c := s.config()
				c.Compress = compress
				q := newQueue(0)
				sent := 0
				for seq := 1; seq <= records; seq++ {
					q.add(longRecord(seq))
					sent += len(longRecord(seq))
				}
				u := run(t, c, q)
				q.await(t, records, time.Minute)
				on := compress == CompressAuto
				if st := u.Status(); st.Compressed != on || on != (st.SentBytes < uint64(sent/2)) {
					t.Errorf("%s: compressed %t, %d bytes sent for %d", compress, st.Compressed, st.SentBytes, sent)
				}
				if got := s.offered(); !slices.Equal(got, []bool{on}) {
					t.Errorf("offered: %v", got)
				}
			})
		})
	}
}

// What breaks the first frames of a compressed connection gets none for an hour, and no record is lost.
func TestCompressionThatBreaksIsLeft(t *testing.T) {
	garbage := []byte{0xc1, 2, 0xff, 0xff}
	var bomb bytes.Buffer // of zeros
	w, _ := flate.NewWriter(&bomb, flate.BestCompression)
	w.Write(make([]byte, 8<<20))
	w.Flush()
	frame := append([]byte{0xc1, 126, byte(bomb.Len() >> 8), byte(bomb.Len())}, bomb.Bytes()...)
	for name, tc := range map[string]struct {
		breaks func(s *server, conn *websocket.Conn) // of a compressed connection
		answer string
	}{
		"ends without a close frame": {breaks: func(s *server, conn *websocket.Conn) { s.receive(conn) }},
		"reports a bad frame": {breaks: func(s *server, conn *websocket.Conn) {
			s.receive(conn)
			breakOff(conn, websocket.CloseProtocolError)
		}},
		"swallows them": {breaks: func(s *server, conn *websocket.Conn) { silent(s, 1, conn) }},
		"garbage comes, later": {breaks: func(s *server, conn *websocket.Conn) {
			for range 5 {
				msg, _ := s.receive(conn)
				conn.WriteMessage(websocket.TextMessage, msg)
			}
			conn.NetConn().Write(garbage)
			s.receive(conn)
		}},
		"a bomb comes": {breaks: func(s *server, conn *websocket.Conn) {
			go conn.NetConn().Write(frame)
			silent(s, 1, conn)
		}},
		"the answer is wrong": {answer: "permessage-deflate; made_up", breaks: func(*server, *websocket.Conn) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s *server
				s = newServer(t, func(_ *server, n int, conn *websocket.Conn) {
					if offered := s.offered(); offered[len(offered)-1] {
						tc.breaks(s, conn)
						return
					}
					echo(s, n, conn)
				})
				s.accepts, s.answers = true, tc.answer
				c, away := s.quarantining()
				var log logBuffer
				c.Ack, c.Echoes, c.Log, c.Renew = AckAuto, true, log.logger(), 50*time.Minute
				q := newQueue(0)
				u := run(t, c, q)
				q.addEach(10*time.Second, 360)
				q.await(t, 360, time.Minute)
				s.wantOrder(t, 360, false)
				away.want(t)
				offered := s.offered()
				if len(offered) < 3 || !offered[0] || offered[1] || offered[2] {
					t.Errorf("offered: %v, want once and not again within the hour", offered)
				}
				if st := u.Status(); st.Compressed || st.Compression == nil || st.Compression.Code != CompressionBroke {
					t.Errorf("compressed %t, %v", st.Compressed, st.Compression)
				}
				if n := strings.Count(log.String(), string(CompressionBroke)); n != 1 {
					t.Errorf("logged %d times:\n%s", n, log.String())
				}
				q.addEach(10*time.Second, 720)
				if offered := s.offered(); !slices.Contains(offered[1:], true) {
					t.Errorf("not offered again after an hour: %v", offered)
				}
			})
		})
	}
}

// A server that breaks connections whether they are compressed or not is no reason to go without.
func TestCompressionIsKeptWhereItIsNotTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			if n <= 3 {
				s.receive(conn)
				return
			}
			echo(s, n, conn)
		})
		s.accepts = true
		q := newQueue(10)
		u := run(t, s.config(), q)
		q.await(t, 10, time.Minute)
		if got := s.offered(); len(got) < 4 || !got[0] || got[1] || slices.Contains(got[2:], false) {
			t.Errorf("offered: %v, want all but the second", got)
		}
		if st := u.Status(); !st.Compressed || st.Compression != nil {
			t.Errorf("compressed %t, %v", st.Compressed, st.Compression)
		}
	})
}

func TestCompressionAfterAnEnd(t *testing.T) {
	now := time.Now()
	for code, want := range map[problem.Code]bool{
		Ended: true, Reset: true, ClosedNormal: true, ClosedFailed: true, ClosedRecord: true, ReadFailed: true, Unresponsive: true, NoEcho: true,
		ClosedRestart: false, ClosedPing: false, ClosedPolicy: false, Overloaded: false, Forbidden: false, LinkDead: false, WriteTimeout: false, AgeReached: false,
	} {
		var c compression
		if got := c.failed(&problem.Problem{Code: code}, true, now); got != want || c.offered(now) == want {
			t.Errorf("%s: %t, want %t", code, got, want)
		}
		if c.failed(&problem.Problem{Code: code}, false, now) {
			t.Errorf("%s: compression is the cause though records were acknowledged", code)
		}
		c = compression{}
		c.works()
		first, second := c.failed(&problem.Problem{Code: code}, true, now), c.failed(&problem.Problem{Code: code}, true, now)
		if first || second != want {
			t.Errorf("%s: %t, then %t, where it has worked; want false, %t", code, first, second, want)
		}
	}
}

// A connection that broke without compression as well clears it, for as long as it would have been left.
func TestCompressionIsCleared(t *testing.T) {
	now, end := time.Now(), &problem.Problem{Code: Ended}
	var c compression
	c.failed(end, true, now)
	c.plainFailed(end, false, now)
	if c.offered(now) {
		t.Error("cleared though records were acknowledged without it")
	}
	c.plainFailed(end, true, now)
	if !c.offered(now) || c.failed(end, true, now.Add(plainFor)) {
		t.Error("not cleared")
	}
	if !c.failed(end, true, now.Add(plainFor+time.Second)) {
		t.Error("cleared for longer")
	}
}

// counting counts what is written at a time.
type counting struct {
	net.Conn
	writes *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// Records that leave together are written together, and one that comes alone is written at once.
func TestRecordsLeaveInOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, distant(100*time.Millisecond, 0))
		s.accepts = true
		var writes atomic.Int64
		c := s.config()
		c.dial = func(ctx context.Context, addr string, segment int) (net.Conn, error) {
			conn, err := s.pipes.dial(ctx, addr, segment)
			return counting{conn, &writes}, err
		}
		q := newQueue(0)
		for seq := 1; seq <= 9; seq++ { // one more than the window
			q.add(longRecord(seq))
		}
		run(t, c, q)
		pass(90 * time.Millisecond)
		if n := writes.Load(); n != 2 { // the handshake and a window
			t.Errorf("%d writes", n)
		}
		q.await(t, 9, time.Minute)
		pass(time.Second)
		before, begin := writes.Load(), time.Now()
		q.add(longRecord(10))
		pass(time.Nanosecond)
		s.mu.Lock()
		defer s.mu.Unlock()
		if got := s.gotAt[len(s.gotAt)-1]; writes.Load() != before+1 || got.Sub(begin) > time.Nanosecond {
			t.Errorf("%d writes, the record came after %s", writes.Load()-before, got.Sub(begin))
		}
	})
}

// An uplink that takes the place of one that left compression leaves it too, for the rest of the hour, or an hour by a clock that was
// set back. One without what was remembered offers it.
func TestLeftCompressionIsRemembered(t *testing.T) {
	for name, tc := range map[string]struct {
		restart time.Duration // after it was left
		set     time.Duration // what the clock was set by meanwhile
		left    time.Duration // how long it is not offered by the next one
	}{
		"at once":                 {left: time.Hour},
		"later":                   {restart: 40 * time.Minute, left: 20 * time.Minute},
		"after the hour":          {restart: time.Hour},
		"the clock was set back":  {set: -1000 * time.Hour, left: time.Hour},
		"the clock was set ahead": {set: 1000 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, echo)
				s.accepts, s.answers = true, "permessage-deflate; made_up"
				var until time.Time
				c := s.config()
				c.SawPlain = func(at time.Time) { until = at }
				q := newQueue(1)
				_, stop := start(t, c, q)
				q.await(t, 1, time.Minute)
				stop()
				s.answers = ""
				pass(time.Until(until) - time.Hour + tc.restart)
				before := len(s.offered())

				c.Plain, c.Renew = until.Add(-tc.set), time.Minute
				u := run(t, c, q)
				q.addEach(10*time.Second, 720)
				var plain time.Duration // until the first connection that offers it
				for i, offered := range s.offered()[before:] {
					if offered {
						plain = s.times[before+i].Sub(s.times[before])
						break
					}
				}
				if plain < tc.left || plain > tc.left+5*time.Minute {
					t.Errorf("offered after %s, want %s", plain, tc.left)
				}
				if st := u.Status(); !st.Compressed || st.Compression != nil {
					t.Errorf("at the end: compressed %t, %v", st.Compressed, st.Compression)
				}
			})
		})
	}
}

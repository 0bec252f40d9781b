package uplink

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/problem"
)

func TestRetryAfterIsHonoured(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "": 0, "-5": 0, "soon": 0, "999999999": maxRetryAfter, "10000000000": maxRetryAfter, "99999999999": maxRetryAfter,
		"Sat, 01 Jan 2000 00:05:00 GMT": 5 * time.Minute, "Fri, 31 Dec 1999 00:00:00 GMT": 0,
	} {
		if got := readRetryAfter(http.Header{"Retry-After": {value}}, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); got != want {
			t.Errorf("Retry-After: %s is %v, want %v", value, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.times = append(s.times, time.Now())
			s.mu.Unlock()
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		run(t, s.config(), newQueue(1))
		pass(time.Hour)
		gaps := s.gaps()
		if len(gaps) < 25 || slices.Min(gaps) < 2*time.Minute || slices.Max(gaps) > 133*time.Second {
			t.Errorf("pauses %v", gaps)
		}
	})
}

// Pauses are uniform, both ends included.
func TestPausesIncludeTheirEnds(t *testing.T) {
	r := newRetry(rand.New(rand.NewPCG(1, 1)))
	drawn := map[time.Duration]bool{}
	for range 100 {
		drawn[r.between(3, 4)] = true
	}
	if len(drawn) != 2 || !drawn[3] || !drawn[4] {
		t.Errorf("from 3 to 4: %v", drawn)
	}
}

// A server that closes each connection after two records gets few connections, and few lines of the log.
func TestFlappingServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, _ int, conn *websocket.Conn) {
			for range 2 {
				if msg, ok := s.receive(conn); ok {
					conn.WriteMessage(websocket.TextMessage, msg)
				}
			}
		})
		c, _ := s.quarantining()
		var log logBuffer
		c.Log = log.logger()
		q := newQueue(0)
		u := run(t, c, q)
		q.addEach(100*time.Millisecond, 18000) // half an hour at 10 Hz
		if n := u.Status().Connects; n > 30*30 {
			t.Errorf("%d connections in half an hour", n)
		}
		if n := strings.Count(log.String(), "\n"); n > 2*30 {
			t.Errorf("%d lines in half an hour:\n%s", n, log.String())
		}
	})
}

// A connection that was of use is followed by the next one soon: it has stood for ten seconds and acknowledged something, or
// acknowledged more than were on their way at a time.
func TestUsefulConnections(t *testing.T) {
	for name, tc := range map[string]struct {
		ack     AckMode
		records int           // echoed before the end
		lasts   time.Duration // after them
		useful  bool
	}{
		"as many as in a window":    {AckAuto, usefulRecords, 0, true},
		"one less":                  {AckAuto, usefulRecords - 1, 0, false},
		"as many without an answer": {AckNone, usefulRecords + 20, 0, false},
		"ten seconds without one":   {AckNone, usefulRecords + 20, usefulAfter, true},
		"one and ten seconds":       {AckAuto, 1, usefulAfter, true},
		"one and less":              {AckAuto, 1, usefulAfter - 100*time.Millisecond, false},
		"none and ten seconds":      {AckAuto, 0, usefulAfter, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, func(s *server, _ int, conn *websocket.Conn) {
					for range tc.records {
						if msg, ok := s.receive(conn); ok {
							conn.WriteMessage(websocket.TextMessage, msg)
						}
					}
					pass(tc.lasts)
				})
				c := s.config()
				c.Ack = tc.ack
				run(t, c, newQueue(20_000))
				pass(10 * time.Minute)
				each := tc.lasts + 1500*time.Millisecond // half a second, and up to half a second of jitter
				if n := time.Duration(len(s.gaps())); (n*each >= 10*time.Minute) != tc.useful {
					t.Errorf("%d connections in 10 minutes, useful %t: %v", n, tc.useful, s.gaps())
				}
			})
		})
	}
}

// One that closes each after some dozen has proved useful each time: live records hardly wait.
func TestServerThatCrashesOnSomeRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := 0
		s := newServer(t, applying(20*time.Millisecond, func(int, bool, time.Time) (bool, int) {
			count++
			return true, code(count%50 == 0, fails)
		}))
		c, _ := s.quarantining()
		q := newQueue(0)
		u := run(t, c, q)
		q.addEach(100*time.Millisecond, 3000)
		slow := 0
		for seq := 600; seq <= 3000; seq++ {
			if at := q.ackedAt[seq-1]; at.IsZero() || at.Sub(q.added[seq-1]) > 5*time.Second {
				slow++
			}
		}
		if slow > 120 {
			t.Errorf("%d of 2400 records took more than 5 s: status %+v", slow, u.Status())
		}
	})
}

// A server that is away for long and then breaks connections on what is marked is recognised as quickly as one that was not
// away: the pauses that its absence has taught do not separate its connections.
func TestStrictServerAfterAnOutage(t *testing.T) {
	for _, closes := range []int{fails, websocket.ClosePolicyViolation} {
		t.Run(strconv.Itoa(closes), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { strictAfterAnOutage(t, closes) }) })
	}
}

func strictAfterAnOutage(t *testing.T, closes int) {
	back := time.Now().Add(10 * time.Minute)
	s := newServer(t, applying(50*time.Millisecond, func(_ int, marked bool, _ time.Time) (bool, int) { return true, code(marked, closes) }))
	plain := s.http.Handler
	s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if time.Now().Before(back) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		plain.ServeHTTP(w, r)
	})
	c, _ := s.quarantining()
	q := newQueue(0)
	u := run(t, c, q)
	q.addEach(100*time.Millisecond, 13*600)
	slow := 0
	for seq := 10*600 + 500; seq <= 13*600; seq++ { // half a minute of the longest pause, and what recognises the habit
		if at := q.ackedAt[seq-1]; at.IsZero() || at.Sub(q.added[seq-1]) > 5*time.Second {
			slow++
		}
	}
	if slow > 20 {
		t.Errorf("%d of 1300 records took more than 5 s: status %+v", slow, u.Status())
	}
}

// The time for the handshake grows on a slow link, up to its bound.
func TestHandshakeOnASlowLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		plain := s.http.Handler
		s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-time.After(40 * time.Second)
			plain.ServeHTTP(w, r)
		})
		q := newQueue(3)
		run(t, s.config(), q)
		q.await(t, 3, 5*time.Minute)
	})
}

// Where connections carry something and stall again and again, the path may drop large packets: segments shrink.
func TestSegmentsShrinkAfterStalls(t *testing.T) {
	p := newPath(time.Minute)
	dead := linkDead(time.Minute)
	for _, step := range []struct {
		err         error
		outstanding bool
		want        int
	}{
		{dead, false, 0}, {dead, true, 0}, {ended(nil), true, 0}, {dead, true, 0}, {dead, true, 1200}, {dead, true, 1200}, {dead, true, 536},
		{dead, true, 536}, {dead, true, 536},
	} {
		if p.ended(step.err, step.outstanding); p.segment != step.want {
			t.Errorf("segment %d after %v, want %d", p.segment, step.err, step.want)
		}
	}
}

// A handshake that gets no answer over an open port may be one of large packets that are dropped.
func TestSegmentsShrinkAfterHandshakes(t *testing.T) {
	p := newPath(time.Minute)
	for _, want := range []int{1200, 536, 536} {
		if p.failed(&problem.Problem{Code: Timeout, Key: "connect_timeout"}); p.segment != want {
			t.Errorf("segment %d, want %d", p.segment, want)
		}
	}
}

// The system takes the size of segments.
func TestDialWithSmallSegments(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := dialTCP(context.Background(), l.Addr().String(), segments[1])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	if ctl := raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG) }); ctl != nil || err != nil {
		t.Fatal(ctl, err)
	}
	if got > segments[1] {
		t.Errorf("segments of %d bytes, want at most %d", got, segments[1])
	}
}

// A proxy that ends idle connections is named, with the key that helps.
func TestIdleTimeoutOfAProxyIsNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		idle  time.Duration
		code  int // of a close frame; 0: none
		echo  bool
		found problem.Code
	}{
		"ends":                {10 * time.Second, 0, true, EndedIdle},
		"closes with 1000":    {10 * time.Second, websocket.CloseNormalClosure, true, EndedIdle},
		"closes with 1011":    {10 * time.Second, websocket.CloseInternalServerErr, true, ClosedFailed},
		"after three seconds": {idleLeast, 0, true, EndedIdle},
		"after less":          {idleLeast - time.Millisecond, 0, true, Ended},
		"a record waits":      {5 * time.Second, 0, false, Ended},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, func(s *server, _ int, conn *websocket.Conn) {
					if msg, ok := s.receive(conn); ok && tc.echo {
						conn.WriteMessage(websocket.TextMessage, msg)
					}
					pass(tc.idle)
					if tc.code != 0 {
						conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(tc.code, ""), time.Now().Add(time.Second))
					}
				})
				c := s.config()
				c.Ack = AckEcho // no pings between
				u := run(t, c, newQueue(1))
				pass(tc.idle)
				synctest.Wait()
				if st := u.Status(); problem.CodeOf(asError(st.Problem)) != tc.found || tc.found == EndedIdle && st.Problem.Key != "ping" {
					t.Errorf("status %+v", st)
				}
			})
		})
	}
}

// Small segments are tried after connections that stall in a row with records on their way, not after idle ones that die.
func TestSegmentsOfStallingConnections(t *testing.T) {
	for records, want := range map[int][]int{0: {0, 0, 0, 0, 0, 0}, 1: {0, 0, 1200, 1200, 536, 536}} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, func(_ *server, _ int, conn *websocket.Conn) { io.Copy(io.Discard, conn.NetConn()) })
			c := s.config()
			var got []int
			c.dial = func(ctx context.Context, addr string, segment int) (net.Conn, error) {
				got = append(got, segment)
				return s.pipes.dial(ctx, addr, segment)
			}
			_, stop := start(t, c, newQueue(records))
			pass(10 * time.Minute)
			stop()
			s.stop()
			if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
				t.Errorf("%d records: segments %v, want %v", records, got, want)
			}
		})
	}
}

package uplink

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// A change of the network ends the wait, and the backoff starts again.
func TestNetworkChangeEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		s.setRefuse(http.StatusForbidden) // retried slowly: waits of 20 s and more
		changed := make(chan struct{}, 1)
		c := s.config()
		c.Changed = changed
		q := newQueue(3)
		u := run(t, c, q)
		for u.Status().RetryIn < 15 {
			pass(time.Second)
		}
		before := len(s.gaps())
		changed <- struct{}{}
		synctest.Wait()
		if st := u.Status(); len(s.gaps()) != before+1 || st.State != Waiting || st.RetryIn > 7.5 {
			t.Errorf("%d attempts at once, status %+v; want one, and a wait as after the first refusal", len(s.gaps())-before, st)
		}
		s.setRefuse(0)
		changed <- struct{}{}
		begin := time.Now()
		q.await(t, 3, time.Second)
		if took := time.Since(begin); took > 0 {
			t.Errorf("connected %s after the network had changed", took)
		}
		close(changed) // is no change, and none permanently
		pass(time.Minute)
		if st := u.Status(); st.State != Connected || st.Connects != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

// A closed channel does not keep the uplink busy.
func TestClosedChangedIsNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		s.setRefuse(http.StatusForbidden)
		changed := make(chan struct{})
		close(changed)
		c := s.config()
		c.Changed = changed
		run(t, c, newQueue(1))
		pass(10 * time.Minute)
		if n := len(s.gaps()); n > 40 {
			t.Errorf("%d attempts in 10 minutes", n)
		}
	})
}

// A change of the network checks an open connection at once: one that has died
// is found within the time of a pong, one that lives stays.
func TestNetworkChangeChecksTheConnection(t *testing.T) {
	for name, dead := range map[string]bool{"alive": false, "dead": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				died := make(chan struct{})
				s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
					if n > 1 || !dead {
						echo(s, n, conn)
						return
					}
					go func() {
						<-died
						conn.NetConn().SetReadDeadline(time.Now())
					}()
					echo(s, n, conn)
					conn.NetConn().SetReadDeadline(time.Time{})
					io.Copy(io.Discard, conn.NetConn())
				})
				changed := make(chan struct{}, 1)
				c := s.config()
				c.Changed, c.Ping, c.PongTimeout = changed, 10*time.Minute, 10*time.Second
				q := newQueue(1)
				u := run(t, c, q)
				q.await(t, 1, time.Second)
				pass(time.Minute)
				close(died)
				synctest.Wait()
				changed <- struct{}{}
				pass(c.PongTimeout + time.Second)
				want := uint64(1)
				if dead {
					want = 2
				}
				if st := u.Status(); st.State != Connected || st.Connects != want {
					t.Errorf("status %+v, want %d connections", st, want)
				}
				pass(5 * time.Minute)
				if st := u.Status(); st.Connects != want {
					t.Errorf("status %+v, want %d connections", st, want)
				}
			})
		})
	}
}

// What TCP carries is counted, handshake and framing included.
func TestTrafficIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, echo)
		q := newQueue(0)
		u := run(t, s.config(), q)
		synctest.Wait()
		before := u.Status()
		if before.SentBytes < 200 || before.ReceivedBytes < 100 {
			t.Errorf("handshake: status %+v", before)
		}
		q.add(record(1))
		q.await(t, 1, time.Second)
		synctest.Wait()
		after := u.Status()
		// A frame of a client has 6 bytes of head up to 125 bytes, one of a server 2 (RFC 6455, section 5.2).
		sent, received := len(record(1))+6, len(rewrite(record(1)))+2
		if after.SentBytes-before.SentBytes != uint64(sent) || after.ReceivedBytes-before.ReceivedBytes != uint64(received) {
			t.Errorf("one record: %d sent, %d received, want %d, %d", after.SentBytes-before.SentBytes, after.ReceivedBytes-before.ReceivedBytes, sent, received)
		}
		// Without TCP it is by arithmetic: the record, its echo, and an acknowledgement of that, of IPv6 with timestamps.
		if got := after.HeaderBytes - before.HeaderBytes; before.HeaderBytes == 0 || got != 3*72 {
			t.Errorf("one record: %d bytes of headers after %d, want %d", got, before.HeaderBytes, 3*72)
		}
	})
}

// countingQueue knows how many records wait.
type countingQueue struct{ *fakeQueue }

func (countingQueue) Waiting() uint64 { return 7 }

func TestBehind(t *testing.T) {
	for want, q := range map[uint64]Queue{3: newQueue(3), 7: countingQueue{newQueue(3)}} {
		u, err := New(Config{URL: "ws://h.example/"}, q)
		if err != nil {
			t.Fatal(err)
		}
		if st := u.Status(); st.Behind != want {
			t.Errorf("behind %d, want %d", st.Behind, want)
		}
	}
}

// Ends of a connection that a record may have caused, and others.
func TestBlameOfCloseCodes(t *testing.T) {
	for _, tc := range []struct {
		code int
		text string
		want blame
	}{
		{code: websocket.CloseInternalServerErr, want: blameStated},
		{code: websocket.CloseInternalServerErr, text: "keepalive ping timeout"},
		{code: websocket.CloseMessageTooBig, want: blameStated},
		{code: websocket.CloseInvalidFramePayloadData, want: blameStated},
		{code: websocket.CloseAbnormalClosure, want: blamePossible},
		{code: websocket.CloseNormalClosure, want: blamePossible},
		{code: websocket.CloseNoStatusReceived, want: blamePossible},
		{code: 4400, want: blamePossible},
		{code: websocket.CloseGoingAway},
		{code: websocket.CloseServiceRestart},
		{code: websocket.CloseTryAgainLater},
		{code: websocket.ClosePolicyViolation, want: blameStated},
		{code: closeForbidden},
	} {
		p := explainClose(&websocket.CloseError{Code: tc.code, Text: tc.text})
		if got := blameOf(p.Code); got != tc.want {
			t.Errorf("code %d %q: blame %d, want %d (%v)", tc.code, tc.text, got, tc.want, p)
		}
	}
}

// What a connection that was given up still holds is not sent any more: the
// other end sees a reset, and no end of the stream behind it.
func TestAbandonedConnectionIsReset(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"plain": func(c net.Conn) net.Conn { return c },
		"TLS":   func(c net.Conn) net.Conn { return tls.Client(c, &tls.Config{InsecureSkipVerify: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conn, err := dialTCP(t.Context(), l.Addr().String(), 0)
			if err != nil {
				t.Fatal(err)
			}
			ours := &wire{Conn: conn, traffic: &traffic{}}
			theirs, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			abandon(wrap(ours))
			ours.Close()
			if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the other end read %v, want a reset", err)
			}
		})
	}
}

// A silence with records on their way is the link's where no ping was answered,
// and the server's where one was.
func TestSilenceIsTheLinksOrTheServers(t *testing.T) {
	for want, after := range map[string]func(*server, int, *websocket.Conn){
		"the link is dead":       func(_ *server, _ int, conn *websocket.Conn) { io.Copy(io.Discard, conn.NetConn()) },
		"is stuck or overloaded": silent,
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
					if msg, ok := s.receive(conn); ok && n == 1 {
						conn.WriteMessage(websocket.TextMessage, msg)
						after(s, n, conn)
					}
				})
				var log logBuffer
				c := s.config()
				c.Log = log.logger()
				q := newQueue(1)
				run(t, c, q)
				q.await(t, 1, time.Second)
				q.add(record(2))
				pass(silenceMin + time.Second)
				if want != "the link is dead" {
					pass(silenceMax) // nothing is held up
				}
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log does not say that %s:\n%s", want, log.String())
				}
			})
		})
	}
}

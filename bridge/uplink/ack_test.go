package uplink

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

func TestAutoSettlesOnPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begins := make(chan struct{})
		s := newServer(t, func(s *server, _ int, conn *websocket.Conn) {
			for {
				msg, ok := s.receive(conn)
				if !ok {
					return
				}
				select {
				case <-begins: // a new version of the server: it echoes
					conn.WriteMessage(websocket.TextMessage, msg)
				default:
				}
			}
		})
		q := newQueue(100)
		begin := time.Now()
		u := run(t, s.config(), q)
		if st := u.Status(); st.Ack != AckAuto {
			t.Errorf("mode %s before anything is known", st.Ack)
		}
		q.await(t, 100, time.Hour)
		if took := time.Since(begin); took < settleAfter || took > settleAfter+time.Second {
			t.Errorf("settled after %s, want %s", took, settleAfter)
		}
		repeats := s.wantAll(t, 100)
		if st := u.Status(); st.Ack != AckPong || st.Connects != 1 || repeats != 0 {
			t.Errorf("%d repeats, status %+v", repeats, st)
		}

		close(begins)
		q.add(record(101))
		q.add(record(102))
		q.await(t, 102, time.Minute)
		synctest.Wait()
		if st := u.Status(); st.Ack != AckEcho {
			t.Errorf("mode %s after an echo", st.Ack)
		}
	})
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

// One record alone is not several: auto takes it for dropped first.
func TestAutoNeedsSeveralSendings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
			if n == 1 {
				silent(s, n, conn)
			}
			echo(s, n, conn)
		})
		q := newQueue(1)
		u := run(t, s.config(), q)
		q.await(t, 1, 5*time.Minute)
		if st := u.Status(); st.Ack != AckEcho || st.Connects != 2 || st.Resent != 1 {
			t.Errorf("status %+v", st)
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
		if st := u.Status(); st.RTT == 0 || st.Connects != 1 {
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
		q.await(t, 6, 30*time.Second) // with the next ping
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

package uplink

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"
)

// maxEcho is the longest message that is looked at. Records are some hundred
// bytes; longer messages of other members are read and thrown away.
const maxEcho = 1 << 20

// prepareReading sets what answers control frames. Handlers run in the reader,
// which must never wait for the writer: a server that does not read before it
// has written would then block both sides. So the keeper answers.
func (s *session) prepareReading() {
	s.alive()
	s.conn.SetPingHandler(func(payload string) error {
		s.alive()
		s.u.mu.Lock()
		s.pong = &payload
		s.u.mu.Unlock()
		signal(s.poke)
		return nil
	})
	s.conn.SetPongHandler(func(payload string) error {
		s.alive()
		s.ponged(payload)
		return nil
	})
}

// alive extends the time in which the server must be heard again. Pings go out
// at least every Ping, so a silence of Ping + PongTimeout is a dead link.
func (s *session) alive() {
	now := time.Now()
	s.u.mu.Lock()
	s.heard = now
	s.u.mu.Unlock()
	s.conn.SetReadDeadline(now.Add(s.u.c.Ping + s.u.c.PongTimeout))
}

// read takes messages until the connection ends.
func (s *session) read() error {
	var buf bytes.Buffer
	for {
		_, r, err := s.conn.NextReader()
		if err != nil {
			return s.explainLoss(err)
		}
		s.alive()
		r = vital{r, s}
		buf.Reset()
		_, err = buf.ReadFrom(io.LimitReader(r, maxEcho+1))
		whole := buf.Len() <= maxEcho
		if err == nil && !whole {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			return s.explainLoss(err)
		}
		if whole {
			s.received(buf.Bytes())
		}
	}
}

// vital reads a message, each part of which is a sign of life: no pong can come
// in the middle of a frame, and a long one takes long on a slow link.
type vital struct {
	io.Reader
	s *session
}

func (v vital) Read(p []byte) (int, error) {
	n, err := v.Reader.Read(p)
	if n > 0 {
		v.s.alive()
	}
	return n, err
}

// received looks whether a message is an echo.
func (s *session) received(msg []byte) {
	u := s.u
	if u.c.Ack == AckPong || u.c.Ack == AckNone {
		return
	}
	key, ok := u.c.Key(msg)
	if !ok {
		return
	}
	first := false
	u.mu.Lock()
	done, lost := u.win.echoed(key, time.Now())
	if len(done) > 0 {
		u.settle(AckEcho)
		first, s.acked = !s.acked, true
	}
	var swallowed []flight
	if lost > 0 {
		s.reportLoss(lost)
		swallowed = u.win.swallowed()
	}
	if len(u.win.lost) > 0 {
		s.interrupt()
	}
	u.mu.Unlock()
	s.convict(swallowed)
	if len(done) > 0 {
		u.ack(done)
		s.freed()
	}
	if first || lost > 0 {
		signal(s.poke) // the round trip is known now, and with it how long silence may last; or a record is held back
	}
}

// reportLoss counts records that the server dropped, and says so once a
// connection. Caller holds mu.
func (s *session) reportLoss(lost int) {
	u := s.u
	u.status.Lost += uint64(lost)
	if !s.told {
		s.told = true
		u.log.Warn("server dropped records, sending them again with a smaller window", "lost", lost, "window", u.win.size)
	}
}

// explainLoss turns the error of a read into a problem that names the cause.
func (s *session) explainLoss(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return linkDead(time.Since(s.heard))
	}
	return ExplainLoss(err)
}

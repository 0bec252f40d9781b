package uplink

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/problem"
)

const (
	// deafMin and deafMax bound how long records may stay without any
	// acknowledgement. Echoes of overloaded servers lag by tens of seconds, and
	// replacing the connection then only adds to the load.
	deafMin = 10 * time.Second
	deafMax = 60 * time.Second
	// deafRounds is how many times the expected upper limit of a round trip
	// that is: a queue in the server grows by more than the jitter of a network.
	deafRounds = 8
	// keylessWait is how long a record without a key waits for the echo of a
	// later one, before a ping is spent on it.
	keylessWait = deafMin / 2
	// renewGrace is how long a connection that is due to be replaced waits for
	// a moment with nothing outstanding.
	renewGrace = time.Minute
)

// ping is the last ping sent.
type ping struct {
	id      uint64
	at      time.Time
	covers  uint64 // sendings that were on the wire before it
	waiting bool   // for its pong
	verdict bool   // its pong makes auto settle
}

// keep sends pings and pongs, and ends the session when a deadline has passed.
func (s *session) keep(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-s.poke:
		case _, ok := <-s.u.network:
			if s.u.networkChanged(ok) {
				s.suspectLink()
			}
		}
		todo, err := s.due(time.Now())
		if err != nil {
			return err
		}
		if err := s.control(websocket.PongMessage, todo.pong); err != nil {
			return err
		}
		if err := s.control(websocket.PingMessage, todo.ping); err != nil {
			return err
		}
		wait := time.Until(todo.next)
		s.u.c.Turn(max(0, wait) + 2*s.u.c.WriteTimeout)
		timer.Reset(wait)
	}
}

// control writes a control frame, if there is one.
func (s *session) control(kind int, payload *string) error {
	if payload == nil {
		return nil
	}
	err := s.conn.WriteControl(kind, []byte(*payload), time.Now().Add(s.u.c.WriteTimeout))
	if err != nil {
		return writeProblem(err)
	}
	return nil
}

// todo is what the keeper has to send now, and when to look again.
type todo struct {
	pong, ping *string
	next       time.Time
}

// due finds out what is to be done at a time, or why the session is over.
func (s *session) due(now time.Time) (t todo, err error) {
	u := s.u
	u.mu.Lock()
	defer u.mu.Unlock()

	deaf := u.win.progress.Add(u.patience())
	busy := u.win.busy()
	switch {
	case busy && !now.Before(deaf):
		return t, s.deafness(now)
	case !now.Before(s.renewAt) && (!busy || !now.Before(s.renewAt.Add(renewGrace))):
		return t, errRenew
	}
	t.pong, s.pong = s.pong, nil
	stalled, watched := s.stalled()
	if watched && !now.Before(stalled) {
		s.prod(now)
		stalled, watched = s.stalled()
	}
	if _, due := u.win.held(now); due {
		s.interrupt()
		signal(s.room)
	}
	if s.wantsPing(now) {
		payload := s.nextPing(now)
		t.ping = &payload
	}
	t.next = s.nextLook(now)
	if busy {
		t.next = earliest(t.next, deaf)
	}
	if watched {
		t.next = earliest(t.next, stalled)
	}
	return t, nil
}

// nextLook is when something may become due that needs no event before it,
// deafness aside. Caller holds mu.
func (s *session) nextLook(now time.Time) time.Time {
	u := s.u
	next := s.ping.at.Add(u.c.Ping)
	if at, ok := u.win.oldest(); ok && u.mode == AckAuto && now.Before(at.Add(settleAfter)) {
		next = earliest(next, at.Add(settleAfter))
	}
	if f, ok := u.win.keyless(); ok && u.mode == AckEcho && now.Before(f.at.Add(keylessWait)) {
		next = earliest(next, f.at.Add(keylessWait))
	}
	if at, _ := u.win.held(now); !at.IsZero() {
		next = earliest(next, at)
	}
	if now.Before(s.renewAt) {
		return earliest(next, s.renewAt)
	}
	return earliest(next, now.Add(time.Second)) // a moment with nothing outstanding comes soon
}

// wantsPing: one each Ping; in pong mode, one behind new records as soon as the
// last one is answered; in auto, one whose answer is the verdict; in echo mode,
// one for a record without a key that no later echo covers. Caller holds mu.
func (s *session) wantsPing(now time.Time) bool {
	u := s.u
	switch {
	case s.hurry || !now.Before(s.ping.at.Add(u.c.Ping)):
		s.hurry = false
		return true
	case u.awaitsVerdict(now):
		return !s.ping.verdict || !s.ping.waiting
	case s.ping.waiting || u.win.outstanding() == 0:
		return false
	}
	if f, ok := u.win.keyless(); ok && u.mode == AckEcho && f.n > s.ping.covers && s.written >= f.n {
		return u.drains > 0 || !now.Before(f.at.Add(keylessWait)) // nothing later comes at the end
	}
	return u.mode == AckPong && s.written > s.ping.covers
}

// nextPing enters the ping that is about to be sent. Caller holds mu.
func (s *session) nextPing(now time.Time) (payload string) {
	s.ping = ping{id: s.ping.id + 1, at: now, covers: s.written, waiting: true, verdict: s.u.awaitsVerdict(now)}
	return strconv.FormatUint(s.ping.id, 10)
}

// ponged takes a pong. Only that of the last ping counts: servers may leave
// out the others.
func (s *session) ponged(payload string) {
	u := s.u
	u.mu.Lock()
	if !s.ping.waiting || payload != strconv.FormatUint(s.ping.id, 10) {
		u.mu.Unlock()
		return
	}
	s.ping.waiting = false
	now := time.Now()
	if s.ping.verdict && u.awaitsVerdict(now) {
		u.settle(AckPong)
	}
	var done []uint64
	switch u.mode {
	case AckPong:
		done = u.win.ponged(s.ping.covers, false, now)
		u.win.measure(now.Sub(s.ping.at))
	case AckEcho:
		done = u.win.ponged(s.ping.covers, true, now)
	}
	s.acked = s.acked || len(done) > 0
	u.mu.Unlock()
	u.ack(done)
	s.freed()
	signal(s.poke)
}

// suspectLink checks after a change of the network whether the connection has
// survived: a ping goes out now, and the time for its answer runs.
func (s *session) suspectLink() {
	s.conn.SetReadDeadline(time.Now().Add(s.u.c.PongTimeout))
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.hurry = true
}

// patience is how long outstanding records may stay without any
// acknowledgement. It doubles with each connection that was given up in a row,
// because the server may be slow and not deaf. Caller holds mu.
func (u *Uplink) patience() time.Duration {
	if u.mode == AckNone || u.win.srtt == 0 {
		return deafMax
	}
	limit := min(max(deafRounds*u.win.timeout(), deafMin), deafMax)
	return min(limit<<min(u.deaf, 3), deafMax)
}

// deafness is the reason for giving up a silent connection. Where not even a
// ping was answered it is the link that is dead, and no record's doing. Caller
// holds mu.
func (s *session) deafness(now time.Time) error {
	u := s.u
	asked := s.ping.waiting && s.ping.at.After(u.win.progress)
	if asked && !s.heard.After(u.win.progress) {
		return linkDead(now.Sub(s.heard))
	}
	defer func() { u.deaf++ }()
	silent := u.patience().Round(time.Second)
	if u.mode == AckEcho && u.status.Acked == 0 {
		return &problem.Problem{Code: NoEcho, Key: "ack", Cause: fmt.Sprintf("no echo for %s", silent), Fix: "have the server send members their own messages, or set ack = \"pong\""}
	}
	return &problem.Problem{Code: Unresponsive, Cause: fmt.Sprintf("no acknowledgement for %s on an open connection: the server is stuck or overloaded", silent)}
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

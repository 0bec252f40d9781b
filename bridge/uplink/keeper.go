package uplink

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/problem"
)

const (
	// silenceMin and silenceMax bound how long records may stay without any
	// acknowledgement. Echoes of overloaded servers lag by tens of seconds, and
	// replacing the connection then only adds to the load.
	silenceMin = 10 * time.Second
	silenceMax = 60 * time.Second
	// silenceRounds is how many times the expected upper limit of a round trip
	// that is: a queue in the server grows by more than the jitter of a network.
	silenceRounds = 8
	// keylessWait is how long a record without a key waits for the echo of a
	// later one, before a ping is spent on it.
	keylessWait = silenceMin / 2
	// echoWait is how long a record waits for its echo before a ping is spent
	// on it, where a pong is provisional: more than the round trip to most
	// servers.
	echoWait = time.Second
	// failWait is the same for the experiments of the isolation: Daphne closes the
	// connection up to a second after an application has failed on a record.
	failWait = 1500 * time.Millisecond
	// pongWait is how long the answer to a server's ping waits for a record with which to go, which saves two packets and more: until
	// the next fix at 1 Hz, and less than Uvicorn's 20 s and Daphne's 30.
	pongWait = 1500 * time.Millisecond
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
				s.checkLink()
			}
		}
		todo, err := s.due(time.Now())
		if err != nil {
			return err
		}
		if len(todo.matured) > 0 {
			s.u.ack(todo.matured, len(todo.matured))
			signal(s.room)
		}
		if err := s.control(ctx, websocket.PongMessage, todo.pong); err != nil {
			return err
		}
		if err := s.control(ctx, websocket.PingMessage, todo.ping); err != nil {
			return err
		}
		wait := time.Until(todo.next)
		s.u.c.Beat(max(0, wait) + 2*s.u.c.WriteTimeout)
		timer.Reset(wait)
	}
}

// control writes a control frame, if there is one.
func (s *session) control(ctx context.Context, kind int, payload *string) error {
	if payload == nil {
		return nil
	}
	deadline := time.Now().Add(s.u.c.WriteTimeout)
	if !s.acquire(ctx.Done(), deadline) {
		return writeProblem(cmp.Or(ctx.Err(), os.ErrDeadlineExceeded))
	}
	defer s.release()
	if err := s.conn.WriteControl(kind, []byte(*payload), deadline); err != nil {
		return writeProblem(err)
	}
	return nil
}

// todo is what the keeper has to do, and when to look again.
type todo struct {
	pong, ping *string
	matured    []uint64 // positions held for as long as Retain
	now, next  time.Time
}

// due reports whether a time has come. If not, it is looked at again then.
func (t *todo) due(at time.Time) bool {
	if !t.now.Before(at) {
		return true
	}
	t.next = earliest(t.next, at)
	return false
}

// due finds out what is to be done at a time, or why the session is over.
func (s *session) due(now time.Time) (t todo, err error) {
	u := s.u
	u.mu.Lock()
	defer u.mu.Unlock()
	t = todo{now: now, next: now.Add(u.c.Ping)}
	waits := u.waits()
	silent := u.silentAt(s.since)
	if s.unanswered() {
		silent = earliest(silent, u.win.progress.Add(u.silenceLimit()))
	}
	if waits && t.due(silent) {
		return t, s.silence(now)
	}
	if t.due(s.renewAt) {
		if !waits || t.due(s.renewAt.Add(renewGrace)) {
			return t, errRenew
		}
		t.due(now.Add(time.Second)) // a moment with nothing outstanding comes soon
	}
	if t.due(s.since.Add(usefulAfter)); !s.recovered && s.provedUseful() {
		s.recovered = true
		u.recovered()
	}
	t.due(s.since.Add(warnAfter))
	u.warnEchoes()
	if s.pong != nil && t.due(s.pongAt) {
		t.pong, s.pong = s.pong, nil
	}
	for u.accepts() && u.win.held > 0 && t.due(u.win.sent[0].at.Add(u.c.Retain)) {
		t.matured = append(t.matured, u.win.matured(now.Add(-u.c.Retain))...)
	}
	for at, ok := s.stalled(); ok && t.due(at); at, ok = s.stalled() {
		s.probeNow(now)
	}
	at, due := u.win.heldBack(now)
	if !at.IsZero() {
		t.due(at)
	}
	if due {
		signal(s.room)
	}
	if s.wantsPing(&t) {
		payload := s.nextPing(now)
		t.ping = &payload
	}
	return t, nil
}

// wantsPing: one after each Ping without an echo or another ping; in pong mode,
// one after new records as soon as the last one is answered, and the server had
// the time to fail on those on which it may; where a pong is
// provisional, one for a full window or a record that has waited; in echo mode,
// one for a record without a key that no later echo covers. Caller holds mu.
func (s *session) wantsPing(t *todo) bool {
	u := s.u
	if s.hurry || t.due(latest(s.ping.at, s.echo).Add(u.c.Ping)) {
		s.hurry = false
		return true
	}
	out := u.win.flying()
	if s.ping.waiting || len(out) == 0 {
		return false
	}
	more := s.written > s.ping.covers // what is still being written asks for no ping, and is looked at again in time
	switch {
	case u.mode == AckPong:
		mayFail := slices.ContainsFunc(out, func(f *flight) bool { return u.isolation.mayFail(f.pos) })
		return more && (!mayFail || t.due(out[0].at.Add(failWait)))
	case u.provisional():
		waited := t.due(out[0].at.Add(u.provisionalWait()))
		return more && (waited || u.pongsAtOnce(t.now) && (u.drains > 0 || s.waits))
	case u.mode != AckEcho:
		return false
	}
	f := u.win.keyless()
	if f == nil {
		return false
	}
	waited := t.due(f.at.Add(keylessWait))
	return f.n > s.ping.covers && s.written >= f.n && (waited || u.drains > 0) // nothing later comes at the end
}

// nextPing enters the ping that is about to be sent. Caller holds mu.
func (s *session) nextPing(now time.Time) (payload string) {
	s.ping = ping{id: s.ping.id + 1, at: now, covers: s.written, waiting: true}
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
	covered := u.win.covered(s.ping.covers)
	var done []uint64
	if u.provisional() {
		s.hold(covered, now)
	} else {
		for _, f := range covered {
			if u.mode == AckPong || !f.keyed { // echoes acknowledge the others
				u.win.acknowledged(f, now, false) // the ping has its own round trip
				u.win.forget(f)
				done = append(done, f.pos)
			}
		}
	}
	if u.mode != AckEcho {
		u.win.measure(now.Sub(s.ping.at))
	}
	s.acked += len(done)
	u.mu.Unlock()
	u.ack(done, 0)
	signal(s.room)
	signal(s.poke)
}

// hold keeps records that a pong covers until there is proof. Caller holds mu.
func (s *session) hold(covered []*flight, now time.Time) {
	u := s.u
	if len(covered) == 0 {
		return
	}
	u.win.hold(len(covered), now)
	if u.isolation.active { // they were waited for long enough for a failure
		for _, f := range covered {
			u.isolation.passed(f.pos)
		}
	}
	u.lastAck = now
	s.acked += len(covered)
	if u.mode == AckAuto {
		u.silent = 0
	}
	u.notify()
}

// checkLink checks after a change of the network whether the connection has
// survived: a ping goes out now, and the time for its answer runs.
func (s *session) checkLink() {
	s.conn.SetReadDeadline(time.Now().Add(s.u.c.PongTimeout))
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.hurry = true
}

// unanswered reports whether nothing was received since the last
// acknowledgement, though a ping asked for it. Caller holds mu.
func (s *session) unanswered() bool {
	progress := s.u.win.progress
	return s.ping.waiting && s.ping.at.After(progress) && !s.received.After(progress)
}

// silence is the reason for giving up a connection without acknowledgements.
// Where not even a ping was answered it is the link that is dead, and no
// record's doing. Caller holds mu.
func (s *session) silence(now time.Time) error {
	u := s.u
	if s.unanswered() {
		return linkDead(now.Sub(s.received))
	}
	u.silent++
	if u.c.Final && u.c.Ack == AckAuto {
		u.echoes.silences++
	}
	silent := now.Sub(u.win.progress)
	if u.provisional() {
		silent = now.Sub(latest(s.since, u.echoes.last))
	}
	silent = silent.Round(time.Second)
	if u.mode == AckEcho && u.status.Acked == 0 {
		return &problem.Problem{Code: NoEcho, Key: "ack", Cause: fmt.Sprintf("no echo for %s", silent), Fix: "have the server send members their own messages, or set ack = \"pong\""}
	}
	return &problem.Problem{Code: Unresponsive, Cause: fmt.Sprintf("no acknowledgement for %s on an open connection: the server is stuck or overloaded", silent)}
}

// The loss of a whole window is shown by nothing that comes later: the window
// is full, and so nothing is sent that could be echoed. The same holds for the
// last record of all. Waiting for the deadline of silence would cost ten seconds
// each time, and a fleet that overruns its server loses whole windows all the
// time.
//
// So a silence that is long for this connection has one record more sent than
// the window allows: the next one, or where there is none the last one once
// more. The server's order holds: when that is echoed, all before it without an
// echo are lost, and are sent again for that. (To repeat the oldest would prove
// nothing: its echo may be that of the first sending, come late, with all
// others right after it.) To a server that is slow it adds one frame, not a
// window, and mostly not a repeat either.
const (
	// probeFloor is more than the second between two fixes of most receivers:
	// where the window has room, the next fix shows the loss for nothing.
	probeFloor = 2 * time.Second
	// probeFloorLast is the same where no later record is coming: during a
	// drain, which is bounded by some seconds.
	probeFloorLast = time.Second
	// probeFloorHeld is the same where the server holds its acknowledgement back: it comes at once for a repeat of the last record.
	probeFloorHeld = 100 * time.Millisecond
	// probeRounds is how many times the expected upper limit of a round trip a
	// silence is long; silenceRounds, after which the connection is given up,
	// is more than twice that.
	probeRounds = 3
)

// probe is what was done about the silence of a connection.
type probe struct {
	at    time.Time // of the last record called for; zero: none yet
	count int       // of them since anything was acknowledged
	due   bool      // the writer has not sent it yet
}

// stalled is when the connection will have been silent for too long. The pause
// doubles with each record called for that stays without an answer, so that
// there are two before the connection is given up and one in a drain. Not ok:
// nothing is on its way, or nothing that can have an echo. Caller holds mu.
func (s *session) stalled() (at time.Time, ok bool) {
	u := s.u
	tail := u.win.tail()
	if tail == nil || u.mode != AckEcho || u.provisional() || !tail.keyed {
		return at, false
	}
	floor, delay := probeFloor, u.win.delay
	switch {
	case u.drains > 0 && delay > 0:
		floor, delay = probeFloorHeld, 0
	case u.drains > 0:
		floor = probeFloorLast
	}
	if u.win.progress.After(s.probe.at) {
		s.probe = probe{}
	}
	at = latest(u.win.progress, latest(tail.at, s.probe.at))
	return at.Add(delay + max(floor, probeRounds*u.win.timeout())<<s.probe.count), true
}

// probeNow calls for one more record, and for a ping: its answer distinguishes
// a server that is stuck from a link that is dead. Caller holds mu.
func (s *session) probeNow(now time.Time) {
	s.hurry = true
	s.probe = probe{at: now, count: s.probe.count + 1, due: true}
	signal(s.room)
}

// probing reports whether one more record is called for, and the silence
// lasts. Caller holds mu.
func (s *session) probing() bool {
	return s.probe.due && !s.u.win.progress.After(s.probe.at)
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

package uplink

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/deflate"
	"gpsbridge/bridge/problem"
)

const (
	// closeWait bounds the whole closing handshake.
	closeWait = time.Second
	// reasonWait is how long after a write that failed the reader may find out
	// why: a close frame or a reset is already there, or it is not coming.
	reasonWait = 250 * time.Millisecond
)

// errRenew ends a connection that is to be replaced for its age.
var errRenew = &problem.Problem{Code: AgeReached, Cause: "connection replaced for its age"}

// queueProblem is an error of the queue, not of the connection.
func queueProblem(err error) *problem.Problem {
	return &problem.Problem{Code: QueueFailed, Cause: "read queue: " + err.Error(), Err: err}
}

// session is the life of one connection: one goroutine that always reads (pings
// are answered, and the server's buffers kept empty, by nothing else), one that
// writes records, and one for control frames and the deadlines of silence.
type session struct {
	// Set once.
	u       *Uplink
	conn    *websocket.Conn
	since   time.Time
	renewAt time.Time

	pongWait   time.Duration // for which the answer to a ping waits at most
	compressed bool
	writing    chan struct{}           // holds a value while something is written
	room       chan struct{}           // to the writer: look at the window again
	poke       chan struct{}           // to the keeper: look at the deadlines again
	end        context.CancelCauseFunc // ends the session for a reason
	closing    atomic.Bool             // a close frame was sent, or is about to be

	// Owned by the writer.
	lanes  lanes // places in the queue
	frames *deflate.Writer
	out    []byte   // frames that were not written yet
	batch  []uint64 // positions of the records in it that the write acknowledges
	pokes  bool     // the keeper is to look after the write

	// Guarded by u.mu.
	received    time.Time // when something was received last; written by the reader alone
	moved       time.Time // when a record was sent or received last
	echo        time.Time // when an own record was echoed or acknowledged in short last, which shows as a pong does that the link carries both ways
	waits       bool      // the writer has a record for which there is no room
	hurry       bool      // a ping is due now
	otherPassed bool      // the other record of an experiment has passed
	written     uint64    // ordinal of the last sending that is on the wire
	ping        ping
	probe       probe

	pong       *string   // payload of a server's ping to be answered; the newest is enough
	pongAt     time.Time // when it is answered at the latest
	short      bool      // a short acknowledgement came
	acked      int       // records, on this connection, provisionally at least
	wrote      bool      // a record
	recovered  bool      // it was of use, and the log knows
	lossLogged bool
}

// newSession is for a connection on which this compression was agreed on, nil for none.
func newSession(u *Uplink, conn *websocket.Conn, agreed *deflate.Params) *session {
	age := u.retry.between(u.c.Renew*9/10, u.c.Renew*11/10)
	now := time.Now()
	return &session{
		u: u, conn: conn, since: now, moved: now, renewAt: now.Add(age), compressed: agreed != nil, writing: make(chan struct{}, 1),
		room: make(chan struct{}, 1), poke: make(chan struct{}, 1), frames: deflate.NewWriter(deflate.Client, agreed),
		pongWait: u.path.pongWait(),
	}
}

// early reports whether records were written and none was acknowledged, as far as acknowledgements come. Caller holds mu.
func (s *session) early() bool {
	return s.wrote && (s.acked == 0 || s.u.mode == AckNone && time.Since(s.since) < usefulAfter)
}

// run returns when the connection has ended, and why. No goroutine is left.
func (s *session) run(ctx context.Context) error {
	parent := ctx
	ctx, s.end = context.WithCancelCause(parent)
	defer s.end(nil)
	s.ping.at = time.Now()
	s.prepareReading()

	var others sync.WaitGroup
	var readErr error
	read := make(chan struct{})
	go func() {
		defer close(read)
		readErr = s.read()
		s.end(readErr)
	}()
	others.Go(func() { s.end(s.write(ctx)) })
	others.Go(func() { s.end(s.keep(ctx)) })

	<-ctx.Done()
	switch {
	case parent.Err() != nil:
		s.closeHandshake(websocket.CloseGoingAway, read)
	case problem.CodeOf(context.Cause(ctx)) == AgeReached:
		s.closeHandshake(websocket.CloseNormalClosure, read)
	default:
		abandon(s.conn.NetConn())
	}
	cause := context.Cause(ctx)
	if code := problem.CodeOf(cause); (code == WriteFailed || code == WriteTimeout) && within(reasonWait, read) {
		cause = readErr
	}
	s.conn.Close()
	others.Wait()
	<-read
	return cause
}

// within reports whether done was closed in time.
func within(limit time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// closeHandshake does the closing handshake. Echoes that come in meanwhile still count.
func (s *session) closeHandshake(code int, read <-chan struct{}) {
	deadline := time.Now().Add(closeWait)
	if s.sendClose(code, deadline) {
		within(time.Until(deadline), read)
	}
}

// sendClose writes a close frame, and reports whether it has. Nothing may follow that, so the right to write is not given back.
func (s *session) sendClose(code int, deadline time.Time) bool {
	if s.closing.Swap(true) || !s.acquire(nil, deadline) {
		return false
	}
	return s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), deadline) == nil
}

// acquire takes the right to write; release gives it back. It fails when done is closed, or at a time.
func (s *session) acquire(done <-chan struct{}, until time.Time) bool {
	select {
	case s.writing <- struct{}{}:
		return true
	default:
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case s.writing <- struct{}{}:
		return true
	case <-done:
	case <-t.C:
	}
	return false
}

func (s *session) release() { <-s.writing }

// abandon has the coming close of a connection that was given up forget what it
// has not got rid of. The kernel would go on to send it for minutes, and on a
// link that comes back the server would process old records after those of the
// next connection, which brings them again anyway.
func abandon(conn net.Conn) {
	switch c := conn.(type) {
	case interface{ SetLinger(seconds int) error }: // TCP
		c.SetLinger(0)
	case interface{ NetConn() net.Conn }: // TLS, or one that counts
		abandon(c.NetConn())
	}
}

// maxEcho is the longest message that is looked at, in bytes. Records are some hundred.
const maxEcho = 1 << 20

// Next reads the next message of a connection into buf. One that is longer than 1 MiB, which any other member of a group may send, is
// read and thrown away, and whole is false. received is called with each part that comes.
func Next(conn *websocket.Conn, buf *bytes.Buffer, received func()) (whole bool, err error) {
	_, r, err := conn.NextReader()
	if err != nil {
		return false, err
	}
	received()
	r = vital{r, received}
	buf.Reset()
	if _, err = buf.ReadFrom(io.LimitReader(r, maxEcho+1)); err != nil || buf.Len() <= maxEcho {
		return err == nil, err
	}
	_, err = io.Copy(io.Discard, r)
	return false, err
}

// prepareReading sets what answers control frames. Handlers run in the reader,
// which must never wait for the writer: a server that does not read before it
// has written would then block both sides. So the keeper answers.
func (s *session) prepareReading() {
	s.alive()
	s.conn.SetPingHandler(func(payload string) error {
		s.alive()
		s.u.mu.Lock()
		if s.pong == nil {
			s.pongAt = time.Now().Add(s.pongWait)
		}
		s.pong = &payload
		s.u.mu.Unlock()
		signal(s.poke)
		return nil
	})
	s.conn.SetCloseHandler(func(code int, _ string) error {
		s.sendClose(code, time.Now().Add(closeWait))
		return nil
	})
	s.conn.SetPongHandler(func(payload string) error {
		s.alive()
		s.ponged(payload)
		return nil
	})
}

// alive extends the time in which something must be received from the server again. A ping goes out
// when no echo came for as long as Ping, so a silence of Ping + PongTimeout is a dead link.
func (s *session) alive() {
	now := time.Now()
	s.u.mu.Lock()
	s.received = now
	s.u.mu.Unlock()
	s.conn.SetReadDeadline(now.Add(s.u.c.Ping + s.u.c.PongTimeout))
}

// read takes messages until the connection ends.
func (s *session) read() error {
	var buf bytes.Buffer
	for {
		whole, err := Next(s.conn, &buf, s.alive)
		switch {
		case err != nil:
			return s.explainLoss(err)
		case whole:
			s.message(buf.Bytes())
		default:
			s.u.mu.Lock()
			s.u.status.TooLong++
			s.u.mu.Unlock()
		}
	}
}

// vital reads a message, each part of which is a sign of life: no pong can come
// in the middle of a frame, and a long one takes long on a slow link.
type vital struct {
	io.Reader
	received func()
}

func (v vital) Read(p []byte) (int, error) {
	n, err := v.Reader.Read(p)
	if n > 0 {
		v.received()
	}
	return n, err
}

// message looks whether a message is an acknowledgement: a short one, or an echo of one record or of several.
func (s *session) message(msg []byte) {
	u := s.u
	if u.c.Ack == AckPong || u.c.Ack == AckNone {
		return
	}
	if key, ok := ackOf(msg); ok && s.acknowledged(key) {
		return
	}
	for _, key := range u.echoesIn(msg) {
		s.echoed(key)
	}
}

// echoesIn returns the keys of own records in a message, in the order of sending, whatever the message's: only what it leaves out has
// no echo. Each is there once, and of records that are done with, which all prove the same, there is one: a message may repeat
// tens of thousands.
func (u *Uplink) echoesIn(msg []byte) (own []Key) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key := range Keys(msg) {
		if u.runs[key.Run] {
			own = append(own, key)
		}
	}
	if len(own) < 2 {
		return own
	}
	open := make(map[Key]uint64, len(u.win.known))
	for _, f := range u.win.known {
		open[f.key] = f.n
	}
	first := own[0]
	found := map[Key]uint64{}
	for _, key := range own {
		if n := open[key]; n > 0 {
			found[key] = n
		}
	}
	if len(found) == 0 {
		return []Key{first}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b Key) int { return cmp.Compare(found[a], found[b]) })
}

// acknowledged takes a short acknowledgement. It is false where none was agreed on: then it is a message like any other.
func (s *session) acknowledged(key Key) bool {
	if s.conn.Subprotocol() != ackProtocol {
		return false
	}
	u, now := s.u, time.Now()
	u.mu.Lock()
	if u.runs[key.Run] && !s.short {
		s.short = true
		u.acksLate(ackDelay) // again, where a copy that came before looked like an echo
	}
	var done []uint64
	if f := u.win.find(key); f != nil && u.win.has(f.pos) {
		s.moved, s.echo = now, now
		u.settle()
		u.echoes.silences = 0
		for _, f := range u.win.through(f, now) {
			s.judge(f, true, now)
			done = append(done, f.pos)
		}
	}
	poke := s.acked == 0
	s.acked += len(done)
	u.warnEchoes()
	u.mu.Unlock()
	u.ack(done, 0)
	signal(s.room)
	if poke {
		signal(s.poke) // the round trip is known now
	}
	return true
}

// echoed takes an own echo.
func (s *session) echoed(key Key) {
	u, now := s.u, time.Now()
	u.mu.Lock()
	s.moved, s.echo = now, now
	u.settle()
	u.echoes.silences = 0
	var done []uint64
	var gap []*flight
	switch f := u.win.find(key); {
	case f == nil:
	case s.short && u.win.has(f.pos): // another member sent it too, as a second uplink to this server does
	case f.again && u.win.delay > 0:
		u.win.forget(f) // sent to the group on an earlier connection, of which this one is a member; it shows nothing about others
		done = []uint64{f.pos}
	default:
		onItsWay := slices.Contains(u.win.flying(), f)
		if onItsWay && u.win.delay > 0 {
			u.acksLate(0) // the server has chosen a subprotocol that it does not know
		}
		if done, gap = u.win.echoed(f, now); onItsWay {
			s.judge(f, true, now)
			done = append(done, s.missed(gap, f, now)...)
		}
	}
	poke := s.acked == 0 || len(gap) > 0
	s.acked += len(done)
	u.warnEchoes()
	u.mu.Unlock()
	if len(done) > 0 {
		u.ack(done, len(done)-1)
		signal(s.room)
	}
	if poke {
		signal(s.poke) // the round trip is known now, and with it how long a silence may last; or a record is held back
	}
}

// judge takes what the server did with a record, for the judgement of the server. Caller holds mu.
func (s *session) judge(f *flight, echoed bool, now time.Time) {
	u := s.u
	if echoed && f.marked {
		u.isolation.markAccepted()
	}
	if !f.again || f.late { // repeats of one live record would count as many; late ones may be few, and repeated on each connection
		u.echoes.saw(f.class(), echoed, now)
	}
}

// missed takes records without an echo before that of a later one, the witness, and returns the positions of those that count
// as accepted. The others are sent again. Caller holds mu.
func (s *session) missed(gap []*flight, witness *flight, now time.Time) (accepted []uint64) {
	u := s.u
	var again []*flight
	for _, f := range gap {
		s.judge(f, false, now)
		u.isolation.passed(f.pos) // the server has gone on after it
		if !witness.again && u.echoes.some(f.class()) {
			u.win.forget(f)
			accepted = append(accepted, f.pos)
		} else {
			again = append(again, f)
		}
	}
	if len(again) == 0 {
		return accepted
	}
	u.status.Lost += uint64(len(again))
	if !s.lossLogged {
		s.lossLogged = true
		u.log.Warn("records without an echo, sending them again with a smaller window", "records", len(again), "window", u.win.size)
	}
	return append(accepted, u.win.missed(again, witness, now)...)
}

// useful reports whether the connection proved useful: for the back-off and the log, a server that closes each connection
// after some records is as bad as one that closes them at once.
func (s *session) useful() bool {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	return s.provedUseful()
}

const (
	// usefulAfter is more than the time in which an application that fails on a record does so.
	usefulAfter = 10 * time.Second
	// usefulRecords make a shorter connection useful: more than were on their way at a time.
	usefulRecords = maxWindow
)

// provedUseful is useful. Caller holds mu.
func (s *session) provedUseful() bool {
	return s.acked >= usefulRecords && s.u.mode != AckNone || s.acked > 0 && time.Since(s.since) >= usefulAfter
}

// explainLoss turns the error of a read into a problem that names the cause.
func (s *session) explainLoss(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return linkDead(time.Since(s.received))
	}
	return ExplainLoss(err)
}

// idleLeast is the shortest timeout of a proxy that is distinguished from a server that ends connections for other reasons.
const idleLeast = 3 * time.Second

// explainIdle names a proxy that ends idle connections as the cause where the end came after a time without any traffic.
func (s *session) explainIdle(err error) error {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	idle := min(time.Since(s.moved), time.Since(s.received), time.Since(s.ping.at))
	code := problem.CodeOf(err)
	if (code != Ended && code != Reset && code != ClosedNormal) || s.u.waits() || idle < idleLeast {
		return err
	}
	return &problem.Problem{Code: EndedIdle, Key: "ping", Err: err,
		Cause: fmt.Sprintf("connection ended after %s without traffic: a proxy in between ends idle connections, or the server stopped", idle.Round(time.Second)),
		Fix:   "if this repeats, set ping below that time"}
}

// signal leaves one mark in c, without waiting.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

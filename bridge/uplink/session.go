package uplink

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

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
	renewAt time.Time
	room    chan struct{}           // to the writer: look at the window again
	poke    chan struct{}           // to the keeper: look at the deadlines again
	end     context.CancelCauseFunc // ends the session for a reason

	// Owned by the writer.
	lanes lanes           // places in the queue
	next  context.Context // of the waits for the queue

	// Guarded by u.mu.
	heard     time.Time          // when the server was heard last; written by the reader alone
	interrupt context.CancelFunc // ends next
	waits     bool               // the writer waits for a live record with a backlog left
	hurry     bool               // a ping is due now
	vouched   bool               // another record passed alone, ahead of the one on trial
	written   uint64             // ordinal of the last sending that is on the wire
	ping      ping
	stall     stall

	pong  *string // payload of a server's ping to be answered; the newest is enough
	acked bool    // anything, on this connection
	told  bool    // a loss was logged
}

func newSession(u *Uplink, conn *websocket.Conn) *session {
	age := time.Duration(float64(u.c.Renew) * (0.9 + 0.2*rand.Float64()))
	return &session{
		u: u, conn: conn, renewAt: time.Now().Add(age),
		room: make(chan struct{}, 1), poke: make(chan struct{}, 1),
		interrupt: func() {},
	}
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
		s.goodbye(websocket.CloseGoingAway, read)
	case problem.CodeOf(context.Cause(ctx)) == AgeReached:
		s.goodbye(websocket.CloseNormalClosure, read)
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

// goodbye does the closing handshake. Echoes that come in meanwhile still count.
func (s *session) goodbye(code int, read <-chan struct{}) {
	deadline := time.Now().Add(closeWait)
	if s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), deadline) == nil {
		within(time.Until(deadline), read)
	}
}

// abandon has the coming close of a connection that was given up forget what it
// has not got rid of. The kernel would go on to send it for minutes, and on a
// link that comes back the server would take old records behind those of the
// next connection, which brings them again anyway.
func abandon(conn net.Conn) {
	switch c := conn.(type) {
	case interface{ SetLinger(seconds int) error }: // TCP
		c.SetLinger(0)
	case interface{ NetConn() net.Conn }: // TLS, or one that counts
		abandon(c.NetConn())
	}
}

// write sends records while the window has room.
func (s *session) write(ctx context.Context) error {
	if err := s.trial(ctx); err != nil {
		return err
	}
	s.lanes = newLanes(s.u.queue.Acked())
	for {
		f, err := s.pick(ctx)
		if err != nil {
			return err
		}
		if err := s.send(f); err != nil {
			return err
		}
	}
}

// sendable reports whether a record may be sent at all. Servers answer an empty
// frame or one that is not UTF-8 by breaking the connection, and lose the frame
// behind it.
func sendable(data []byte) bool {
	return len(bytes.TrimSpace(data)) > 0 && utf8.Valid(data)
}

// skip throws away a record that cannot be sent, and says so.
func (u *Uplink) skip(pos uint64, data []byte) {
	u.log.Error("record thrown away: it is empty or not UTF-8 text", "pos", pos, "bytes", len(data))
	u.queue.Ack(pos)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.status.Skipped++
	u.notify()
}

// send writes one record. It is in the window before it is on the wire, because
// its echo may be quicker than the return of the write.
func (s *session) send(f flight) error {
	u := s.u
	start := time.Now()
	mode, idle, late := u.sending(f, start)
	data := f.data
	if late && u.c.Backlog != nil {
		data = u.c.Backlog(data)
	}
	s.conn.SetWriteDeadline(start.Add(u.c.WriteTimeout))
	if err := s.conn.WriteMessage(websocket.TextMessage, data); err != nil {
		return writeProblem(err)
	}
	u.mu.Lock()
	s.written = u.win.n // nobody else sends
	s.acked = s.acked || mode == AckNone
	u.mu.Unlock()
	switch {
	case mode == AckNone:
		u.ack([]uint64{f.pos})
	case mode == AckPong || idle || !f.keyed || u.isDraining():
		signal(s.poke)
	}
	return nil
}

// sending takes note of a record that is about to be written: the mode in
// force, whether nothing was outstanding, and whether it goes out late.
//
// Late is what is sent after a newer record, on this connection or an earlier
// one. So what is not late only ever moves forward, whatever is lost between.
func (u *Uplink) sending(f flight, now time.Time) (mode AckMode, idle, late bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	mode, idle = u.mode, !u.win.busy()
	switch {
	case f.repeat:
		u.win.repeated(f.pos)
		u.status.Resent++
	case mode != AckNone && u.win.sending(f, now):
		u.status.Resent++
	}
	if mode == AckAuto {
		u.unechoed++
	}
	u.status.Sent++
	late = u.c.Order == LiveFirst && f.pos < u.newest
	if late {
		u.status.Backlog++
	}
	u.newest = max(u.newest, f.pos)
	return mode, idle, late
}

// fruitful reports whether anything was acknowledged on this connection.
func (s *session) fruitful() bool {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	return s.acked
}

// signal leaves one mark in c, without waiting.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

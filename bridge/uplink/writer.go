package uplink

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"gpsbridge/bridge/problem"
)

// Order states which records go first when more wait than can be sent at once.
type Order string

// The orders of sending.
const (
	// LiveFirst sends the newest record at once when more than a window of
	// them wait, new ones as they come, and the rest, the backlog, oldest first
	// in the room that the window leaves.
	LiveFirst Order = "live-first"
	// OldestFirst sends in the order of the queue.
	OldestFirst Order = "oldest-first"
)

// defaultOrder is what an empty Config.Order means.
const defaultOrder = LiveFirst

// ParseOrder reads the name of an order; an empty name is defaultOrder.
func ParseOrder(s string) (Order, error) {
	switch o := Order(s); o {
	case "":
		return defaultOrder, nil
	case LiveFirst, OldestFirst:
		return o, nil
	}
	return "", &problem.Problem{Code: BadOrder, Key: "order", Cause: fmt.Sprintf("%q is not an order", s), Fix: "choose live-first or oldest-first"}
}

const (
	// piledFor is how long more than a window of records may wait on a
	// connection that stands before the newest of them goes first: as long as
	// a silence lasts that is not yet a stuck server. A burst (a file
	// replayed at full speed) is over before that, and stays in order.
	piledFor = silenceMin
)

// lanes are the places in the queue from which records are taken. Backlog and
// live meet when there is none: backlog == end.
//
//	Acked ─── backlog ─── end ─── live ─── Last
//	  done       │ to be sent │ sent  │ to be sent first
//	             └ oldest first       └ oldest first
//
// What lies between end and live was sent as live, before more than a window
// of records piled up after it, or is done with.
type lanes struct {
	live    uint64 // position of the last record taken as live
	backlog uint64 // position of the last record taken from the backlog
	end     uint64 // position of the last record of the backlog

	piled time.Time // since when more waits than may go at once; zero: no more
	fresh bool      // nothing was taken yet
}

func newLanes(acked uint64) lanes {
	return lanes{live: acked, backlog: acked, end: acked, fresh: true}
}

// split makes the backlog of everything that waits but the newest record, which goes as live.
func (l *lanes) split(last uint64) {
	if l.backlog >= l.end {
		l.backlog = l.live
	}
	l.end, l.live = last-1, last
	l.piled = time.Time{}
}

// pending reports whether there is a backlog.
func (l *lanes) pending() bool { return l.backlog < l.end }

// write sends records while the window has room.
func (s *session) write(ctx context.Context) error {
	if err := s.experiments(ctx); err != nil {
		return err
	}
	s.lanes = newLanes(s.u.queue.Acked())
	for {
		arrival := s.u.queue.Arrival()
		f, err := s.pick()
		if f != nil {
			s.put(f)
		}
		switch {
		case f != nil && len(s.out) < maxBatch:
			continue
		case len(s.out) > 0:
			err = cmp.Or(s.flush(ctx), err)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-s.room:
		case <-arrival:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendable reports whether a record may be sent at all. Servers answer an empty frame or one that is not UTF-8 by breaking the
// connection, and lose the frame after it.
func sendable(data []byte) bool {
	return len(bytes.TrimSpace(data)) > 0 && utf8.Valid(data)
}

// skip throws away a record that cannot be sent, and logs that.
func (s *session) skip(pos uint64, data []byte) {
	u := s.u
	u.log.Error("record thrown away: it is empty or not UTF-8 text", "pos", pos, "bytes", len(data))
	u.queue.Ack(pos)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.status.Skipped++
	u.notify()
}

// maxBatch is from where on frames that leave together are written, in bytes: with one more frame they still fit into a segment of
// TCP where they are compressed. The first of them waits for no more.
const maxBatch = 1200

// send writes one record.
func (s *session) send(ctx context.Context, f *flight) error {
	s.put(f)
	return s.flush(ctx)
}

// put makes the frame of a record ready. The record is in the window before it is on the wire, because its echo may be quicker than
// the return of the write.
func (s *session) put(f *flight) {
	data := f.data // not f's after a pong
	mode, poke := s.sending(f, time.Now())
	if f.marked {
		data = s.u.c.Backlog(data)
	}
	s.out = s.frames.AppendText(s.out, data)
	if mode == AckNone {
		s.batch = append(s.batch, f.pos)
	}
	s.pokes = s.pokes || poke && mode != AckNone
}

// putPong makes the answer to a ping ready, if one waits.
func (s *session) putPong() {
	s.u.mu.Lock()
	payload := s.pong
	s.pong = nil
	s.u.mu.Unlock()
	if payload != nil {
		s.out = s.frames.AppendPong(s.out, *payload)
	}
}

// flush writes what is ready, in one piece: records that leave together share a record of TLS and a segment of TCP. It goes past
// gorilla, whose control frames come in one piece too.
func (s *session) flush(ctx context.Context) error {
	if len(s.out) == 0 {
		return nil
	}
	s.putPong()
	u, deadline := s.u, time.Now().Add(s.u.c.WriteTimeout)
	if !s.acquire(ctx.Done(), deadline) {
		return writeProblem(cmp.Or(ctx.Err(), os.ErrDeadlineExceeded))
	}
	conn := s.conn.NetConn()
	conn.SetWriteDeadline(deadline)
	_, err := conn.Write(s.out)
	s.release()
	if err != nil {
		return writeProblem(err)
	}
	acked, poke := s.batch, s.pokes
	s.out, s.batch, s.pokes = s.out[:0], s.batch[:0], false
	u.mu.Lock()
	s.wrote = true
	s.written = u.win.n // no other goroutine sends
	s.acked += len(acked)
	u.mu.Unlock()
	u.ack(acked, 0)
	if poke {
		signal(s.poke)
	}
	return nil
}

// sending takes note of a record that is about to be written: the mode in force, and whether the keeper is to look at its
// deadlines again.
//
// Late is what is sent after a newer record, on this connection or an earlier one. So what is not late only ever moves
// forward, whatever is lost between.
func (s *session) sending(f *flight, now time.Time) (mode AckMode, poke bool) {
	u := s.u
	u.mu.Lock()
	defer u.mu.Unlock()
	mode = u.mode
	poke = mode == AckPong || len(u.win.flying()) == 0 || !f.keyed || u.drains > 0
	s.moved = now
	f.late = u.c.Order == LiveFirst && f.pos < u.newest
	if f.keyed {
		u.runs[f.key.Run] = true
	}
	if u.sentFirst.IsZero() {
		u.sentFirst = now
	}
	f.marked = f.late && !f.unmarked && u.marks()
	if mode != AckNone && u.win.sending(f, now) {
		u.status.Resent++
	}
	u.status.Sent++
	if f.late {
		u.status.Backlog++
	}
	u.newest = max(u.newest, f.pos)
	return mode, poke
}

// pick returns the record to be sent next, nil for none now: what was lost goes first, then
// live records in their order, then the backlog in its.
func (s *session) pick() (*flight, error) {
	if f, err := s.jump(); f != nil || err != nil {
		return f, err
	}
	for {
		place, f := s.choose()
		if place == nil {
			return f, nil
		}
		pos, f, err := s.look(*place)
		switch backlog := place == &s.lanes.backlog; {
		case err != nil || pos == 0:
			return nil, err
		case backlog && pos > s.lanes.end:
			*place = s.lanes.end
			continue
		case f != nil:
			f.backlog = backlog
			s.u.mu.Lock()
			s.probe.due = false // the one more
			s.u.mu.Unlock()
		}
		if *place = pos; f != nil {
			return f, nil
		}
	}
}

// jump lets the newest record go first when more than a window of them waits:
// at once on a fresh connection, and later when that lasts. A pile that fits
// into the window goes out in one round trip, newest included, and needs none.
func (s *session) jump() (f *flight, err error) {
	if s.u.c.Order != LiveFirst {
		return nil, nil
	}
	s.u.mu.Lock()
	size, top := s.u.win.size, s.u.top
	s.u.mu.Unlock()
	l, last := &s.lanes, s.u.queue.Last()
	fresh := l.fresh
	l.fresh = false
	if last <= l.live+uint64(size) {
		l.piled = time.Time{}
		return nil, nil
	}
	if l.piled.IsZero() {
		l.piled = time.Now()
	}
	if !fresh && time.Since(l.piled) < piledFor {
		return nil, nil
	}
	l.split(last)
	if top == last {
		return nil, nil
	}
	pos, f, err := s.look(last - 1)
	if l.live = max(last, pos); pos == 0 {
		l.end = last // it cannot be read for now
	}
	return f, err
}

// choose decides what is to be done next: to send a record again, or to look for one in a lane; or nothing.
func (s *session) choose() (place *uint64, again *flight) {
	last := s.u.queue.Last()
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	win, l := &s.u.win, &s.lanes
	waiting := last > max(l.live, s.u.top) // what is done with already does not wait
	pending := l.pending()
	probing := s.probing()                                  // one more goes out where the window has no room: a new record, or the last one again
	if !probing && (s.u.c.Order != LiveFirst || !waiting) { // live records go before what is late anyway
		if f, ok := win.takeLost(time.Now()); ok {
			return nil, f
		}
	}
	room := probing || win.room()
	switch {
	case waiting && room:
		return &l.live, nil
	case pending && (probing || win.backlogRoom() && win.held < maxHeld):
		return &l.backlog, nil
	case last > l.live && room: // an older one perhaps
		return &l.live, nil
	case probing:
		s.probe.due = false
		return nil, win.tail()
	}
	if s.waits = pending || !room; s.waits && s.u.provisional() { // for the pong that makes room
		signal(s.poke)
	}
	return nil, nil
}

// look returns the first record after a position, and makes it ready for sending. Without a position there is none; without a
// record it is on its way already, or cannot be sent at all.
func (s *session) look(after uint64) (pos uint64, f *flight, err error) {
	pos, data, err := s.u.queue.Next(after)
	switch {
	case err != nil:
		return 0, nil, queueProblem(err)
	case pos == 0 || s.u.underway(pos):
		return pos, nil, nil
	case !sendable(data):
		s.skip(pos, data)
		return pos, nil, nil
	}
	f = &flight{pos: pos, data: data}
	if s.u.c.Ack == AckAuto || s.u.c.Ack == AckEcho {
		f.key, f.keyed = keyOf(data)
	}
	return pos, f, nil
}

// experiments begin a connection with the candidates of the isolation, alone, until they have passed. Between them new records go,
// which would have to wait for that.
func (s *session) experiments(ctx context.Context) error {
	for more := false; ; more = true {
		s.u.mu.Lock()
		t, ok := s.u.isolation.next(s.u.win.size)
		s.u.mu.Unlock()
		if !ok {
			return nil
		}
		if more || t.behind {
			if err := s.others(ctx, t); err != nil {
				return err
			}
		}
		s.u.mu.Lock()
		bare := !s.otherPassed && t.unmarked.first || s.otherPassed && t.unmarked.behind > 0 && s.u.win.place(s.u.win.n+1) >= t.unmarked.behind
		if bare {
			s.u.isolation.tryUnmarked()
		}
		s.u.mu.Unlock()
		for _, candidate := range t.records {
			pos, f, err := s.look(candidate - 1)
			switch {
			case err != nil:
				return err
			case f == nil || pos != candidate: // dropped by a full queue, perhaps
				s.u.passed(candidate)
				continue
			}
			f.unmarked = bare
			if err := s.send(ctx, f); err != nil {
				return err
			}
		}
		if err := s.landed(ctx); err != nil {
			return err
		}
		if bare {
			if err := s.stands(ctx); err != nil {
				return err
			}
			s.u.mu.Lock()
			s.u.isolation.acceptedUnmarked()
			s.u.mu.Unlock()
		}
	}
}

// others sends new records, a window of them or else the newest, and waits until they have passed. Ahead of a candidate whose
// failure is to be evidence it sends any where there is no new one and any will do, and waits until the server would have failed on it.
func (s *session) others(ctx context.Context, t experiment) error {
	s.u.mu.Lock()
	after, size := s.u.newest, uint64(s.u.win.size)
	s.u.mu.Unlock()
	last := s.u.queue.Last()
	if last > after+size {
		after = last - 1
	}
	n := 0
	if after >= last && t.behind && !t.fresh {
		after, last = s.u.queue.Acked(), after
		size = 1
	}
	for after < last && n < int(size) {
		pos, f, err := s.look(after)
		switch {
		case err != nil:
			return err
		case pos == 0:
			pos = last
		case f != nil && !slices.Contains(t.records, pos):
			if err := s.send(ctx, f); err != nil {
				return err
			}
			n++
		}
		after = pos
	}
	if err := s.landed(ctx); err != nil || n == 0 || !t.behind {
		return err
	}
	if err := s.stands(ctx); err != nil {
		return err
	}
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.otherPassed = true
	return nil
}

// stands waits until the server would have failed on what has landed. It has processed what it has acknowledged, and a pong may be
// ahead of that by a round trip.
func (s *session) stands(ctx context.Context) error {
	s.u.mu.Lock()
	wait := failWait
	if s.u.win.held > 0 {
		wait += s.u.win.timeout()
	}
	s.u.mu.Unlock()
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// landed waits until nothing is on its way.
func (s *session) landed(ctx context.Context) error {
	for {
		s.u.mu.Lock()
		out := len(s.u.win.flying())
		s.u.mu.Unlock()
		if out == 0 {
			return nil
		}
		select {
		case <-s.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

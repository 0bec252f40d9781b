package uplink

import (
	"context"
	"fmt"
	"time"

	"gpsbridge/bridge/problem"
)

// Order says which records go first when more wait than can be sent at once.
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
	// a silence is borne that is not taken for deafness. A burst (a file
	// replayed at full speed) is over before that, and stays in order.
	piledFor = deafMin
	// lookFor bounds the look for a record that may not be there, because the
	// queue may have been told by an earlier process that it is done with. A
	// worn SD card that is busy writing answers within that.
	lookFor = time.Second
)

// lanes are the places in the queue from which records are taken. Backlog and
// live meet when there is none: backlog == end.
//
//	Acked ─── backlog ─── end ─── live ─── Last
//	  done       │ to be sent │ sent  │ to be sent first
//	             └ oldest first       └ oldest first
//
// What lies between end and live was sent as live, before more than a window
// of records piled up behind it, or is done with.
type lanes struct {
	live    uint64 // position of the last record taken as live
	backlog uint64 // position of the last record taken from the backlog
	end     uint64 // position of the last record of the backlog

	piled    time.Time // since when more waits than may go at once; zero: no more
	fresh    bool      // nothing was taken yet
	lastLive bool      // of the two, which one was served last; for taking turns
}

func newLanes(acked uint64) lanes {
	return lanes{live: acked, backlog: acked, end: acked, fresh: true}
}

// split makes the backlog of everything that waits but the newest record.
func (l *lanes) split(last uint64) {
	if l.backlog >= l.end {
		l.backlog = l.live
	}
	l.end, l.live = last-1, last-1
	l.piled = time.Time{}
}

// pending reports whether there is a backlog.
func (l *lanes) pending() bool { return l.backlog < l.end }

// turn is what the writer has to do next.
type turn int

const (
	turnFull    turn = iota // wait for room
	turnAgain               // send something again
	turnLive                // send a live record, or wait for one
	turnBacklog             // send one of the backlog
)

// pick waits for the record to be sent next: what was lost goes first, then
// live records in their order, then the backlog in its.
func (s *session) pick(ctx context.Context) (f flight, err error) {
	for {
		if f, ok, err := s.jump(ctx); ok || err != nil {
			return f, err
		}
		next := s.waiting(ctx)
		turn, f := s.turn()
		switch turn {
		case turnAgain:
			return f, nil
		case turnFull:
			if s.lanes.piled.IsZero() {
				s.lanes.piled = time.Now()
			}
			select {
			case <-s.room:
				continue
			case <-ctx.Done():
				return f, ctx.Err()
			}
		}
		f, ok, err := s.take(next, turn == turnBacklog)
		switch {
		case ok:
			s.prodded()
			return f, nil
		case ctx.Err() != nil:
			return f, ctx.Err()
		case err != nil && next.Err() == nil:
			return f, queueProblem(err)
		}
	}
}

// jump lets the newest record go first when more than a window of them waits:
// at once on a fresh connection, and later when that lasts. A pile that fits
// into the window goes out in one round trip, newest included, and needs none.
func (s *session) jump(ctx context.Context) (f flight, ok bool, err error) {
	if s.u.c.Order != LiveFirst {
		return f, false, nil
	}
	l, last := &s.lanes, s.u.queue.Last()
	size, top := s.u.reach()
	fresh := l.fresh
	l.fresh = false
	if last <= l.live+uint64(size) {
		l.piled = time.Time{}
		return f, false, nil
	}
	if l.piled.IsZero() {
		l.piled = time.Now()
	}
	if !fresh && time.Since(l.piled) < piledFor {
		return f, false, nil
	}
	l.split(last)
	l.lastLive = true
	if top != last {
		f, ok, err = s.look(ctx, last-1)
	}
	l.live = max(last, f.pos)
	if f.pos == 0 {
		l.end = last // done with, or not found in time
	}
	return f, ok, err
}

// reach is the size of the window, and the newest position known to be done with.
func (u *Uplink) reach() (size int, top uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.win.size, u.top
}

// turn decides what is to be done next.
func (s *session) turn() (t turn, f flight) {
	waiting := s.u.queue.Last() > s.lanes.live
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	win := &s.u.win
	s.waits = false
	pending := s.lanes.pending()
	if s.prodding() {
		return s.oneMore(waiting && !win.single, pending && !win.single)
	}
	if f, ok := win.takeLost(time.Now()); ok {
		return turnAgain, f
	}
	favour := !waiting || (win.single && s.lanes.lastLive) // one at a time: in turns
	switch {
	case !win.room():
		return turnFull, f
	case pending && favour && win.backlogRoom():
		return turnBacklog, f
	}
	s.waits = pending // what makes room for the backlog must end the wait for a live one
	return turnLive, f
}

// oneMore is what goes out where the window has no room: a new record, or the
// last one again. Caller holds mu.
func (s *session) oneMore(live, backlog bool) (t turn, f flight) {
	switch {
	case live:
		return turnLive, f
	case backlog:
		return turnBacklog, f
	}
	if f, ok := s.tailAgain(); ok {
		return turnAgain, f
	}
	return turnFull, f
}

// take takes the next record of a lane. Not ok without an error: look again.
//
// Waiting for the backlog is harmless: it lasts only while the whole queue has
// nothing behind the backlog's place, and ends with the next record.
func (s *session) take(ctx context.Context, backlog bool) (f flight, ok bool, err error) {
	l := &s.lanes
	place := &l.live
	if backlog {
		place = &l.backlog
	}
	pos, data, err := s.u.queue.Next(ctx, *place)
	switch {
	case err != nil:
		return f, false, err
	case backlog && pos > l.end:
		l.backlog = l.end
		return f, false, nil
	}
	*place = pos
	l.lastLive = !backlog
	f, ok = s.ready(pos, data)
	f.backlog = backlog
	return f, ok, nil
}

// look takes the first record behind a position, if there is one: it waits
// for a moment only.
func (s *session) look(ctx context.Context, after uint64) (f flight, ok bool, err error) {
	limited, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	pos, data, err := s.u.queue.Next(limited, after)
	switch {
	case err == nil:
		f, ok = s.ready(pos, data)
		f.pos = pos
		return f, ok, nil
	case ctx.Err() != nil:
		return f, false, ctx.Err()
	case limited.Err() == nil:
		return f, false, queueProblem(err)
	}
	return f, false, nil
}

// ready makes a record of the queue ready for sending. Not ok: it is on its
// way already, or cannot be sent at all.
func (s *session) ready(pos uint64, data []byte) (f flight, ok bool) {
	if s.u.underway(pos) {
		return f, false
	}
	if !sendable(data) {
		s.u.skip(pos, data)
		return f, false
	}
	f = flight{pos: pos, data: data}
	if s.u.c.Ack == AckAuto || s.u.c.Ack == AckEcho {
		f.key, f.keyed = s.u.c.Key(data)
	}
	return f, true
}

// underway reports whether a record is on its way or about to be sent again.
func (u *Uplink) underway(pos uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.win.has(pos)
}

// waiting is the context for waiting for the queue. Interrupt ends it, so that
// something lost is sent again at once; then the next wait gets a new one.
func (s *session) waiting(ctx context.Context) context.Context {
	if s.next == nil || s.next.Err() != nil {
		next, cancel := context.WithCancel(ctx)
		s.u.mu.Lock()
		s.next, s.interrupt = next, cancel
		s.u.mu.Unlock()
	}
	return s.next
}

// freed tells the writer that the window may have room.
func (s *session) freed() {
	s.u.mu.Lock()
	if s.waits {
		s.interrupt()
	}
	s.u.mu.Unlock()
	signal(s.room)
}

package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// drainFloor and drainRounds (of the round trip) are how long a connection
	// that is being drained, or takes one record at a time, may stay without any acknowledgement, before the
	// last record is repeated. A drain is bounded by some seconds: within three
	// of them, a loss at the end is found and mended.
	drainFloor  = time.Second
	drainRounds = 4
)

// Drain returns nil when every record that was in the queue at the call is
// acknowledged. It returns an error when ctx ends before that, and at once when
// the server cannot be reached: then waiting would be in vain. A connection
// that is being made, or made again after a loss, is waited for.
//
// While it waits, a loss of the last records is found within some round trips
// and not only by the silence.
func (u *Uplink) Drain(ctx context.Context) error {
	u.drain(1)
	defer u.drain(-1)
	target := u.queue.Last()
	for {
		u.mu.Lock()
		if u.changed == nil {
			u.changed = make(chan struct{})
		}
		changed, failed, stopped := u.changed, u.failed, u.status.State == Stopped
		u.mu.Unlock()

		acked := u.queue.Acked()
		left := target - min(acked, target)
		switch {
		case left == 0:
			return nil
		case stopped:
			return u.undrained(left, errors.New("uplink has stopped"))
		case failed != nil:
			return u.undrained(left, failed)
		}
		select {
		case <-ctx.Done():
			return u.undrained(left, context.Cause(ctx))
		case <-changed:
		}
	}
}

func (u *Uplink) undrained(left uint64, why error) error {
	return fmt.Errorf("drain uplink %q: records not acknowledged: %d: %w", u.c.Name, left, why)
}

// drain counts the calls of Drain, and has the deadlines looked at.
func (u *Uplink) drain(calls int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drains += calls
	if u.session != nil {
		signal(u.session.poke)
	}
}

func (u *Uplink) isDraining() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.drains > 0
}

// stalled is when a connection on which no later echo will show a loss has been
// without any acknowledgement for too long: it is being drained, or takes one
// record at a time. Not ok: it is neither, nothing is on its way, or the record
// in question was repeated already. Caller holds mu.
func (s *session) stalled() (at time.Time, ok bool) {
	u := s.u
	tail, ok := u.win.tail()
	if !ok || (u.drains == 0 && !u.win.single) || u.mode != AckEcho || !tail.keyed || tail.pos == s.repeated {
		return at, false
	}
	at = u.win.progress
	if tail.at.After(at) {
		at = tail.at
	}
	return at.Add(drainFloor + drainRounds*u.win.srtt), true
}

// repeatTail has the record that was sent last sent once more, while it is
// still on its way. The loss of the last records shows itself by nothing that
// comes later, and during shutdown there is no time to wait for the deadline of
// deafness; nor does it where one record goes at a time, and servers that have
// just broken a connection were seen to lose the first echo of the next. So
// these cases are an exception to the rule that nothing is sent again by a
// timer: whichever of both sendings is echoed, all before it without
// an echo are lost, and are sent again for that. It adds one frame to the load
// of a server that is slow, not a window. Caller holds mu.
func (s *session) repeatTail() {
	f, _ := s.u.win.tail()
	f.repeat = true
	s.repeat, s.repeated = &f, f.pos
	s.interrupt()
	signal(s.room)
}

// takeRepeat returns the record to be repeated, if there is one and it has not
// been acknowledged meanwhile. Caller holds mu.
func (s *session) takeRepeat() (f flight, ok bool) {
	if s.repeat == nil {
		return f, false
	}
	f, s.repeat = *s.repeat, nil
	return f, s.u.win.has(f.pos)
}

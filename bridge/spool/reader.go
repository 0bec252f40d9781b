package spool

import (
	"context"
	"errors"
	"time"
)

// Reader is one consumer's view of a spool: the records that it has not acknowledged. Its methods may be called from
// any goroutine.
type Reader struct {
	spool *Spool // set once
	name  string // set once

	acked ranges // changed with spool.out and spool.mu held

	// guarded by spool.mu
	late  time.Duration // see Late
	grace time.Duration // late, 0 since an acknowledgement came later than that
}

// Next returns the first record after a position that this reader has not acknowledged, position 0 when there is none. It
// removes nothing: asked again, it answers the same. The error is ErrClosed.
func (r *Reader) Next(after uint64) (pos uint64, data []byte, err error) {
	s := r.spool
	s.out.Lock()
	defer s.out.Unlock()
	for {
		pos, data, err := r.look(r.acked.missing(after + 1))
		switch {
		case errors.Is(err, errAway): // it is kept, and asked for again from Acked
			after = pos
		case errors.Is(err, errDamaged):
		case err != nil || pos == 0 || !r.acked.has(pos):
			return pos, data, err
		default: // acknowledged ahead of older ones
			after = pos
		}
	}
}

// Arrival returns a channel that is closed when a record has arrived, or when what could not be read may be tried again. One
// that is asked for before Next misses nothing.
func (r *Reader) Arrival() <-chan struct{} {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	return r.spool.wake
}

// look returns the first record held from a position on, for any reader, with errDamaged or errAway when it does not
// read. spool.out is held, and while the disk is read nothing else: Append does not wait for that.
func (r *Reader) look(from uint64) (pos uint64, data []byte, err error) {
	s := r.spool
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return 0, nil, ErrClosed
	}
	if s.disk != nil {
		seg, e, err := s.disk.find(from)
		if err != nil && !errors.Is(err, errAway) { // the next arrival tries again, and nothing is passed over
			return 0, nil, nil
		}
		if seg != nil {
			data, err := s.disk.data(seg, e)
			return e.pos, data, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seg, e, _ := s.recent.find(from) // its segments are all loaded
	if seg == nil {
		return 0, nil, nil
	}
	found, err := s.recent.get(seg, e)
	return e.pos, found.data, err
}

// Ack acknowledges one record, in any order. A position that was acknowledged before, was dropped, or never was, is
// passed over.
func (r *Reader) Ack(pos uint64) {
	s := r.spool
	s.out.Lock()
	defer s.out.Unlock()
	if s.acknowledge(r, pos) && s.disk != nil {
		_ = s.disk.release(pos) // unreadable for now: it is found acknowledged when it can be read
	}
	if r.advance() {
		s.mu.Lock()
		s.signal()
		s.mu.Unlock()
	}
}

// Late states by how much acknowledgements may come later than the link needs, while the connection on which that was agreed
// stands: a record stays off the disk for so much longer where no other reader waits for it. When one is missing for longer, that
// ends until the next comes, so that a dead link risks no more than a broken one but for its first moments.
func (r *Reader) Late(by time.Duration) {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	r.late, r.grace = by, by
}

// due is how long it is until a record that this reader waits for has to go to the disk, limit at the most. mu is held.
func (r *Reader) due(limit time.Duration) time.Duration {
	s := r.spool
	for pos := s.saved + 1; ; {
		seg, e, _ := s.recent.find(r.acked.missing(pos))
		switch {
		case seg == nil:
			return limit
		case r.acked.has(e.pos):
			pos = e.pos + 1
			continue
		}
		wait := s.every + r.grace - s.clock.age(e.pos, e.at, time.Now())
		if wait <= 0 {
			r.grace = 0
		}
		return min(wait, limit)
	}
}

// acknowledge notes the acknowledgement and reports whether it was the last that the record waited for. out is held.
func (s *Spool) acknowledge(r *Reader, pos uint64) (released bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || pos > s.last || r.acked.has(pos) {
		return false
	}
	r.acked.add(pos, pos)
	r.grace = r.late
	if s.disk != nil {
		// An error costs a repeat after a restart.
		_ = s.recent.append(s.last+1, record{kind: kindAck, pos: pos, data: []byte(r.name)})
		s.recent.publish()
		if pos <= s.saved {
			s.change()
		}
	}
	if s.wanted(pos) {
		s.partly = true
		return false
	}
	_ = s.recent.release(pos)
	return true
}

// acknowledgeAll acknowledges everything for every reader.
func (s *Spool) acknowledgeAll() {
	s.out.Lock()
	defer s.out.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.readers {
		r.acked.add(0, s.last)
	}
	for _, l := range []*log{s.disk, s.recent} {
		for _, seg := range l.segs {
			if seg != l.active {
				seg.unload()
			}
			seg.index, seg.live, seg.bytes = nil, 0, 0
		}
	}
	s.saved = s.last
	s.change()
}

// advance takes into acked what is not held any more at its low end: thinned, damaged, or never there. It reports whether
// that end has reached the newest record. spool.out is held.
func (r *Reader) advance() (done bool) {
	s := r.spool
	for {
		low := r.acked.low()
		var seg *segment
		var e entry
		if s.disk != nil {
			var err error
			if seg, e, err = s.disk.find(low + 1); err != nil {
				return false // unreadable for now
			}
		}
		s.mu.Lock()
		if seg == nil {
			seg, e, _ = s.recent.find(low + 1) // its segments are all loaded
		}
		next := s.last + 1
		if seg != nil {
			next = e.pos
		}
		if next > low+1 && !s.closed {
			r.acked.add(low+1, next-1)
		}
		done = r.acked.low() == s.last
		s.mu.Unlock()
		if done || next == low+1 || r.acked.low() == low {
			return done
		}
	}
}

// Drained waits until this reader has acknowledged everything that was ever appended. The error is ctx's or ErrClosed.
func (r *Reader) Drained(ctx context.Context) error {
	for {
		wake := r.Arrival()
		drained, err := r.drained()
		if drained || err != nil {
			return err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *Reader) drained() (bool, error) {
	s := r.spool
	s.out.Lock()
	defer s.out.Unlock()
	if r.advance() {
		return true, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, ErrClosed
	}
	return false, nil
}

// Acked returns the position up to which this reader has acknowledged everything, or lost it to a full spool; 0 at
// first. Reading starts again from here after a lost connection.
func (r *Reader) Acked() uint64 {
	r.spool.out.Lock()
	defer r.spool.out.Unlock()
	r.advance()
	return r.acked.low()
}

// Waiting returns how many records this reader has not acknowledged. Where others have not either, and the spool was full,
// those that were thinned count until the oldest that is left comes after them: the number is never too low.
func (r *Reader) Waiting() uint64 {
	s := r.spool
	s.out.Lock()
	defer s.out.Unlock()
	r.advance()
	var held int
	if s.disk != nil {
		held, _ = s.disk.held()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	recent, _ := s.recent.held()
	waiting := s.last
	for _, done := range r.acked {
		waiting -= done.to - max(done.from, 1) + 1
	}
	return min(waiting, uint64(held+recent)) // with one reader, what is held is what waits
}

// Last returns the position of the newest record ever appended, 0 before the first. When Acked has reached it, this
// reader has everything.
func (r *Reader) Last() uint64 {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	return r.spool.last
}

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

	// changed with spool.out and spool.mu held
	acked  ranges
	retain time.Duration // see Retain
	marks  []mark        // of acked while retain, in the order of time: the first at retain or more ago, where there is such a one

	// guarded by spool.mu
	late  time.Duration // see Late
	grace time.Duration // late, 0 since an acknowledgement came later than that
}

// mark is where the low end of what was acknowledged lay at a time.
type mark struct {
	at  time.Time
	low uint64
}

// marksInRetain is how many marks there are in the time of retain: so much more than that is kept, which costs memory, and none is less.
const marksInRetain = 8

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
	l, seg, e, err := s.first(from)
	if l == s.recent {
		found, err := l.get(seg, e)
		s.mu.Unlock()
		return e.pos, found.data, err
	}
	s.mu.Unlock()
	if err != nil && !errors.Is(err, errAway) || seg == nil { // the next arrival tries again, and nothing is passed over
		return 0, nil, nil
	}
	data, err = l.data(seg, e)
	return e.pos, data, err
}

// first finds the first record held from a position on, and in which log: that on the disk, but for what was asked for again. The error
// is the disk's, see log.find. out is held; mu is taken and held on return.
func (s *Spool) first(from uint64) (l *log, seg *segment, e entry, err error) {
	if s.disk != nil {
		seg, e, err = s.disk.find(from)
	}
	s.mu.Lock()
	if err != nil && !errors.Is(err, errAway) {
		return s.disk, nil, e, err
	}
	recent, r, _ := s.recent.find(from) // its segments are all loaded
	if recent != nil && (seg == nil || r.pos < e.pos) {
		return s.recent, recent, r, err
	}
	return s.disk, seg, e, err
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

// Retain has the spool keep what this reader acknowledges from now on for a time, for Again: in the recent log, in which half is for that
// and the oldest goes first, and what was on the disk there, within its bound. Nothing is written to the disk for it. It is kept by this process:
// a restart ends it. 0, as at first, keeps nothing.
func (r *Reader) Retain(d time.Duration) {
	s := r.spool
	s.out.Lock()
	defer s.out.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.retain = d; d <= 0 {
		r.marks = nil
	} else if len(r.marks) == 0 {
		r.marks = []mark{{time.Now(), r.acked.low()}}
	}
}

// mark notes how far this reader has come. out and mu are held.
func (r *Reader) mark(now time.Time) {
	n := len(r.marks)
	if n == 0 || now.Sub(r.marks[n-1].at) < r.retain/marksInRetain {
		return
	}
	r.marks = append(r.marks, mark{now, r.acked.low()})
	for len(r.marks) > 1 && now.Sub(r.marks[1].at) >= r.retain {
		r.marks = r.marks[1:]
	}
}

// Again has this reader get again what it has acknowledged in the time of Retain, and perhaps some that it acknowledged before, and
// returns how many records that are. They come in their places, so Acked goes back. A record that the disk gets in the meantime is
// as durable as any; what was acknowledged before a later one went there is held in the recent log, and a restart ends that.
func (r *Reader) Again() (records int) {
	s := r.spool
	s.out.Lock()
	defer s.out.Unlock()
	s.mu.Lock()
	retains, after := len(r.marks) > 0, uint64(0)
	if retains {
		after = r.marks[0].low
	}
	s.mu.Unlock()
	if !retains {
		return 0
	}
	if s.disk != nil {
		s.disk.recall(after, func(found []entry) {
			s.mu.Lock()
			defer s.mu.Unlock()
			records += r.unacknowledge(found)
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent.recall(after, func(found []entry) {
		for _, e := range found {
			if e.pos <= s.saved && r.acked.has(e.pos) {
				s.asked.add(e.pos, e.pos)
			}
		}
		records += r.unacknowledge(found)
	})
	r.marks = []mark{{time.Now(), r.acked.low()}}
	s.again++
	s.change()
	if s.disk != nil {
		_ = s.recent.append(s.last+1, s.stateHeld()) // an error: a restart does not know that they are wanted again
	}
	s.signal()
	return records
}

// unacknowledge takes back the acknowledgement of records, and returns of how many. out and mu are held.
func (r *Reader) unacknowledge(records []entry) (n int) {
	for _, e := range records {
		if r.acked.has(e.pos) {
			r.acked.remove(e.pos)
			n++
		}
	}
	return n
}

// acknowledge notes the acknowledgement and reports whether it was the last that the record waited for. out is held.
func (s *Spool) acknowledge(r *Reader, pos uint64) (released bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || pos > s.last || r.acked.has(pos) {
		return false
	}
	r.acked.add(pos, pos)
	r.mark(time.Now())
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
		_, seg, e, err := s.first(low + 1)
		if err != nil { // unreadable for now
			s.mu.Unlock()
			return false
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

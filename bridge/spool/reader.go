package spool

import "context"

// Reader is one consumer's view of a spool: the records that it has not acknowledged. Its methods may be called from
// any goroutine.
type Reader struct {
	spool *Spool // set once
	bit   uint32 // set once

	low uint64 // guarded by spool.mu; everything up to here is acknowledged by this reader or dropped
}

// Next returns the first record after a position that this reader has not acknowledged, and waits for one when there
// is none. It removes nothing: asked again, it answers the same. The data is shared and must not be changed. The error
// is ctx's or ErrClosed.
func (r *Reader) Next(ctx context.Context, after uint64) (pos uint64, data []byte, err error) {
	for {
		pos, data, wake, err := r.next(after)
		if err != nil || pos != 0 {
			return pos, data, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}

// next looks once; without a record it returns the channel that the next arrival closes.
func (r *Reader) next(after uint64) (pos uint64, data []byte, wake <-chan struct{}, err error) {
	s := r.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, nil, nil, ErrClosed
	}
	for pos := max(after+1, r.lowest()+1); pos <= s.last(); pos++ {
		if rec := s.records[pos-s.first]; rec.acked&r.bit == 0 {
			return pos, rec.data, nil, nil
		}
	}
	return 0, nil, s.wake, nil
}

// Ack acknowledges one record, in any order. A position that was acknowledged before, was dropped, or never was, is
// passed over.
func (r *Reader) Ack(pos uint64) {
	s := r.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if pos < s.first || pos > s.last() {
		return
	}
	s.records[pos-s.first].acked |= r.bit
	for r.low = r.lowest(); r.low < s.last() && s.records[r.low+1-s.first].acked&r.bit != 0; {
		r.low++
	}
	if r.low == s.last() {
		s.signal()
	}
	s.removeAcked()
}

// Drained waits until this reader has acknowledged everything that was ever appended. The error is ctx's or ErrClosed.
func (r *Reader) Drained(ctx context.Context) error {
	s := r.spool
	for {
		s.mu.Lock()
		drained, closed, wake := r.lowest() == s.last(), s.closed, s.wake
		s.mu.Unlock()
		switch {
		case drained:
			return nil
		case closed:
			return ErrClosed
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Acked returns the position up to which this reader has acknowledged everything, or lost it to a full spool; 0 at
// first. Reading starts again from here after a lost connection.
func (r *Reader) Acked() uint64 {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	return r.lowest()
}

// Last returns the position of the newest record ever appended, 0 before the first. When Acked has reached it, this
// reader is through.
func (r *Reader) Last() uint64 {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	return r.spool.last()
}

// lowest is low, moved up past what the spool has dropped meanwhile. spool.mu is held.
func (r *Reader) lowest() uint64 { return max(r.low, r.spool.first-1) }

package spool

import (
	"fmt"
	"time"
)

// Append stores a copy of a record as the newest and returns its position. A full spool thins its oldest part, counted.
// The error is ErrTooLarge (above half a segment: 512 KiB in memory, 32 KiB with Dir, less when Max is small), ErrClosed,
// or that of writing; the record is then counted as dropped.
//
// It waits for the disk only when the recent log is full (4 MiB, or Max when that is less), which a burst can bring about
// and a receiver at its own pace cannot: then until the disk has taken a batch, of a quarter of a segment. When that
// takes more than 10 s, or the disk has failed, it waits no more and the recent log thins. It never waits for a sync that
// it does not need. With a Runtime folder it does not touch the disk; without one it writes to it, not synced, and that
// takes what the kernel makes it take.
func (s *Spool) Append(data []byte) (pos uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, ErrClosed
	}
	size := recordHeader + int64(len(data))
	if limit := s.recent.capacity() / 2; size > limit {
		s.drop()
		return 0, fmt.Errorf("append %d bytes: %w, which takes %d", len(data), ErrTooLarge, limit-recordHeader)
	}
	s.makeRoom(size)
	if s.closed { // meanwhile
		return 0, ErrClosed
	}
	r := record{kind: kindData, pos: s.last + 1, at: s.clock.stamp(s.last + 1), data: data}
	err = s.recent.append(r.pos, r)
	if err != nil { // in a new segment it may go
		err = s.recent.append(r.pos, r)
	}
	if err != nil {
		s.drop()
		return 0, fmt.Errorf("append: %w", err)
	}
	s.last = r.pos
	s.appended++
	s.recent.publish()
	s.signal()
	return r.pos, nil
}

// makeRoom sees to it that the recent log can take a record of so many bytes. Once it is half full the disk is to take
// it over, before it is due; a full one waits for that, and is thinned only where there is no disk to hope for. mu is
// held, and given away while it waits.
func (s *Spool) makeRoom(size int64) {
	for !s.closed && !s.recent.fits(size) {
		_ = s.recent.sweep() // what could not be removed is not needed, and is found at the next start
		patience := s.patience()
		if patience > 0 && s.recent.size() > s.recent.max/2 {
			select {
			case s.hurry <- struct{}{}:
			default: // it was asked for
			}
		}
		switch {
		case !s.recent.full():
			return
		case patience > 0:
			s.await(patience)
		default:
			s.change() // of the count of what was dropped
			if s.recent.shrink() != nil {
				return // appending meets it again and says it
			}
		}
	}
}

// patience returns how much longer the disk may take for what it is at, 0 or less when there is none or it has failed.
// mu is held.
func (s *Spool) patience() time.Duration {
	switch {
	case s.disk == nil || s.problem != nil:
		return 0
	case s.busy.IsZero():
		return diskPatience
	}
	return diskPatience - time.Since(s.busy)
}

// await waits for the next signal, for a time at the most. mu is held, and given away meanwhile.
func (s *Spool) await(atMost time.Duration) {
	wake, timer := s.wake, time.NewTimer(atMost)
	s.mu.Unlock()
	defer s.mu.Lock()
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	}
}

// drop counts a record that could not be taken. mu is held.
func (s *Spool) drop() {
	s.dropped++
	s.change()
}

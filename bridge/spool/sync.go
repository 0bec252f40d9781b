package spool

import "time"

// run moves to the disk what stays unacknowledged or is too much for the recent log, until Close.
func (s *Spool) run() {
	defer close(s.stopped)
	defer s.turn(0)
	timer := time.NewTimer(s.every)
	defer timer.Stop()
	for wait := s.every; ; {
		s.turn(wait + slowDisk)
		urgent := false
		select {
		case <-s.stop:
			return
		case <-timer.C:
		case <-s.hurry:
			urgent = true
		}
		wait = s.due()
		if urgent || wait <= 0 {
			err := s.flush(false)
			s.report(err)
			if wait = s.due(); err != nil || wait <= 0 {
				wait = s.every
			}
		}
		timer.Reset(wait)
	}
}

// due returns how long it is until something has to go to the disk, no more than one interval.
func (s *Spool) due() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := s.every
	if seg, e, _ := s.recent.find(s.saved + 1); seg != nil {
		age := time.Since(time.UnixMilli(e.at))
		if age < 0 { // the clock was set back
			age = s.every
		}
		wait = min(wait, s.every-age)
	}
	if !s.changed.IsZero() {
		wait = min(wait, s.every-time.Since(s.changed))
	}
	return wait
}

// report logs the first of a row of faults, and their end.
func (s *Spool) report(err error) {
	s.mu.Lock()
	before := s.fault
	s.fault = err
	s.signal() // whoever waits for the disk has his answer
	s.mu.Unlock()
	switch {
	case err != nil && before == nil:
		s.log.Error("the spool cannot be written to disk, a power cut would lose what is not acknowledged: "+
			"free space, or check the card and its mount", "err", err)
	case err == nil && before != nil:
		s.log.Info("the spool is being written to disk again")
	}
}

// flush moves everything unacknowledged to the disk and syncs it, in batches. Writing and syncing are done without out
// and mu, so neither readers nor Append wait for them.
func (s *Spool) flush(closing bool) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.atWork(time.Now())
	defer s.atWork(time.Time{})
	for {
		batch, base, upTo, changed := s.collect()
		if len(batch) == 0 {
			break
		}
		err := s.disk.append(base, batch...)
		if err == nil {
			err = s.disk.sync()
		}
		if err != nil {
			s.mu.Lock()
			s.partly = true // it may have been in the batch
			s.mu.Unlock()
			return err
		}
		if err := s.moved(upTo, changed); err != nil {
			return err
		}
	}
	err := s.disk.sweep()
	if !closing {
		s.disk.keepSpare()
	}
	return err
}

// atWork notes since when the disk has been taking what it is given.
func (s *Spool) atWork(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = since
}

// collect returns what is to be written next: records as many as fill a quarter of a segment, and the state when it has
// changed since changed, or what it says of these records has. base is what a new segment would be named by.
func (s *Spool) collect() (batch []record, base, upTo uint64, changed time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	base, upTo = s.saved+1, s.saved
	changed = s.changed
	var size int64
	for {
		seg, e, _ := s.recent.find(upTo + 1)
		if seg == nil || size > 0 && size+int64(e.size) > s.disk.segment/4 {
			break
		}
		r, ok := s.recent.get(seg, e)
		if !ok {
			continue
		}
		if size == 0 {
			base = r.pos
		}
		batch = append(batch, r)
		size += int64(r.size())
		upTo = r.pos
	}
	if !changed.IsZero() || size > 0 && s.partly {
		batch = append(batch, s.stateHeld())
		s.partly = false
	}
	return batch, base, upTo, changed
}

// moved notes that the disk has everything up to a position, and the state as it was when it changed at changed.
func (s *Spool) moved(upTo uint64, changed time.Time) error {
	s.out.Lock()
	defer s.out.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for pos := s.saved + 1; pos <= upTo; {
		seg, e, err := s.recent.find(pos)
		if err != nil || seg == nil || e.pos > upTo {
			break
		}
		if err := s.recent.release(e.pos); err != nil {
			return err
		}
		pos = e.pos + 1
	}
	s.saved = upTo
	s.disk.publish()
	if s.changed.Equal(changed) {
		s.changed = time.Time{}
	}
	s.busy = time.Now() // the next batch
	s.signal()          // there is room again, and what could not be read before may be tried again
	return nil
}

package spool

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
)

// run moves to the disk what stays unacknowledged or is too much for the recent log, until Close.
func (s *Spool) run() {
	defer close(s.stopped)
	defer s.beat(0)
	timer := time.NewTimer(s.every)
	defer timer.Stop()
	for wait := s.every; ; {
		s.beat(wait + slowDisk)
		urgent := false
		select {
		case <-s.stop:
			return
		case <-timer.C:
		case <-s.hurry:
			urgent = true
		}
		if err := s.follow(); err != nil {
			s.report(err)
			wait = s.every
			timer.Reset(wait)
			continue
		}
		wait = s.due()
		if urgent || wait <= 0 {
			err := s.flush(false)
			s.report(err)
			if wait = s.due(); err != nil {
				wait = s.every
			}
		}
		wait = max(wait, 0)
		timer.Reset(wait)
	}
}

// follow looks whether the directories are still at their paths. One that was deleted is made again, and what is still open
// of it is written there. The error states that a directory cannot be opened: nothing that is written is found at the next start.
func (s *Spool) follow() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	for _, l := range []*log{s.disk, s.recent} {
		moved, err := l.files.moved()
		if err == nil && moved {
			err = s.restore(l)
		}
		if err != nil {
			return &problem.Problem{Code: CodeDirGone, Key: "dir", Cause: fmt.Sprintf("the directory of %s is gone: %v", l.name, rootOf(err)), Err: err,
				Fix: "put it back, or restart gpsbridge with another"}
		}
	}
	return nil
}

// rootOf is the error at the end of the chain: what the system answered, without the path.
func rootOf(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

// restore opens the directory of a log again, and writes there what is still open of it. writing is held.
func (s *Spool) restore(l *log) error {
	s.out.Lock()
	defer s.out.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := l.files.reopen(); err != nil {
		return err
	}
	if l == s.disk {
		d, ok := l.files.(*onDisk)
		if ok && s.lock != nil {
			held, err := lock(d)
			if err != nil {
				return err
			}
			s.lock, err = held, s.lock.Close()
			if err != nil {
				return err
			}
		}
	}
	lost := l.restore()
	kept, _ := l.held()
	s.change()
	s.partly = true
	p := &problem.Problem{Code: CodeDirDeleted, Key: "dir", Fix: "find out which program deleted it",
		Cause: fmt.Sprintf("the directory of %s was deleted and is made again: %d records are lost, %d are kept", l.name, lost, kept)}
	s.notice, s.noticed = p, time.Now()
	s.log.Error("the spool's directory was deleted while in use", "problem", p)
	return nil
}

// due returns how long it is until something has to go to the disk, no more than one interval.
func (s *Spool) due() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := s.every
	for _, r := range s.readers {
		wait = r.due(wait)
	}
	if !s.changed.IsZero() {
		wait = min(wait, s.every-time.Since(s.changed))
	}
	return wait
}

// report takes how writing to the disk ended, for Stats and the log.
func (s *Spool) report(err error) {
	p := s.diskProblem(err)
	s.mu.Lock()
	s.problem = p
	s.signal() // the callers of Append that wait for the disk
	s.mu.Unlock()
	switch worth, skipped := s.changes.Report(p, time.Now()); {
	case !worth:
	case p != nil:
		s.log.Error("the spool cannot be written to disk, a power cut would lose what is not acknowledged", "problem", p, "err", err, "skipped", skipped)
	default:
		s.log.Info("the spool is being written to disk again", "skipped", skipped)
	}
}

const checkDisk = "check the card and its mount"

// diskProblem describes an error of writing to the disk; nil for none. The cause is the same whichever operation failed.
func (s *Spool) diskProblem(err error) *problem.Problem {
	if err == nil {
		return nil
	}
	if p := problem.Of(err); p.Code != "" {
		return p
	}
	var errno unix.Errno
	errors.As(err, &errno)
	p := &problem.Problem{Key: "dir", Err: err}
	switch {
	case errno == unix.ENOSPC, errno == unix.EDQUOT, errors.Is(err, errFull):
		p.Code, p.Cause, p.Fix = CodeDiskFull, "the disk of "+s.disk.name+" is full", "free space on it"
	case errno == unix.EROFS:
		p.Code, p.Cause, p.Fix = CodeDiskReadOnly, "the disk of "+s.disk.name+" is read-only", "mount it writable, or replace the card"
	case errno != 0:
		p.Code, p.Cause, p.Fix = CodeDiskFailed, fmt.Sprintf("%s cannot be written: %v", s.disk.name, errno), checkDisk
	default:
		p.Code, p.Cause, p.Fix = CodeDiskFailed, fmt.Sprintf("%s cannot be written: %v", s.disk.name, err), checkDisk
	}
	return p
}

// missing returns the newest position up to last that is to be moved: one whose acknowledgement a reader misses already. Without that, what is
// written would take those with it that come late as agreed, and their acknowledgements would be written next, and so on.
func (s *Spool) missing(last uint64) (pos uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.recent.size() > s.recent.max/2 { // the disk is to take it over
		return last
	}
	for from := s.saved + 1; ; {
		seg, e, _ := s.recent.find(from)
		if seg == nil || e.pos > last {
			return pos
		}
		age := s.clock.age(e.pos, e.at, time.Now())
		for _, r := range s.readers {
			if !r.acked.has(e.pos) && age >= r.grace {
				pos = e.pos
			}
		}
		from = e.pos + 1
	}
}

// flush moves to the disk what is unacknowledged by now, in batches, each with one sync. Writing and syncing are done without
// out and mu, so neither readers nor Append wait for them. What comes meanwhile waits for the next flush: on a slow card
// there would be a sync for every few records, one after the other.
func (s *Spool) flush(closing bool) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	end := s.atWork(time.Now())
	defer s.atWork(time.Time{})
	if !closing {
		end = s.missing(end)
	}
	for first := true; ; first = false {
		batch, base, upTo, changed := s.collect(end, first || closing)
		if len(batch) == 0 {
			break
		}
		dropped := s.disk.dropped.Load()
		err := s.disk.append(base, batch...)
		if err == nil {
			err = s.disk.sync()
		}
		if err == nil {
			err = s.moved(upTo)
		}
		if s.disk.dropped.Load() != dropped { // to make room for this batch, whose state does not know it
			s.unsettled(time.Now())
		}
		if err != nil {
			s.unsettled(changed)
			return err
		}
	}
	err := s.disk.sweep()
	if !closing {
		s.disk.keepSpare()
	}
	return err
}

// unsettled notes that the state, which has changed since then, may not have got to the disk.
func (s *Spool) unsettled(changed time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partly = true
	if !changed.IsZero() {
		s.changed = changed
	}
}

// atWork notes since when the disk has been taking what it is given, and returns the newest position.
func (s *Spool) atWork(since time.Time) (last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = since
	return s.last
}

// collect returns what is to be written next: records up to end as many as fill a quarter of a segment, and the state
// when it has changed, since changed, or what it holds of these records has. Alone it is written only where asked for:
// acknowledgements change it while it is being written. base is what a new segment would be named by.
func (s *Spool) collect(end uint64, alone bool) (batch []record, base, upTo uint64, changed time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	base, upTo = s.saved+1, s.saved
	var size int64
	for {
		seg, e, _ := s.recent.find(upTo + 1)
		if seg == nil || e.pos > end || size > 0 && size+int64(e.size) > s.disk.segment/4 {
			break
		}
		r, err := s.recent.get(seg, e)
		if err != nil { // damaged, and gone
			continue
		}
		if size == 0 {
			base = r.pos
		}
		batch = append(batch, r)
		size += int64(r.size())
		upTo = r.pos
	}
	if dirty := !s.changed.IsZero(); dirty && alone || size > 0 && (dirty || s.partly) {
		batch = append(batch, s.stateHeld())
		changed = s.changed
		s.changed, s.partly = time.Time{}, false
	}
	return batch, base, upTo, changed
}

// moved notes that the disk has everything up to a position.
func (s *Spool) moved(upTo uint64) error {
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
	s.busy = time.Now() // the next batch
	s.signal()          // there is room again, and what could not be read before may be tried again
	return nil
}

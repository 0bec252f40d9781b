package receiver

import (
	"time"

	"gpsbridge/bridge/receiver/source"
)

// silence measures how long a source sends nothing, and decides when to act on it: to end a burst, to report that the port is
// silent, to look for the receiver at another port, to open the port again. It outlives the streams: what a receiver's pauses
// are is learned across the opens that they may cause.
type silence struct {
	most   time.Duration // Config.Silence
	finite bool          // a source with an end is never given up, it may pause as long as it likes

	last     time.Time // when bytes came, or the stream was opened
	burst    time.Time // when bytes came last from any stream; zero before the first
	gaps     [2]time.Duration
	due      time.Time // when the next fix is expected; zero or past for not known
	open     bool      // bytes have come since the last Quiet
	reported bool
	asked    time.Time // Elsewhere, last
}

const (
	// silentNotice is after which silence a port is shown to be silent: less than 2 s, and more than a receiver needs that
	// sends once a second and is now and then late.
	silentNotice = 1900 * time.Millisecond
	// elsewhereEvery is how often another port is looked for.
	elsewhereEvery = time.Second
	// mostGap is the longest pause that counts as a receiver's own: trackers that save power send once a minute.
	mostGap = 90 * time.Second
)

// opened begins with another stream.
func (s *silence) opened(now time.Time) {
	s.last, s.due, s.open, s.reported = now, time.Time{}, false, false
}

// end notes that bytes came.
func (s *silence) end(now time.Time) {
	if !s.open && !s.burst.IsZero() {
		s.gaps = [2]time.Duration{now.Sub(s.burst), s.gaps[0]}
	}
	s.open, s.reported, s.last, s.burst = true, false, now, now
}

// gap is the pause between this receiver's bursts, 0 while it is unknown. Of its last two the shorter one counts, as the other
// may have been an outage.
func (s *silence) gap() time.Duration {
	gap := s.gaps[0]
	if s.gaps[1] > 0 {
		gap = min(gap, s.gaps[1])
	}
	if gap > mostGap {
		return 0
	}
	return gap
}

// notice is how long this receiver may be silent before that is shown: it may be one that sends every 5 s.
func (s *silence) notice() time.Duration { return min(max(silentNotice, s.gap()*3/2), s.limit()) }

// limit is how long it may be silent before the port is opened again: it may be one that sends every 30 s.
func (s *silence) limit() time.Duration { return max(s.most, s.gap()*3/2) }

// rest is until when nothing that comes is needed, and no silence is to be noticed.
func (s *silence) rest() time.Time {
	if deadline := s.deadline(); s.due.After(deadline) {
		return deadline
	}
	return s.due
}

// deadline is when a read that gets nothing has to return; zero is never.
func (s *silence) deadline() time.Time {
	switch {
	case s.open:
		// While the next fix is expected the last one is complete: a quiet line is of no interest before that one is overdue.
		return s.last.Add(max(DefaultQuiet, min(s.due.Sub(s.last)+DefaultQuiet, s.notice())))
	case s.finite:
		return time.Time{}
	case !s.reported:
		return s.last.Add(s.notice())
	}
	if now := time.Now(); now.Sub(s.asked) >= elsewhereEvery {
		s.asked = now
	}
	next, end := s.asked.Add(elsewhereEvery), s.last.Add(s.limit())
	if source.Earlier(next, end) {
		return next
	}
	return end
}

package receiver

import (
	"time"

	"gpsbridge/bridge/receiver/source"
)

// silence measures how long a stream sends nothing, and decides when to act on it: to end a burst, to report that the port is
// silent, to look for the receiver at another port, to open the port again.
type silence struct {
	quiet, most time.Duration // Config.Quiet, Config.Silence
	finite      bool          // a source with an end is never given up, it may pause as long as it likes

	last     time.Time // when bytes came
	open     bool      // bytes have come since the last Quiet
	reported bool
	asked    time.Time // Elsewhere, last
	gaps     [2]time.Duration
}

const (
	// silentNotice is after which silence a port is shown to be silent: less than 2 s, and more than a receiver needs that
	// sends once a second and is now and then late.
	silentNotice = 1900 * time.Millisecond
	// elsewhereEvery is how often another port is looked for.
	elsewhereEvery = time.Second
)

func newSilence(quiet, most time.Duration, finite bool, now time.Time) silence {
	return silence{quiet: quiet, most: most, finite: finite, last: now}
}

// end notes that bytes came.
func (s *silence) end(now time.Time) {
	if !s.open {
		s.gaps = [2]time.Duration{now.Sub(s.last), s.gaps[0]}
	}
	s.open, s.reported, s.last = true, false, now
}

// gap is the pause between this receiver's bursts. Of its last two the shorter one counts, as the other may have been an outage.
func (s *silence) gap() time.Duration { return min(s.gaps[0], s.gaps[1]) }

// notice is how long this receiver may be silent before that is shown: it may be one that sends every 5 s.
func (s *silence) notice() time.Duration { return min(max(silentNotice, s.gap()*3/2), s.limit()) }

// limit is how long it may be silent before the port is opened again.
func (s *silence) limit() time.Duration { return s.most }

// deadline is when a read that gets nothing has to return; zero is never.
func (s *silence) deadline() time.Time {
	switch {
	case s.open:
		return s.last.Add(s.quiet)
	case s.finite:
		return time.Time{}
	case !s.reported:
		return s.last.Add(s.notice())
	}
	if now := time.Now(); now.Sub(s.asked) >= elsewhereEvery {
		s.asked = now
	}
	if next, end := s.asked.Add(elsewhereEvery), s.last.Add(s.limit()); source.Earlier(next, end) {
		return next
	} else {
		return end
	}
}

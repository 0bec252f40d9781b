package receiver

import "time"

// silence tells how long a stream says nothing, and when to do something about it: to end a burst, to show that the port is
// silent, to look for the receiver at another port, to open the port again.
type silence struct {
	quiet, most time.Duration // Config.Quiet, Config.Silence
	finite      bool          // a source with an end is never given up, it may pause as long as it likes
	elsewhere   func() bool   // as in stream

	last  time.Time // when bytes came
	open  bool      // bytes have come since the last Quiet
	told  bool      // the silence was shown
	asked time.Time // elsewhere, last
	gaps  [2]time.Duration
}

// silentNotice is after which silence a port is shown to be silent: below 2 s, and more than a receiver needs that sends once
// a second and now and then thinks for a while.
const silentNotice = 1900 * time.Millisecond

// end takes note that bytes came.
func (s *silence) end(now time.Time) {
	if !s.open {
		s.gaps = [2]time.Duration{now.Sub(s.last), s.gaps[0]}
	}
	s.open, s.told, s.last = true, false, now
}

// notice is how long this receiver may be silent: it may be one that sends every 5 s. Of its last two gaps the shorter one
// counts, as the other may have been an outage.
func (s *silence) notice() time.Duration {
	return min(max(silentNotice, min(s.gaps[0], s.gaps[1])*3/2), s.most)
}

// deadline is when a read that gets nothing has to come back; zero is never.
func (s *silence) deadline() time.Time {
	switch {
	case s.open:
		return s.last.Add(s.quiet)
	case s.finite:
		return time.Time{}
	case !s.told:
		return s.last.Add(s.notice())
	case s.elsewhere == nil:
		return s.last.Add(s.most)
	}
	// Ask again in a second.
	if now := time.Now(); now.Sub(s.asked) >= leaveEvery {
		s.asked = now
	}
	return earliest(s.asked.Add(leaveEvery), s.last.Add(s.most))
}

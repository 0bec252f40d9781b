package uplink

import (
	"slices"
	"time"
)

// A server may swallow one record for ever and echo all others: a consumer that
// leaves out what it does not like does. Its loss shows each time, by the echo
// of a later record. Sent again at once each time, it would halve the window
// each time too, and hold it at the bottom.
//
// So a record that is lost again and again is sent more and more rarely, and
// says nothing about the window any more. After enough of that it is set aside.
// A loss counts when it was shown by the echo of a record behind it on the same
// connection, one that had not been sent before, and when no record at all was
// lost for the first time since it was lost the last time. So an outage counts
// for nothing, because it has no echoes; nor does a server that is overrun,
// because it loses new records too; nor what goes on among records that are all
// being sent again.
const (
	// patienceLost is the number of losses, the first and those without a first
	// loss of another record beside them, after which a record is no more sent
	// again at once.
	patienceLost = 4
	// swallowedCounts convict. Most of them are holdMost apart.
	swallowedCounts = 8
	// holdFirst and holdMost are the pauses before a record that was lost again
	// is sent again; they double. All together are some minutes, so that no
	// short trouble of a server makes up the whole number.
	holdFirst = time.Second
	holdMost  = 30 * time.Second
)

// suspect reports whether a record is sent rarely because it was lost so often.
func (f flight) suspect() bool { return f.losses > patienceLost }

// suspects is how many of them are on their way. They get half of the window: a
// window full of them would have no echo.
func (w *window) suspects() (n int) {
	for _, f := range w.flights {
		if f.suspect() {
			n++
		}
	}
	return n
}

// missed enters records whose loss the echo of a later one, the witness, has just
// shown, and reports whether that is news about the window.
func (w *window) missed(gap []flight, witness flight, now time.Time) (news bool) {
	first := slices.ContainsFunc(gap, func(f flight) bool { return f.losses == 0 })
	if first {
		w.firstLoss = now
	}
	for _, f := range gap {
		if f.losses > 0 && !witness.again && !w.firstLoss.After(f.lostAt) {
			f.counts++
		}
		if f.losses == 0 || !first {
			f.losses++ // beside a first loss it may be one burst
		}
		f.lostAt = now
		if f.suspect() {
			f.hold = now.Add(min(holdFirst<<min(f.losses-patienceLost-1, 10), holdMost))
		} else if f.n > w.recover {
			news = true
		}
		f.again, f.repeat = true, false
		w.lost = append(w.lost, f)
	}
	return news
}

// held is when the first record that is held back may be sent again, and
// whether one is due by now.
func (w *window) held(now time.Time) (next time.Time, due bool) {
	for _, f := range w.lost {
		switch {
		case !now.Before(f.hold):
			due = true
		case next.IsZero() || f.hold.Before(next):
			next = f.hold
		}
	}
	return next, due
}

// swallowed returns the records that have been lost too often.
func (w *window) swallowed() (found []flight) {
	for _, f := range w.lost {
		if f.counts >= swallowedCounts {
			found = append(found, f)
		}
	}
	return found
}

// convict sets records aside that the server has swallowed too often.
func (s *session) convict(swallowed []flight) {
	if s.u.c.Quarantine == nil {
		return
	}
	for _, f := range swallowed {
		s.u.quarantine(f, "server echoes others sent before and behind it, and never this one")
	}
}

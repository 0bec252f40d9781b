package pipeline

import (
	"slices"
	"time"
)

// restMargin is how long before the next fix is due its bytes are read again. It covers a receiver that is earlier than
// recently; a system that wakes up late would do so for the bytes too. During it the reader wakes up for every piece, which at
// 115200 baud and more is every millisecond or so.
const restMargin = 2 * time.Millisecond

const (
	// rhythmLeast is how many steps from fix to fix make a rhythm: enough to see that a recording is played faster. Until then each
	// fix costs what twenty do later.
	rhythmLeast = 4
	// rhythmMost is of how many of the last fixes the least delay counts: on a busy machine not all are late.
	rhythmMost = 16
)

// rhythm predicts when the next fix is complete, whichever sentence ends an epoch: fixes come as regularly as the receiver's
// own clock runs, each some time after the time that it states. Nothing that comes between two of them is needed before the
// second is due. A fix that is late, as on a machine under load or when a sentence was lost, does not disturb it: the least
// delay of the last ones counts. A clock that does not run as this machine's does, as in a recording that is played faster,
// makes no rhythm.
type rhythm struct {
	began, first time.Time       // when the first fix was complete, and the receiver's time in it
	stated       time.Duration   // the receiver's time in the last one, from first
	steps        []time.Duration // from fix to fix, by the receiver's time; a change of rate is seen in one
	delays       []time.Duration // of each, how much later than the first it was, by its time
}

// fix notes a fix that is complete and states a time. Without a time there is no rhythm.
func (r *rhythm) fix(stated, now time.Time) {
	switch {
	case stated.IsZero():
		*r = rhythm{}
	case r.began.IsZero():
		*r = rhythm{began: now, first: stated, delays: []time.Duration{0}}
	default:
		before := r.stated
		r.stated = stated.Sub(r.first)
		r.steps = lastOf(r.steps, r.stated-before)
		r.delays = lastOf(r.delays, now.Sub(r.began)-r.stated)
	}
}

// lastOf appends to the last of some durations.
func lastOf(all []time.Duration, d time.Duration) []time.Duration {
	if len(all) == rhythmMost {
		all = slices.Delete(all, 0, 1)
	}
	return append(all, d)
}

// rest is how long nothing is needed if the next fix is as early as the earliest of the last ones. It is zero or less without a
// rhythm.
func (r *rhythm) rest(now time.Time) time.Duration {
	n := len(r.delays) - 1
	if n < rhythmLeast {
		return 0
	}
	step := slices.Min(r.steps)
	if drift := r.delays[n] - r.delays[0]; drift.Abs() >= time.Duration(n)*step/2 {
		return 0
	}
	due := r.stated + step + slices.Min(r.delays)
	return due - restMargin - now.Sub(r.began)
}

package pipeline

import (
	"slices"
	"time"
)

// A fix whose bytes are read when all of them have come costs one wake-up; one that is waited for costs one for each piece that the
// line hands on, which at 115200 baud and more is every few milliseconds. So the bytes are read lookAfter the fix is due. Those of
// the first ones and of some later ones are read earlier, to see when it comes.
const (
	// lookAfter is what a fix is late for that. USB collects bytes for as long: its frames are of 1 ms.
	lookAfter = time.Millisecond
	// lookBefore covers a receiver that is earlier than recently; a system that wakes up late would do so for the bytes too.
	lookBefore = 2 * time.Millisecond
	// lookBeforeEvery is for how many fixes one look before suffices that has seen a fix come. It is less than rhythmMost, so that
	// this one is still among those whose earliest counts when some of the next looks see none.
	lookBeforeEvery = 12
)

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
	look         time.Duration   // when the bytes of the next one are to be read, from began; zero without a rhythm
	before       bool            // that is before it is due
	unseen       int             // fixes since one was waited for and came when it was due
}

// fix notes a fix that is complete and states a time. Without a time there is no rhythm.
func (r *rhythm) fix(stated, now time.Time) {
	switch {
	case stated.IsZero():
		*r = rhythm{}
	case r.began.IsZero():
		*r = rhythm{began: now, first: stated, delays: []time.Duration{0}}
	default:
		came, before := now.Sub(r.began), r.stated
		r.stated = stated.Sub(r.first)
		r.steps = lastOf(r.steps, r.stated-before)
		r.delays = lastOf(r.delays, came-r.stated)
		r.unseen++
		if due := r.look + lookBefore; r.look == 0 || r.before && came > due-lookBefore/2 && came <= due+lookAfter {
			r.unseen = 0
		}
		r.before = r.unseen >= lookBeforeEvery-1 || len(r.delays) < rhythmMost // the earliest of a few is not early
		r.look = r.next()
	}
}

// lastOf appends to the last of some durations.
func lastOf(all []time.Duration, d time.Duration) []time.Duration {
	if len(all) == rhythmMost {
		all = slices.Delete(all, 0, 1)
	}
	return append(all, d)
}

// next is when the bytes of the next fix are to be read if it is as early as the earliest of the last ones.
func (r *rhythm) next() time.Duration {
	n := len(r.delays) - 1
	if n < rhythmLeast {
		return 0
	}
	step := slices.Min(r.steps)
	if drift := r.delays[n] - r.delays[0]; drift.Abs() >= time.Duration(n)*step/2 {
		return 0
	}
	due := r.stated + step + slices.Min(r.delays)
	if r.before {
		return due - lookBefore
	}
	return due + lookAfter
}

// rest is how long nothing is needed. It is zero or less without a rhythm.
func (r *rhythm) rest(now time.Time) time.Duration {
	if r.look == 0 {
		return 0
	}
	return r.look - now.Sub(r.began)
}

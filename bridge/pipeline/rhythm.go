package pipeline

import (
	"slices"
	"time"
)

// restMargin is how long before the next fix is due its bytes are read again. It covers a receiver that is earlier than
// recently; a system that wakes up late would do so for the bytes too. During it the reader wakes up for every piece, which at
// 115200 baud and more is every millisecond or so.
const restMargin = 2 * time.Millisecond

// rhythmFixes is the number of fixes that make a rhythm.
const rhythmFixes = 16

// rhythm predicts when the next fix is complete, whichever sentence ends an epoch: fixes come as regularly as the receiver's
// own clock runs, each some time after the time that it states. Nothing that comes between two of them is needed before the
// second is due. A fix that is late, as on a machine under load or when a sentence was lost, does not disturb it: the least
// delay of the last ones counts. A clock that does not run as this machine's does, as in a recording that is played faster,
// makes no rhythm.
type rhythm struct {
	began, first time.Time                  // when the first fix was complete, and the receiver's time in it
	stated       time.Duration              // the receiver's time in the last one, from first
	steps        [rhythmFixes]time.Duration // from fix to fix, by the receiver's time; a change of rate is seen in one
	delays       [rhythmFixes]time.Duration // of each, how much later than the first it was, by its time
	drift        time.Duration              // how much more the newest is delayed than the one rhythmFixes earlier
	fixes        int
}

// fix notes a fix that is complete and states a time. Without a time there is no rhythm.
func (r *rhythm) fix(stated, now time.Time) {
	if stated.IsZero() || r.fixes == 0 {
		*r = rhythm{began: now, first: stated}
	}
	if stated.IsZero() {
		return
	}
	i, before := r.fixes%rhythmFixes, r.stated
	r.stated = stated.Sub(r.first)
	delay := now.Sub(r.began) - r.stated
	r.drift = delay - r.delays[i]
	r.steps[i], r.delays[i] = r.stated-before, delay
	r.fixes++
}

// rest is how long nothing is needed if the next fix is as early as the earliest of the last ones. It is zero or less without a
// rhythm.
func (r *rhythm) rest(now time.Time) time.Duration {
	if r.fixes <= rhythmFixes {
		return 0 // the first has no step
	}
	step := slices.Min(r.steps[:])
	if r.drift.Abs() > rhythmFixes*step/2 {
		return 0
	}
	due := r.stated + step + slices.Min(r.delays[:])
	return due - restMargin - now.Sub(r.began)
}

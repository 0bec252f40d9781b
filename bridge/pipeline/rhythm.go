package pipeline

import (
	"slices"
	"time"
)

// restMargin is how long before the next fix is due its bytes are read again. It covers a receiver that is earlier than it
// has lately been; a system that wakes late would do so for the bytes too. In it, bytes wake the reader as they come, which
// at 115200 baud and more is every millisecond or so.
const restMargin = 2 * time.Millisecond

// rhythmFixes is of how many fixes a rhythm consists.
const rhythmFixes = 16

// rhythm is when fixes leave, by whatever sentence ends an epoch: as regularly as the receiver's own clock goes, and each
// some time behind what that says. Nothing that comes between two of them is needed before the second is due. A fix that is
// late, as on a machine under load or when a sentence was lost, does not disturb it: the least delay of the last ones counts.
// A clock that does not go as ours does, as in a recording that is played faster, is no rhythm.
type rhythm struct {
	began, first time.Time                  // when the first fix left, and the receiver's time in it
	told         time.Duration              // the receiver's time in the last one, from first
	steps        [rhythmFixes]time.Duration // from fix to fix, by the receiver's time; a change of rate is seen in one
	delays       [rhythmFixes]time.Duration // how much later than the first each left, by its time
	drift        time.Duration              // how much more the newest is delayed than the one rhythmFixes before
	fixes        int
}

// fix notes that one leaves which tells a time. Without a time there is no rhythm.
func (r *rhythm) fix(told, now time.Time) {
	if told.IsZero() || r.fixes == 0 {
		*r = rhythm{began: now, first: told}
	}
	if told.IsZero() {
		return
	}
	i, before := r.fixes%rhythmFixes, r.told
	r.told = told.Sub(r.first)
	delay := now.Sub(r.began) - r.told
	r.drift = delay - r.delays[i]
	r.steps[i], r.delays[i] = r.told-before, delay
	r.fixes++
}

// rest is how long nothing is needed, should the next fix leave as soon as any of the last did. It is zero or less without
// a rhythm.
func (r *rhythm) rest(now time.Time) time.Duration {
	if r.fixes <= rhythmFixes {
		return 0 // the first has no step
	}
	step := slices.Min(r.steps[:])
	if r.drift.Abs() > rhythmFixes*step/2 {
		return 0
	}
	due := r.told + step + slices.Min(r.delays[:])
	return due - restMargin - now.Sub(r.began)
}

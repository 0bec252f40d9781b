package bridge

import (
	"slices"
	"time"
)

// restMargin is how long before the next fix is due its bytes are read again. It covers a receiver that is earlier than it
// has lately been, and a system that wakes late; in it, bytes wake the reader as they come.
const restMargin = 5 * time.Millisecond

// rhythm is when fixes leave: as regularly as the receiver sends, by whatever sentence ends an epoch. Nothing that comes
// between two of them is needed before the second is due.
type rhythm struct {
	last  time.Time
	gaps  [16]time.Duration // between the last fixes; a change of rate is learned in as many
	fixes int
}

// fix notes that one leaves.
func (r *rhythm) fix(now time.Time) {
	r.gaps[r.fixes%len(r.gaps)] = now.Sub(r.last)
	r.last = now
	r.fixes++
}

// rest is how long nothing is needed after the last fix, should the next follow as soon as any of the last did. It is zero
// or less without a rhythm.
func (r *rhythm) rest() time.Duration {
	if r.fixes <= len(r.gaps) {
		return 0 // the first gap is none
	}
	return slices.Min(r.gaps[:]) - restMargin
}

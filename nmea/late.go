package nmea

import (
	"slices"
	"time"
)

// stands tells whether a new epoch begins though the clock does not run: the
// sentence that began the latest one came again with the same time. Without a
// fix that is enough, if only something came between. With a fix it may be a copy
// of the sentence; a receiver that goes on like this has lost its fix and repeats
// the last one, which gpsd takes for none too.
func (a *Assembler) stands(r *reading, between, fix bool) bool {
	if !fix && r.verdict == void {
		return between
	}
	a.repeats++
	return a.repeats >= copies
}

// late tells whether r belongs to an epoch that is closed. One that is answered
// with late sentences alone was no such thing: the source plays in a loop.
func (a *Assembler) late(r *reading) bool {
	i := slices.IndexFunc(a.closed[:a.nclosed], func(stamp time.Duration) bool { return near(stamp, r.tod) })
	if i == 0 && !a.epoch.open && originOf(r) == a.last && a.stands(r, true, a.lastFix) {
		return false
	}
	if i == 0 && !a.epoch.open { // so does what follows
		a.resumed, a.heads = true, false
		if a.lastFix && r.verdict == valid && r.date != (date{}) {
			a.calendar.set(r.date)
		}
	}
	if i < 0 || a.lateRun >= maxLate {
		a.lateRun = 0
		return false
	}
	a.lateRun++
	return true
}

// near tells whether two stamps are of one epoch.
func near(a, b time.Duration) bool { return a-b <= sameStamp && b-a <= sameStamp }

// backward tells whether b lies before a, seen over midnight.
func backward(a, b time.Duration) bool {
	d := forward(a, b)
	return d > wrap
}

// pause learns whether the receiver pauses in the middle of its epochs: sentences
// of an epoch come after the Flush that closed it.
func (a *Assembler) pause(inside bool) {
	if inside {
		a.pauses = min(a.pauses+1, 2*confirmations)
	} else {
		a.pauses = max(a.pauses-1, 0)
	}
}

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
	return a.repeats >= a.allowed
}

// goesOn notes that r is the first sentence with another time. When its like came
// many times within the second before, the receiver sends faster than it tells
// the time, and its clock does not stand.
func (a *Assembler) goesOn(r *reading) {
	if a.repeats >= copies && forward(a.now(), r.tod) <= time.Second+jitter {
		a.allowed = min(max(a.allowed, 2*a.repeats+2), maxCopies)
	}
	a.repeats = 0
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

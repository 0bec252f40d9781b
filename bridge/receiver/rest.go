package receiver

import "time"

// Rester is a Consumer that knows when it needs nothing for a while, as between two fixes. Nothing that comes meanwhile is
// lost, it is only late; and it is read with one waking of the process instead of one for every few bytes.
type Rester interface {
	// Rest is asked after each Data: for how long may what comes wait? Zero or less: it may not.
	Rest() time.Duration
}

const (
	// leastRest: a rest costs about what two wakings do, and a line at 115200 baud wakes every few milliseconds.
	leastRest = 10 * time.Millisecond
	// maxRest is how late anything may be, and the end of a burst noticed. It is a period at 10 Hz, and leaves most of the pause
	// of a receiver at 1 Hz, of which DefaultQuiet has to be seen. Ten wakings a second cost next to nothing.
	maxRest = 100 * time.Millisecond
)

// rests are those of a reader of a line. The zero value takes none.
type rests struct {
	consumer Rester
	line     rester
	rested   bool // before what was read last
}

func newRests(s stream, c Consumer) rests {
	consumer, ok := c.(Rester)
	if !ok || s.rester == nil {
		return rests{}
	}
	return rests{consumer: consumer, line: s.rester}
}

// after says until when to rest, if at all, when n bytes were read.
func (r *rests) after(n int, now time.Time) (until time.Time, ok bool) {
	if r.rested && n >= lineBuffer/2 {
		r.line = nil // it is faster than its speed says, as a USB port may be: another rest could be too long
	}
	if r.line == nil {
		return time.Time{}, false
	}
	d := min(r.consumer.Rest(), r.line.mostRest(), maxRest)
	r.rested = d >= leastRest
	return now.Add(d), r.rested
}

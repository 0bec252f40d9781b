package receiver

import (
	"time"

	"gpsbridge/bridge/receiver/source"
)

const (
	// leastRest: a rest costs about what two wake-ups do, and a line at 115200 baud causes one every few milliseconds.
	leastRest = 10 * time.Millisecond
	// maxRest is how late anything but a fix may be, and the end of a burst noticed; less than DefaultQuiet. A receiver
	// at 9600 baud costs 55 system calls an epoch with 100 ms.
	maxRest = 200 * time.Millisecond
	// restMargin is what is left of a pause between a rest with the quiet after it, and the next burst.
	restMargin = 10 * time.Millisecond
	// backlog is what a read after a rest brings at the most where the rest was not too long: half of what the kernel keeps of
	// a line that is not read (n_tty, 4096 bytes).
	backlog = 2048
)

// rests decides how long a stream is left alone.
type rests struct {
	stream   source.Stream
	consumer Consumer
	rested   bool // before what was read last
	never    bool
}

// after returns until when to rest, if at all, when n bytes were read. The end of the burst may be noticed late by spare.
func (r *rests) after(n int, now time.Time, spare time.Duration) (until time.Time, ok bool) {
	if r.rested && n >= backlog {
		r.never = true // it is faster than its speed, as a USB port may be: another rest could be too long
	}
	if r.never {
		return time.Time{}, false
	}
	d := min(r.consumer.Rest(), r.stream.MostRest(), spare, maxRest)
	r.rested = d >= leastRest
	return now.Add(d), r.rested
}

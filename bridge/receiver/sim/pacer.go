package sim

import "time"

// pacer knows when bytes are on the line. All of it counts from one moment, so nothing drifts.
type pacer struct {
	origin time.Time     // by this machine's clock
	first  time.Time     // by the receiver's clock: the epoch that is sent at origin
	byteAt time.Duration // how long a byte takes; 0 for a line without limit
	chunk  int           // bytes that are written together

	free  time.Time // when the line has sent all that it was given
	count int       // bytes since from
	from  time.Time
}

// chunkTime is how long the bytes that are written together take: coarse enough that a slow machine keeps up, fine enough
// that for a reader it is as a UART's FIFO (16 bytes at 9600 baud take 17 ms).
const chunkTime = 10 * time.Millisecond

// lateMost is how much later than it is due an epoch is still sent.
const lateMost = 2 * time.Second

func newPacer(c Config, now time.Time) *pacer {
	p := &pacer{origin: now, first: c.Start, chunk: 1 << 20}
	p.speed(c.Baud)
	// A receiver that shows the current time sends each epoch when it is.
	if ahead := c.Start.Sub(now); ahead > 0 && ahead <= time.Second {
		p.origin = now.Add(ahead)
	}
	return p
}

// speed sets the speed of the line; 0 leaves it without limit.
func (p *pacer) speed(baud int) {
	if baud > 0 {
		p.byteAt = 10 * time.Second / time.Duration(baud)
		p.chunk = max(int(chunkTime/p.byteAt), 1)
	}
}

// start is when an epoch is due, by this machine's clock.
func (p *pacer) start(epoch time.Time) time.Time {
	return p.origin.Add(epoch.Sub(p.first))
}

func (p *pacer) late(due, now time.Time) bool {
	return now.Sub(due) > lateMost
}

// begin starts a burst at due, or when the line is free.
func (p *pacer) begin(due time.Time) {
	p.from, p.count = due, 0
	if p.free.After(due) {
		p.from = p.free
	}
}

// sent counts n more bytes of the burst and returns when they have been sent.
func (p *pacer) sent(n int) time.Time {
	p.count += n
	p.free = p.from.Add(time.Duration(p.count) * p.byteAt)
	return p.free
}

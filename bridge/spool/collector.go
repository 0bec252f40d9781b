package spool

import (
	"math"
	"sync"
	"time"
)

// Collector is a Reader for a consumer that is to get records together: it shows them when the first of them has waited for a batch,
// or at once where one comes that is not to wait. They are in the spool as ever. What the consumer measures begins with what it
// is shown, so it knows nothing of the waiting. The methods may be called from several goroutines.
type Collector struct {
	*Reader
	may func() bool

	mu    sync.Mutex
	batch time.Duration // 0: everything is shown
	shown uint64        // position up to which
	timer *time.Timer   // nil while nothing is held back
	late  time.Duration // see Late
}

// everything is a position behind all.
const everything = math.MaxUint64

// NewCollector returns a Collector that holds records back for a batch at the most, 0 for not at all. What comes while the consumer
// may not be kept waiting is shown at once: the function reports whether it may. What the spool holds already is shown too.
func NewCollector(r *Reader, may func() bool, batch time.Duration) *Collector {
	c := &Collector{Reader: r, may: may}
	c.Collect(batch)
	return c
}

// Collect changes for how long records are held back. Those that are held back are shown.
func (c *Collector) Collect(batch time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batch = batch
	c.Reader.Late(c.late + batch)
	c.show()
}

// Kept is to be called after each Append. A record that is to be shown at once takes along what is held back.
func (c *Collector) Kept(atOnce bool) {
	atOnce = atOnce || !c.may()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.batch == 0:
	case atOnce:
		c.show()
	case c.timer == nil:
		c.timer = time.AfterFunc(c.batch, c.Release)
	}
}

// Release shows what is held back.
func (c *Collector) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.show()
}

// show is Release. mu is held.
func (c *Collector) show() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.shown = c.Reader.Last()
	if c.batch == 0 {
		c.shown = everything
	}
	s := c.Reader.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal()
}

// Held is the number of records that are held back, and for how long they are at the most.
func (c *Collector) Held() (records uint64, batch time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.Reader.Last()
	return last - min(c.shown, last), c.batch
}

// Next is that of a Reader to which nothing was appended after what is shown.
func (c *Collector) Next(after uint64) (pos uint64, data []byte, err error) {
	c.mu.Lock()
	shown := c.shown
	c.mu.Unlock()
	if after >= shown {
		return 0, nil, nil
	}
	if pos, data, err = c.Reader.Next(after); pos > shown {
		return 0, nil, err
	}
	return pos, data, err
}

// Last is the position of the newest record that is shown.
func (c *Collector) Last() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return min(c.shown, c.Reader.Last())
}

// Late is that of the Reader, besides what the holding back takes.
func (c *Collector) Late(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = by
	c.Reader.Late(by + c.batch)
}

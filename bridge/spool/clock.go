package spool

import (
	"slices"
	"time"
)

// Records carry the system's clock of the moment when they were appended. That clock may be set at any time: a small
// board without a battery boots in the past and learns the time minutes later. So how long ago a record of this run was
// appended is computed from the time that has passed since the spool was opened, and the stamps are read as offsets of that.

const (
	// step is by how much the clock must differ from the time that has passed to have been set: a tenth of DefaultSync,
	// which is the shortest time that depends on it.
	step = DefaultSync / 10
	// maxSettings bounds what is remembered of it. A clock that is being slewed is set once in some minutes.
	maxSettings = 64
)

// sane is when this format was not there yet, in Unix ms: a clock that reads less was not set.
var sane = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// clock stamps records and computes their age.
type clock struct {
	opened   time.Time // read for the time that has passed alone
	settings []setting // in the order of their positions
}

// setting is where the clock stood when records were stamped.
type setting struct {
	from uint64 // position of the first of them
	zero int64  // what the clock would have read when the spool was opened, in Unix ms
}

// stamp returns the time of a record that is appended at a position, in Unix ms.
func (c *clock) stamp(pos uint64, wall time.Time) int64 {
	at := wall.UnixMilli()
	now := setting{pos, at - time.Since(c.opened).Milliseconds()}
	n := len(c.settings)
	if n > 0 && c.settings[n-1].from == pos { // which could not be appended
		n--
	}
	c.settings = c.settings[:n]
	if n == 0 || apart(c.settings[n-1], now) > step.Milliseconds() {
		c.settings = append(c.settings, now)
	}
	if len(c.settings) > maxSettings {
		c.forget()
	}
	return at
}

// forget takes out the setting that differs least from the one before.
func (c *clock) forget() {
	least := 1
	for i := 2; i < len(c.settings); i++ {
		if apart(c.settings[i-1], c.settings[i]) < apart(c.settings[least-1], c.settings[least]) {
			least = i
		}
	}
	c.settings = slices.Delete(c.settings, least, least+1)
}

func apart(a, b setting) int64 { return max(a.zero-b.zero, b.zero-a.zero) }

// age returns how long ago a record was appended that was stamped so. Of an earlier run it is by the system's clock; where
// that, or the stamp, cannot be right it is the time since the spool was opened: it is that at the least.
func (c *clock) age(pos uint64, at int64, wall time.Time) time.Duration {
	open := time.Since(c.opened)
	for _, s := range slices.Backward(c.settings) {
		if pos >= s.from {
			return max(0, open-time.Duration(at-s.zero)*time.Millisecond)
		}
	}
	now := wall.UnixMilli()
	if at < sane || now < sane {
		return open
	}
	return max(open, time.Duration(now-at)*time.Millisecond)
}

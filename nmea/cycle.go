package nmea

import "time"

const (
	// confirmations is how many epochs a sentence is waited for after it last
	// added something, and how many times it may be missed in a row.
	confirmations = 3
	// jitter is how much two intervals may differ and still be the same.
	jitter = 15 * time.Millisecond
	// maxMembers bounds the cycle; receivers have at most a dozen.
	maxMembers = 24
)

// member is a sentence of the receiver's cycle, by its kind and its number
// among those of the kind within the epoch.
type member struct {
	kind   kind
	number uint8

	here     bool          // arrived in the open epoch
	added    bool          // and added something
	before   bool          // arrived in an earlier one
	last     time.Duration // stamp of that
	epoch    int           // and its number
	interval time.Duration // between its epochs; 0 when it comes in every one
	previous time.Duration // the latest difference of its stamps
	adds     int8          // epochs for which it is still waited
	missed   int8          // epochs in a row in which it was waited for in vain
}

// cycle learns which sentences of this receiver add to a fix, and how often
// each comes. A fix may leave when those that are due have arrived, in whatever
// order. What is learned is lost again when the receiver stops confirming it.
type cycle struct {
	learned int           // epochs
	stamp   time.Duration // of the latest one
	base    time.Duration // between that and the one before
	members []member
}

// note records that a sentence arrived in the open epoch, and whether it added.
func (c *cycle) note(k kind, number uint8, added bool) {
	for i := range c.members {
		if m := &c.members[i]; m.kind == k && m.number == number {
			m.here = true
			m.added = m.added || added
			return
		}
	}
	if len(c.members) < maxMembers {
		c.members = append(c.members, member{kind: k, number: number, here: true, added: added, adds: 1})
	}
}

// due tells whether the member is to be waited for in the epoch of stamp. One
// that comes less often than the epochs is due when a multiple of its interval
// has passed, give or take half an epoch.
func (c *cycle) due(m *member, stamp time.Duration) bool {
	if m.adds <= 0 || m.missed >= confirmations {
		return false
	}
	if m.interval == 0 {
		return true
	}
	since := forward(m.last, stamp) % m.interval
	return since < c.base/2 || m.interval-since < c.base/2
}

// forward returns the time from a to b, over midnight when need be.
func forward(a, b time.Duration) time.Duration {
	if b < a {
		b += day
	}
	return b - a
}

// complete tells whether every member that is due in the epoch of stamp has
// arrived. Before a first epoch was learned nothing is complete.
func (c *cycle) complete(stamp time.Duration) bool {
	if c.learned == 0 {
		return false
	}
	some := false
	for i := range c.members {
		m := &c.members[i]
		switch {
		case m.here:
			some = some || m.adds > 0
		case c.due(m, stamp):
			return false
		}
	}
	return some
}

// learn closes the epoch of stamp. An epoch without a fix shows when sentences
// come, but not what they would add to a fix.
func (c *cycle) learn(stamp time.Duration, fix bool) {
	c.base, c.stamp = forward(c.stamp, stamp), stamp
	for i := range c.members {
		m := &c.members[i]
		if m.here {
			c.arrived(m, stamp)
			switch {
			case fix && m.added && c.learned > 0:
				m.adds = confirmations
			case fix && m.added:
				m.adds = 1 // the first epoch may be the end of one
			case fix && m.adds > 0:
				m.adds--
			}
		} else if c.due(m, stamp) {
			c.miss(m)
		}
		m.here, m.added = false, false
	}
	c.learned++
}

// arrived learns how often the member comes. One that was in the epoch before
// comes in every one. Another interval must be seen twice in a row: once is a
// lost sentence.
func (c *cycle) arrived(m *member, stamp time.Duration) {
	d := forward(m.last, stamp)
	switch {
	case !m.before:
	case m.epoch == c.learned-1:
		m.interval = 0
	case d < m.interval-jitter, d-m.previous < jitter && m.previous-d < jitter:
		m.interval = d
	}
	m.previous, m.last, m.epoch, m.missed, m.before = d, stamp, c.learned, 0, true
}

// miss notes that the member was waited for in vain. When a fast receiver stops
// sending a sentence in every epoch, once a second is what to expect.
func (c *cycle) miss(m *member) {
	m.missed++
	if m.missed == confirmations && m.interval == 0 && c.base <= time.Second/2 {
		m.interval, m.missed = time.Second, 0
	}
}

// forget drops what arrived in the open epoch and everything learned.
func (c *cycle) forget() { *c = cycle{members: c.members[:0]} }

package nmea

import "time"

const (
	// confirmations is how many epochs a sentence is waited for after it last
	// added something, and how many times it may be missed in a row.
	confirmations = 3
	// phase is how far a stamp may be off a member's interval: less than half an
	// epoch at 25 Hz, more than sameStamp.
	phase = 15 * time.Millisecond
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
	last     time.Duration // stamp of its latest epoch
	interval time.Duration // between its epochs; 0 when not yet known
	previous time.Duration // the latest difference of its stamps
	adds     int8          // epochs for which it is still waited
	missed   int8          // epochs in a row in which it was waited for in vain
}

// cycle learns which sentences of this receiver add to a fix, and how often
// each comes. A fix may leave when those that are due have arrived, in whatever
// order. What is learned is lost again when the receiver stops confirming it.
type cycle struct {
	learned int // epochs
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

// due tells whether the member is to be waited for in the epoch of stamp.
func (m *member) due(stamp time.Duration) bool {
	if m.adds <= 0 || m.missed >= confirmations {
		return false
	}
	if m.interval <= 0 {
		return true
	}
	since := forward(m.last, stamp) % m.interval
	return since < phase || m.interval-since < phase
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
		case m.due(stamp):
			return false
		}
	}
	return some
}

// learn closes the epoch of stamp. An epoch without a fix shows when sentences
// come, but not what they would add to a fix.
func (c *cycle) learn(stamp time.Duration, fix bool) {
	for i := range c.members {
		m := &c.members[i]
		if m.here {
			m.arrived(stamp)
			switch {
			case fix && m.added && c.learned > 0:
				m.adds = confirmations
			case fix && m.added:
				m.adds = 1 // the first epoch may be the end of one
			case fix && m.adds > 0:
				m.adds--
			}
		} else if m.due(stamp) {
			m.missed++
		}
		m.here, m.added = false, false
	}
	c.learned++
}

// arrived learns the member's interval from the stamp of its latest epoch: the
// shortest difference, or a longer one that comes twice in a row.
func (m *member) arrived(stamp time.Duration) {
	if m.last != 0 || m.previous != 0 {
		d := forward(m.last, stamp)
		if m.interval == 0 || d < m.interval-phase || d-m.previous < phase && m.previous-d < phase {
			m.interval = d
		}
		m.previous = d
	}
	m.last, m.missed = stamp, 0
}

// forget drops what arrived in the open epoch and everything learned.
func (c *cycle) forget() { *c = cycle{members: c.members[:0]} }

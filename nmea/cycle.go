package nmea

import (
	"slices"
	"time"
)

const (
	// confirmations is how many epochs a sentence is waited for after it last added something.
	confirmations = 3
	// maxMissed is how many times in a row a sentence is waited for in vain, and of how many of its intervals the shortest counts:
	// a longer one is a loss, unless it repeats. At 5 % of losses six in a row happen once in a year of 1 Hz.
	maxMissed = 6
	// jitter is how much two intervals may differ and still be the same.
	jitter = 15 * time.Millisecond
	// maxMembers bounds the cycle; receivers have at most a dozen. They are bits of an uint32.
	maxMembers = 24
	// sure is the number of votes that make the place of a sentence between two epochs certain, and maxVotes bounds them, so
	// that what has changed is learned again.
	sure     = 2
	maxVotes = 4
)

// member is a sentence of the receiver's cycle, by its kind and its number among those of the kind since the first sentence
// of the epoch.
type member struct {
	kind   kind
	number int

	here   bool                     // arrived in the open epoch
	added  bool                     // and added something
	states uint32                   // quantities, when it came last
	before bool                     // arrived in an earlier one
	last   time.Duration            // stamp of that
	gaps   [maxMissed]time.Duration // the latest differences of its stamps, 0 from one epoch to the next
	every  time.Duration            // the shortest of them
	adds   int8                     // epochs for which it is still waited
	missed int8                     // epochs in a row in which it was waited for in vain

	votes int8 // for a place in the epoch before (above 0) or after (below 0) when it stands between two
	head  bool // is taken to be of the epoch after

	earlier uint32 // members that came before it, each as of the latest round in which both came; a round goes from one epoch's
	// first sentence with a time or a position to the next one's
	now     uint32 // the same, of this round
	came    bool   // in this round, in its place or not
	strange int8   // rounds in a row in which it came out of its place
}

// cycle learns which sentences of this receiver add to a fix, how often each comes, and to which epoch those between two
// belong. A fix may leave when the sentences that are due have arrived, in whatever order. What is learned is lost again when
// the receiver stops confirming it.
type cycle struct {
	learned int           // epochs
	stamp   time.Duration // of the latest one
	base    time.Duration // between that and the one before
	members []member

	count   [kinds]int // sentences of each kind in this round
	arrived uint32     // members that came in this round, in their places
	over    bool       // a sentence came out of its place: the next round has begun, and its first sentence was lost
}

// begin ends a round and starts the next one. What came before the first epoch may be of several, and shows no order.
func (c *cycle) begin() {
	for i := range c.members {
		m := &c.members[i]
		if c.learned > 0 && c.arrived&(1<<i) != 0 {
			m.earlier = m.earlier&^c.arrived | m.now
			m.strange = 0
		} else if !m.came {
			m.strange = 0
		}
		m.came = false
	}
	c.count, c.arrived, c.over = [kinds]int{}, 0, false
}

// arrive counts a sentence and returns its member, none when there are too many, and whether it came in its place in the round.
func (c *cycle) arrive(k kind) (i int, inPlace bool) {
	c.count[k]++
	i = c.member(k, c.count[k])
	if i < 0 {
		return i, false
	}
	m := &c.members[i]
	m.came = true
	if c.misplaced(i) && m.strange < confirmations {
		m.strange++
		c.over = true
		return i, false
	}
	m.now = c.arrived
	c.arrived |= 1 << i
	return i, true
}

// member returns the place of a member, and adds it when it is new. It returns none when there are too many.
func (c *cycle) member(k kind, number int) int {
	for i := range c.members {
		if m := &c.members[i]; m.kind == k && m.number == number {
			return i
		}
	}
	if len(c.members) == maxMembers {
		return none
	}
	c.members = append(c.members, member{kind: k, number: number})
	return len(c.members) - 1
}

// misplaced reports whether a member comes after one that it used to precede, or once more than it used to: receivers do not
// change their order, so it is of the next round.
func (c *cycle) misplaced(i int) bool {
	m := &c.members[i]
	if m.kind.timed() || m.votes <= -sure {
		return false // its time shows it, or it is of the next round anyway
	}
	if c.over || m.number > 1 && m.earlier == 0 && c.learned >= confirmations {
		return true
	}
	for j := range c.members {
		if c.arrived&(1<<j) != 0 && c.members[j].earlier&(1<<i) != 0 {
			return true
		}
	}
	return false
}

// note records that a sentence was merged into the open epoch, what it states, and whether that added something.
func (c *cycle) note(i int, states uint32, added bool) {
	if i < 0 {
		return
	}
	m := &c.members[i]
	if !m.before && !m.here {
		m.adds = 1 // waited for once, whatever it adds
	}
	m.here, m.head, m.states = true, false, states
	m.added = m.added || added
}

// vote counts evidence for the place of a sentence between two epochs.
func (c *cycle) vote(i int, votes int8) {
	if i >= 0 {
		m := &c.members[i]
		m.votes = min(max(m.votes+votes, -maxVotes), maxVotes)
	}
}

// side returns to which epoch a sentence between two belongs: the one before (tail) or the one after, and whether that is
// certain. Where its own place is not known that of its neighbours may show it: what precedes a certain tail is one too, and
// what follows a certain head. Else it is assumed to be of the epoch before, unless a head follows.
func (c *cycle) side(i int) (tail, certain bool) {
	if i < 0 {
		return true, false
	}
	m := &c.members[i]
	m.head = false
	for j := range c.members {
		n := &c.members[j]
		follows := n.earlier&(1<<i) != 0
		if n.votes >= sure && (j == i || follows) {
			m.head = false
			return true, true
		}
		if n.votes > -sure {
			continue
		}
		if j == i || m.earlier&(1<<j) != 0 {
			m.head = true
			return false, true
		}
		m.head = m.head || follows
	}
	return !m.head, false
}

// due reports whether the member is to be waited for in the epoch of stamp, of which some quantities are known: it adds to them, and
// a multiple of its interval has passed, give or take half an epoch.
func (c *cycle) due(m *member, stamp time.Duration, known uint32) bool {
	if m.head || m.adds <= 0 && m.states&^known == 0 || m.missed >= maxMissed {
		return false
	}
	return m.every == 0 || (forward(m.last, stamp)+c.base/2)%m.every < c.base
}

// complete reports whether every member that is due in the epoch of stamp has arrived. Before a first epoch was learned
// nothing is complete.
func (c *cycle) complete(stamp time.Duration, known uint32) bool {
	if c.learned == 0 {
		return false
	}
	for i := range c.members {
		if m := &c.members[i]; !m.here && c.due(m, stamp, known) {
			return false
		}
	}
	return true
}

// learn closes the epoch of stamp. An epoch without a fix shows when sentences come, but not what they would add to a fix.
func (c *cycle) learn(stamp time.Duration, known uint32, fix bool) {
	before := c.stamp
	c.base, c.stamp = forward(before, stamp), stamp
	for i := range c.members {
		m := &c.members[i]
		if m.here {
			m.learnArrival(before, stamp)
			if fix {
				c.learnAddition(m)
			}
		} else if c.due(m, stamp, known) {
			c.miss(m)
		}
	}
	c.skip()
	c.learned++
}

// learnAddition learns for how long the member is to be waited for.
func (c *cycle) learnAddition(m *member) {
	if !m.added {
		m.adds = max(m.adds-1, 0)
		return
	}
	m.adds = confirmations
	if c.learned == 0 {
		m.adds = 1 // the first epoch may be the end of one
	}
}

// skip closes an epoch from which nothing is learned.
func (c *cycle) skip() {
	for i := range c.members {
		c.members[i].here, c.members[i].added = false, false
	}
}

// learnArrival learns how often the member comes. One that was given up comes as seldom as it just did.
func (m *member) learnArrival(before, stamp time.Duration) {
	gap := forward(m.last, stamp)
	if m.last == before {
		gap = 0
	}
	if m.missed >= maxMissed {
		m.comesEvery(gap)
	} else if m.before {
		copy(m.gaps[1:], m.gaps[:])
		m.gaps[0] = gap
		m.every = slices.Min(m.gaps[:])
	}
	m.last, m.missed, m.before = stamp, 0, true
}

// miss notes that the member was waited for in vain. When a fast receiver stops sending a sentence in every epoch, once a
// second is what to expect.
func (c *cycle) miss(m *member) {
	m.missed++
	if m.missed == maxMissed && c.base <= time.Second/2 && m.gaps[0] < time.Second {
		m.comesEvery(time.Second)
		m.missed = 0
	}
}

// comesEvery replaces what was learned of the member's intervals.
func (m *member) comesEvery(gap time.Duration) {
	for i := range m.gaps {
		m.gaps[i] = gap
	}
	m.every = gap
}

// forget drops what arrived in the open epoch and everything learned.
func (c *cycle) forget() { *c = cycle{members: c.members[:0]} }

package relay

import (
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	shared "gpsbridge/bridge/group"
)

// group is the members of one device ID and what the group keeps for those that join later.
type group struct {
	// Set once.
	hub     *hub
	device  string
	entered chan struct{} // closed when the layer has joined the group, or could not; nil without a layer
	failed  error         // why it could not; set before entered is closed

	// Guarded by mu.
	mu       sync.Mutex
	members  []*viewer // in the order in which they joined
	raw      int       // members that want NMEA
	gone     bool      // forgotten by the hub: look the device up again
	n        uint64    // messages, with repeats
	messages uint64    // without repeats
	heard    time.Time // the last message; the making of the group before
	emptied  time.Time // when the last member left; the making of the group before
	fixed    time.Time // the last TPV
	seen     seen
	history  queue // TPV
	gap      *gap  // nil while nothing is missing
	fix      *message
	sky      *message
}

// publish puts m in the queue of every member that wants it. It is false when the group was forgotten meanwhile.
func (g *group) publish(m *message, from *viewer, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.gone:
		return false
	case g.gap != nil:
		g.hold(m, from, now)
	default:
		g.give(m, from, now)
	}
	return true
}

// give is publish under g.mu.
func (g *group) give(m *message, from *viewer, now time.Time) {
	g.n++
	m.n = g.n
	g.heard = now
	if from != nil {
		from.echo(m)
	}
	key := m.head.key()
	if key != 0 && g.seen.add(key) {
		g.hub.repeats.Add(1)
		return
	}
	g.messages++
	g.hub.messages.Add(1)
	g.keep(m, now)
	for _, v := range g.members {
		if v != from && v.wants(m.head.Class) && !v.skips(key, now) {
			v.push(m, now)
		}
	}
}

// maxKept bounds the messages that are kept, in bytes: a SKY of 100 satellites is 9 kB. Larger ones are delivered and
// forgotten.
const maxKept = 16 << 10

// keep keeps m for members that join later. Under g.mu.
func (g *group) keep(m *message, now time.Time) {
	if m.head.Class == classTPV {
		g.fixed = now
	}
	if len(m.data) > maxKept {
		return
	}
	before := g.kept()
	switch m.head.Class {
	case classSKY:
		g.sky = m
	case classTPV:
		if g.fix == nil || m.head.newer(g.fix.head) {
			g.fix = m
		}
		g.history.push(m)
		if g.history.len() > g.hub.limits.history {
			g.shorten(now)
		}
	}
	g.hub.kept.Add(int64(g.kept() - before))
}

// shorten removes the oldest message of the history. Members that have yet to read it queue it. Under g.mu.
func (g *group) shorten(now time.Time) {
	m := g.history.pop()
	for _, v := range g.members {
		v.rescue(m, now)
	}
}

// kept is the memory of what the group keeps, in bytes; the last fix counts twice while it is in the history too. Under
// g.mu.
func (g *group) kept() int {
	bytes := g.history.bytes
	for _, m := range []*message{g.fix, g.sky} {
		if m != nil {
			bytes += m.size()
		}
	}
	return bytes
}

// trim shortens the history until the group keeps no more than bytes. The last fix stays in any case.
func (g *group) trim(bytes int, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return // what it kept was given back already
	}
	before := g.kept()
	for g.history.len() > 0 && g.kept() > bytes {
		g.shorten(now)
	}
	g.hub.kept.Add(int64(g.kept() - before))
}

// join makes v a member that gets, if it asked for what came after a fix, whether it is all, the last SKY (if it wants any), the TPV
// that it asked for, of the store or else of the history, and then what comes: all under one lock, so nothing is missing in between
// and nothing is there twice. It is false when the group was forgotten meanwhile.
func (g *group) join(v *viewer, want ask, from *stored) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return false
	}
	v.group, v.budget = g, g.budgetOf(v)
	var first, list []*message // list is of the history
	complete := false
	if from != nil {
		first, complete = g.merge(v, from), from.complete
	} else {
		var fix *message
		if fix, list, complete = g.past(want); fix != nil {
			first = []*message{fix}
		}
	}
	v.mu.Lock()
	if want.after != (shared.Key{}) {
		v.add(&v.first, historyMessage(g.device, complete))
	}
	if v.sky && g.sky != nil {
		v.add(&v.first, g.sky)
	}
	for _, m := range first {
		v.add(&v.first, m)
	}
	if len(list) > 0 {
		v.past, v.until = list[0].n, list[len(list)-1].n
	}
	// As much again for each queueful that comes before what is live.
	v.lossLimit = g.hub.limits.slow * time.Duration(1+(len(first)+len(list))/g.hub.limits.queue)
	v.mu.Unlock()
	g.members = append(g.members, v)
	if v.nmea {
		g.raw++
	}
	return true
}

// budgetOf is what v may send: publishers with one token share theirs, or each connection more would be as much work more. Under
// g.mu.
func (g *group) budgetOf(v *viewer) *rate.Limiter {
	for _, other := range g.members {
		if v.publisher && other.grant == v.grant {
			return other.budget
		}
	}
	return newBudget(v.publisher)
}

// crowd closes the oldest publisher with the token of v while there are more than limits.publishers of them, without what is
// queued for it. A tracker that comes back after a loss of its network leaves a dead connection, so the oldest is closed.
func (g *group) crowd(v *viewer) {
	g.mu.Lock()
	var same []*viewer
	for _, other := range g.members {
		if other.publisher && other.grant == v.grant && !other.isClosing() {
			same = append(same, other)
		}
	}
	g.mu.Unlock()
	if len(same) > g.hub.limits.publishers {
		same[0].drop(websocket.ClosePolicyViolation, "too many publishers of one device with one token: the oldest is closed")
	}
}

// leave removes v. It is called once. A group that has no members then and never had a message is forgotten.
func (g *group) leave(v *viewer) {
	g.mu.Lock()
	i := slices.Index(g.members, v)
	g.members = slices.Delete(g.members, i, i+1)
	v.left = true
	g.emptied = time.Now()
	if v.nmea {
		g.raw--
	}
	unused := len(g.members) == 0 && g.messages == 0 && g.entered == nil
	g.mu.Unlock()
	v.discard()
	g.hub.conns.Add(-1)
	if v.packed {
		g.hub.packed.Add(-1)
	}
	if unused {
		g.hub.mu.Lock()
		g.hub.forget(g, func() bool { return g.messages == 0 })
		g.hub.mu.Unlock()
	}
}

// wantsRaw reports whether a member listens to NMEA.
func (g *group) wantsRaw() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.raw > 0
}

// idleSince is when a group without members had its last message. One that the layer is still to join will have members.
func (g *group) idleSince() (time.Time, bool) {
	if g.entered != nil {
		select {
		case <-g.entered:
		default:
			return time.Time{}, false
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.heard, len(g.members) == 0
}

// unused is for how long nothing needs the group. With a layer that is since it has no members: then the layer leaves it, and its
// messages are in the store. Under g.mu.
func (g *group) unused(now time.Time) time.Duration {
	if g.entered != nil {
		return now.Sub(g.emptied)
	}
	return now.Sub(g.heard)
}

// lastFix is the last TPV as it was published; nil when there was none.
func (g *group) lastFix() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fix == nil {
		return nil
	}
	return g.fix.data
}

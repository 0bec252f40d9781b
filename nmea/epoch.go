package nmea

import (
	"math"
	"slices"
	"time"
)

// sameStamp is how far the times of day of one epoch may lie apart: receivers
// round them differently in different sentences. It is gpsd's, and leaves room
// for 50 epochs a second.
const sameStamp = 10 * time.Millisecond

// epoch is what the sentences of one instant say together.
type epoch struct {
	open, sent bool
	paused     bool // Flush came, and was not followed
	resumed    bool // and sentences came after it
	frozen     bool // the clock stands, so the position is an old one
	stamped    bool
	stamp      time.Duration
	decimals   int    // of the stamp, as written
	sentences  int    // since the epoch began
	starter    origin // the first sentence with a position or a time

	said   [kinds]uint8 // sentences of each kind
	voids  uint8        // of the sentences with a position: receiver has no fix
	valids uint8        // receiver vouches for the position
	dim    Mode         // the best of the GSA
	status Status
	date   date // stated by a sentence that vouches for it

	placed   bool
	minutes  int // decimals of the minutes of the position
	lat, lon float64

	values values
	weak   [numQuantities]bool // stated only by a sentence that gives way to others

	origins  [8]origin        // of the sentences that could carry a position
	stamps   [8]time.Duration // of their first
	norigins int
}

// origin tells sentences apart: kind and talker.
type origin struct {
	kind   kind
	talker [2]byte
}

func originOf(r *reading) origin {
	o := origin{kind: r.kind}
	copy(o.talker[:], r.Talker)
	return o
}

// merge adds what r states and reports whether that is more than the epoch knew. The later sentence wins, except that a
// position with more decimals stays.
func (e *epoch) merge(r *reading) (added bool) {
	if r.verdict == void {
		added = e.voids == 0
		e.voids++
	}
	if r.verdict == valid {
		added = e.valids == 0
		e.valids++
	}
	if r.dim > e.dim { // of several GSA the best counts: some state of a constellation that is not used that it has no fix
		e.dim, added = r.dim, true
	}
	if r.status > e.status {
		e.status, added = r.status, true
	}
	if r.lat.Set {
		added = e.mergePlace(r) || added
	}
	for q := range r.values {
		if r.values[q].Set {
			added = e.mergeValue(quantity(q), r.values[q], r.kind.weak()) || added
		}
	}
	return added
}

// mergePlace adds the position.
func (e *epoch) mergePlace(r *reading) bool {
	if e.placed && r.decimals < e.minutes {
		return false
	}
	moved := !e.placed || r.decimals > e.minutes ||
		math.Abs(r.lat.V-e.lat) > 1e-7 || math.Abs(r.lon.V-e.lon) > 1e-7
	e.placed, e.minutes, e.lat, e.lon = true, r.decimals, r.lat.V, r.lon.V
	return moved
}

// mergeValue adds a quantity. What a weak sentence states counts only where no other states it.
func (e *epoch) mergeValue(q quantity, v Value, weak bool) bool {
	have := e.values[q]
	if have.Set && weak && !e.weak[q] {
		return false
	}
	added := !have.Set || q.differ(have.V, v.V)
	e.values[q], e.weak[q] = v, weak
	return added
}

// count numbers the sentences of a kind within the epoch, from 1.
func (e *epoch) count(k kind) uint8 {
	if e.said[k] < math.MaxUint8 {
		e.said[k]++
	}
	return e.said[k]
}

// has returns the place of an origin among those that were here, -1 when it was
// not.
func (e *epoch) has(o origin) int {
	return slices.Index(e.origins[:e.norigins], o)
}

// note remembers the origin of a sentence and its time, up to eight of them.
func (e *epoch) note(r *reading) {
	o := originOf(r)
	if e.norigins == 0 {
		e.starter = o
	}
	if e.norigins < len(e.origins) && e.has(o) < 0 {
		e.origins[e.norigins], e.stamps[e.norigins] = o, r.tod
		e.norigins++
	}
}

// matches tells whether the time of r is the epoch's. A sentence whose like was
// here with another time is of another epoch, however close.
func (e *epoch) matches(r *reading) bool {
	if !near(e.stamp, r.tod) &&
		!shortened(e.stamp, e.decimals, r.tod, r.timeDecimals) &&
		!shortened(r.tod, r.timeDecimals, e.stamp, e.decimals) {
		return false
	}
	i := e.has(originOf(r))
	return i < 0 || e.stamps[i]-r.tod < time.Millisecond && r.tod-e.stamps[i] < time.Millisecond
}

// shortened tells whether b is a with the zero behind the point dropped: the
// receivers of Magellan's eXplorist line write .076 in one sentence and .76 in
// another.
func shortened(a time.Duration, aDecimals int, b time.Duration, bDecimals int) bool {
	if aDecimals != 3 || bDecimals != 2 || a/time.Second != b/time.Second {
		return false
	}
	ms, hundredths := a%time.Second/time.Millisecond, b%time.Second/(10*time.Millisecond)
	return ms == hundredths && ms >= 10
}

// fix tells whether the receiver vouches for a position: one sentence does, and
// none says that there is none. What is simulated or entered by hand is a fix all
// the same, though the standard wants RMC and GLL to call it void.
func (e *epoch) fix() bool {
	made := e.status == StatusSimulated || e.status == StatusSurveyed
	return e.placed && e.valids > 0 && (e.voids == 0 || made) && !e.frozen
}

// mode returns the dimension of the fix. dim is the latest GSA's when that is
// fresh. Like gpsd, an altitude makes the fix three-dimensional, also when GSA
// says 2: the receiver then holds the altitude of before.
func (e *epoch) mode(dim Mode) Mode {
	switch {
	case !e.fix():
		return ModeNone
	case dim == Mode3D:
		return Mode3D
	case !e.values[altMSL].Set && !e.values[altHAE].Set:
		return Mode2D
	case dim == ModeUnknown && e.valids == 1 && e.status != StatusDeadReckoning && e.values[uSat].Set && e.values[uSat].V <= 3:
		return Mode2D // nothing but a GGA, and three satellites give no height
	}
	return Mode3D
}

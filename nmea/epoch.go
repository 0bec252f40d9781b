package nmea

import (
	"math"
	"time"
)

// sameStamp is how far the times of day of one epoch may lie apart: receivers round them differently in different sentences.
// It is gpsd's, and leaves room for 50 epochs a second.
const sameStamp = 10 * time.Millisecond

// maxPositions bounds the sentences of an epoch that could carry a position: five kinds, of several talkers.
const maxPositions = 12

// epoch is what the sentences of one instant state together.
type epoch struct {
	open, sent bool
	paused     bool // Flush came, and was not followed
	resumed    bool // and sentences came after it
	frozen     bool // the clock stands, so the position is an old one
	stamped    bool
	stamp      time.Duration
	decimals   int // of the stamp, as written
	sentences  int // since the epoch began

	positions []position // the sentences that could carry a position

	listed bool // GSA listed satellites
	void   bool // a sentence states that the receiver has no fix
	valids int  // sentences that state that it has one
	dim    Mode // the best of the GSA
	status Status
	date   date // stated by a sentence with a fix, or by ZDA

	placed   bool
	minutes  int // decimals of the minutes of the position
	lat, lon float64

	values values
	known  uint32 // quantities that are set
	took   uint32 // those that the latest sentence stated
	stated values // by the sentences with a time alone
}

// origin identifies a source of positions: a type of sentence and its talker.
type origin struct {
	kind   kind
	talker [2]byte
}

func originOf(r *reading) origin { return origin{r.kind, talkerOf(r)} }

func talkerOf(r *reading) (t [2]byte) {
	copy(t[:], r.Talker)
	return t
}

// position is a sentence of an epoch that could carry a position.
type position struct {
	origin
	timed bool
	tod   time.Duration
	void  bool
}

// setStamp gives the epoch the time of r.
func (e *epoch) setStamp(r *reading) {
	e.stamped, e.stamp, e.decimals = true, r.tod, r.timeDecimals
}

// merge adds what r states and reports whether that is more than the epoch knew. The later sentence wins, except that a
// position with more decimals stays.
func (e *epoch) merge(r *reading) (added bool) {
	if r.verdict == void {
		e.void = true
	}
	if r.verdict == valid {
		added = e.valids == 0
		e.valids++
	}
	added = e.mergeDim(r.dim) || added
	if r.status > e.status {
		e.status, added = r.status, true
	}
	if r.lat.Set {
		added = e.mergePlace(r) || added
	}
	weak := r.kind.weak()
	e.took = 0
	for q := range r.values {
		if !r.values[q].Set {
			continue
		}
		e.took |= 1 << q
		added = e.mergeValue(quantity(q), r.values[q], weak) || added
		if r.timed {
			e.stated[q] = r.values[q]
		}
	}
	e.known |= e.took
	e.listed = e.listed || r.kind == kindGSA
	return added
}

// mergeDim adds a dimension of GSA. Of several the best counts: some state of a constellation that is not used that it has no
// fix.
func (e *epoch) mergeDim(dim Mode) bool {
	better := dim > e.dim
	e.dim = max(e.dim, dim)
	return better
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
	if have.Set && weak {
		return false
	}
	added := !have.Set || q.differ(have.V, v.V)
	e.values[q] = v
	return added
}

// of returns the first sentence of an origin that was here, nil when none was.
func (e *epoch) of(o origin) *position {
	for i := range e.positions {
		if p := &e.positions[i]; p.origin == o {
			return p
		}
	}
	return nil
}

// note remembers a sentence that could carry a position.
func (e *epoch) note(r *reading) {
	if o := originOf(r); len(e.positions) < maxPositions && e.of(o) == nil {
		e.positions = append(e.positions, position{o, r.timed, r.tod, r.verdict == void})
	}
}

// starter is the first sentence of the epoch that could carry a position.
func (e *epoch) starter() origin {
	if len(e.positions) == 0 {
		return origin{}
	}
	return e.positions[0].origin
}

// matches reports whether the time of r is the epoch's. A sentence whose like was here with another time is of another epoch,
// however close.
func (e *epoch) matches(r *reading) bool {
	if !near(e.stamp, r.tod) &&
		!shortened(e.stamp, e.decimals, r.tod, r.timeDecimals) &&
		!shortened(r.tod, r.timeDecimals, e.stamp, e.decimals) {
		return false
	}
	p := e.of(originOf(r))
	return p == nil || !p.timed || (p.tod-r.tod).Abs() < time.Millisecond
}

// shortened reports whether b is a with the zero after the point dropped: the receivers of Magellan's eXplorist line write
// .076 in one sentence and .76 in another.
func shortened(a time.Duration, aDecimals int, b time.Duration, bDecimals int) bool {
	if aDecimals != 3 || bDecimals != 2 || a/time.Second != b/time.Second {
		return false
	}
	ms, hundredths := a%time.Second/time.Millisecond, b%time.Second/(10*time.Millisecond)
	return ms == hundredths && ms >= 10
}

// near reports whether two stamps are of one epoch, seen over midnight. A leap second is a whole day from the second after it, and
// not near.
func near(a, b time.Duration) bool {
	d := (a - b).Abs()
	return d <= sameStamp || d >= day-sameStamp && d < day
}

// forward returns the time from a to b, over midnight when need be.
func forward(a, b time.Duration) time.Duration {
	if b < a {
		b += day
	}
	return b - a
}

// backward reports whether b lies before a, seen over midnight.
func backward(a, b time.Duration) bool { return forward(a, b) > day/2 }

// fix reports whether the receiver has one: a sentence states a position, and none states that there is none. What is
// simulated or entered by hand is a fix all the same, though the standard wants RMC and GLL to call it void.
func (e *epoch) fix() bool {
	made := e.status == StatusSimulated || e.status == StatusSurveyed
	return e.placed && e.valids > 0 && !e.frozen && (!e.void || made)
}

// verdict returns whether the receiver has a fix, unsaid when the sentences that state it are lost.
func (e *epoch) verdict() verdict {
	if e.fix() {
		return valid
	} else if e.void {
		return void
	}
	return unsaid
}

// mode returns the dimension of the fix. dim is the latest GSA's when that is fresh. Like gpsd, an altitude makes the fix
// three-dimensional, also when GSA states 2: the receiver then holds an earlier altitude.
func (e *epoch) mode(dim Mode) Mode {
	if !e.fix() {
		return ModeNone
	}
	if dim == Mode3D {
		return Mode3D
	}
	if !e.values[altMSL].Set && !e.values[altHAE].Set {
		return Mode2D
	}
	few := e.values[uSat].Set && e.values[uSat].V <= 3 && e.status != StatusDeadReckoning
	if dim == ModeUnknown && e.valids == 1 && few {
		return Mode2D // nothing but a GGA, and three satellites give no height
	}
	return Mode3D
}

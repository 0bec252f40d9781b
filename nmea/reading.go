package nmea

import (
	"math"
	"strings"

	gonmea "github.com/adrianmo/go-nmea"
)

// verdict is what a sentence states about the fix as a whole.
type verdict uint8

const (
	unsaid verdict = iota
	void           // the receiver has no fix
	valid          // the receiver has a fix
)

// reading is what one sentence states, in SI units and degrees. It implements go-nmea's Sentence, so the parsers of this
// package register with it.
type reading struct {
	gonmea.BaseSentence
	kind  kind
	flaws flaws

	timed bool
	timeOfDay

	date    date // zero when not stated
	verdict verdict
	status  Status // StatusUnknown when not stated
	dim     Mode   // of GSA; ModeUnknown when not stated

	lat, lon Value
	decimals int // of the minutes, as written
	values   values

	gnss        int  // constellation that GSA or GSV states, or unknownGNSS
	part, parts int  // GSV: number of this sentence and of all
	signal      byte // GSV
	sats        []Satellite
	text        string // TXT
}

// reset empties r for the next sentence.
func (r *reading) reset(s gonmea.BaseSentence, k kind) {
	satellites := r.sats[:0]
	*r = reading{} // in place: a literal would be made beside it and copied
	r.BaseSentence, r.kind, r.gnss, r.sats = s, k, unknownGNSS, satellites
}

// field returns field i, empty when the sentence is shorter.
func (r *reading) field(i int) string {
	if i < len(r.Fields) {
		return r.Fields[i]
	}
	return ""
}

// letter returns the first character of field i, 0 when there is none.
func (r *reading) letter(i int) byte {
	if f := r.field(i); f != "" {
		return f[0]
	}
	return 0
}

// number returns field i when it is a number from lo to hi. An empty field is absent; anything else is a flaw, and absent too.
func (r *reading) number(i int, lo, hi float64) Value {
	f := trim(r.field(i)) // some receivers pad with spaces
	if f == "" {
		return Value{}
	}
	v, decimals, ok := parseNumber(f)
	if !ok {
		r.flaws.add(flawNumber)
		return Value{}
	}
	if v < lo || v > hi {
		r.flaws.add(flawRange)
		return Value{}
	}
	return computed(v, places(1).more(decimals))
}

// scaled is number for a field in another unit: lo and hi are in ours, and unit is how much of ours one of the other is, from
// a tenth to all.
func (r *reading) scaled(i int, lo, hi, unit float64) Value {
	v := r.number(i, lo/unit, hi/unit)
	v.V *= unit
	if unit < 1 {
		v.stated = v.stated.more(1)
	}
	return v
}

// altitude reads an altitude in a unit. Mines and the Dead Sea lie above -2000 m, and balloons reach 50 km.
func (r *reading) altitude(i int, unit float64) Value { return r.scaled(i, -2000, 100e3, unit) }

// angle reads an angle from true north. 360 is 0.
func (r *reading) angle(i int) Value {
	v := r.number(i, 0, 360)
	if v.V == 360 {
		v.V = 0
	}
	return v
}

// dop reads a dilution of precision. 99.99 and the like mean that there is none, and 0 is no geometry at all.
func (r *reading) dop(i int) Value {
	v := r.number(i, 0, 1e6)
	if v.V < 0.01 || v.V > 89.99 {
		return Value{}
	}
	return v
}

// deviation reads a standard deviation in metres and returns the estimated error at 95 %, which is twice that. 0 means that
// there is none.
func (r *reading) deviation(i int) Value {
	v := r.number(i, 0, 1e6)
	if v.V == 0 {
		return Value{}
	}
	v.V *= 2
	return v
}

// deviations reads standard deviations of latitude, longitude and altitude. Like gpsd's, the horizontal error is twice the
// distance RMS.
func (r *reading) deviations(lat, lon, alt int) {
	n, e := r.number(lat, 0, 1e6), r.number(lon, 0, 1e6)
	if n.Set && e.Set && n.V+e.V > 0 {
		r.values[eph] = computed(2*math.Hypot(n.V, e.V), max(n.stated, e.stated).more(1))
	}
	r.values[epv] = r.deviation(alt)
}

// require notes a flaw and returns false when there are fewer than n fields.
func (r *reading) require(n int) bool {
	if len(r.Fields) < n {
		r.flaws.add(flawFields)
		return false
	}
	return true
}

// clock reads the time of day in field i.
func (r *reading) clock(i int) {
	f := trim(r.field(i))
	if f == "" {
		return
	}
	if r.timeOfDay, r.timed = parseTimeOfDay(f); !r.timed {
		r.flaws.add(flawTime)
	}
}

// day reads the date in field i, ddmmyy.
func (r *reading) day(i int) {
	f := trim(r.field(i))
	if f == "" {
		return
	}
	d, ok := parseDate(f)
	if !ok {
		r.flaws.add(flawDate)
		return
	}
	r.date = d
}

// place reads latitude, hemisphere, longitude, hemisphere from field i on. A position that is not whole is none.
func (r *reading) place(i int) {
	lat, ns, lon, ew := r.field(i), r.letter(i+1), r.field(i+2), r.letter(i+3)
	if blank(lat) || blank(lon) || ns == 0 || ew == 0 {
		return
	}
	la, laDecimals, laOK := parseAngle(unsigned(lat, ns == 'S'))
	lo, loDecimals, loOK := parseAngle(unsigned(lon, ew == 'W'))
	if !laOK || !loOK || ns != 'N' && ns != 'S' || ew != 'E' && ew != 'W' {
		r.flaws.add(flawPosition)
		return
	}
	if la > 90 || lo > 180 {
		r.flaws.add(flawRange)
		return
	}
	if ns == 'S' {
		la = -la
	}
	if ew == 'W' {
		lo = -lo
	}
	r.lat, r.lon = some(la+0), some(lo+0) // +0 makes 0 of -0
	r.decimals = max(laDecimals, loDecimals)
}

// solution reads what GGA and GNS have in common: position, satellites used, HDOP and altitude in the same fields, and the
// geoid separation in field sep. The units that follow GGA's are always metres.
func (r *reading) solution(sep int) {
	r.values[uSat] = r.number(6, 0, 255)
	r.values[hdop] = r.dop(7)
	if r.verdict == valid {
		r.place(1)
		r.values[altMSL] = r.altitude(8, metre)
		r.values[geoidSep] = r.number(sep, -maxGeoid, maxGeoid)
	}
}

// unsigned drops a minus that only repeats the hemisphere: Unicore's UM98x writes -00214.41,W in GLL.
func unsigned(angle string, negative bool) string {
	if negative {
		return strings.TrimPrefix(angle, "-")
	}
	return angle
}

// variation reads the magnetic variation in field i, whose direction is in field j. Exactly 0 is what receivers without a
// model send; gpsd takes what is under a tenth of a degree for absent, and so does this package.
func (r *reading) variation(i, j int) {
	v := r.number(i, 0, 180)
	if v.V < 0.1 {
		return
	}
	if r.letter(j) == 'E' {
		r.values[magVar] = v
	} else if r.letter(j) == 'W' {
		r.values[magVar] = computed(-v.V, v.stated)
	}
}

// judge reads the status and the FAA mode of RMC and GLL, and reports whether the rest of the sentence may be read.
//
// A is a fix, and so is D, with which Unicore's receivers mark differential and RTK fixes. Mode N takes either away: the two
// contradict each other. V is no fix, except that u-blox's receivers send V with mode E while they dead-reckon with more than
// the permitted error, in a tunnel: that is for GGA to decide, whose quality is then 6.
func (r *reading) judge(status, mode byte) bool {
	r.status = faa[mode]
	if (status == 'A' || status == 'D') && mode != 'N' {
		r.verdict = valid
	} else if status == 'V' && mode == 'E' {
		r.verdict = unsaid
	} else {
		r.verdict = void
	}
	return r.verdict != void
}

// faa is the status by a mode indicator of NMEA 2.3: by what means the position was found.
var faa = [256]Status{
	'A': StatusGPS, 'D': StatusDGPS, 'P': StatusDGPS, 'R': StatusRTKFixed, 'F': StatusRTKFloat, 'E': StatusDeadReckoning,
	'M': StatusSurveyed, 'S': StatusSimulated,
}

// flaws is a set of reasons why a sentence, or a part of it, was refused.
type flaws uint8

const (
	flawFields flaws = 1 << iota
	flawTime
	flawDate
	flawPosition
	flawNumber
	flawRange
	flawPanic
	flawLibrary
)

// flawNames are the reasons in the order of their bits.
var flawNames = [...]string{
	"too few fields", "malformed time", "malformed date", "malformed position",
	"malformed number", "implausible value", "parser panic", "malformed",
}

func (f *flaws) add(reason flaws) { *f |= reason }

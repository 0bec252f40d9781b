package nmea

import (
	"time"

	gonmea "github.com/adrianmo/go-nmea"
)

// kind is a type of sentence that says something for a fix or a sky.
type kind uint8

const (
	kindOther kind = iota // nothing for us
	kindRMC
	kindGGA
	kindGNS
	kindGLL
	kindGSA
	kindVTG
	kindZDA
	kindGST
	kindGBS
	kindUBX // PUBX,00
	kindRMZ // PGRMZ, Garmin's altitude
	kindRME // PGRME, Garmin's error estimates
	kindHDG
	kindGSV
	kindTXT
	kinds
)

// position tells whether a sentence of the kind says where the receiver is, or
// that it does not know.
func (k kind) position() bool {
	return k == kindRMC || k == kindGGA || k == kindGNS || k == kindGLL || k == kindUBX
}

// verdict is what a sentence says about the fix as a whole.
type verdict uint8

const (
	unsaid verdict = iota
	void           // the receiver has no fix
	valid          // the receiver vouches for the position
)

// reading is what one sentence says, in SI units and degrees. It implements
// go-nmea's Sentence, so the parsers of this package register with it.
type reading struct {
	gonmea.BaseSentence
	kind  kind
	flaws flaws

	timed        bool
	tod          time.Duration // UTC time of day
	timeDecimals int           // as written

	date    date // zero when not stated
	verdict verdict
	status  Status // StatusUnknown when not stated
	dim     Mode   // of GSA; ModeUnknown when not stated

	lat, lon Value
	decimals int // of the minutes, as written

	alt, hae, sep       Value
	coarse              Value // altitude in whole feet
	speed, track, climb Value
	magvar              Value
	hdop, vdop, pdop    Value
	eph, epv            Value
	used                Value // satellites
	gnss                int   // constellation that GSA or GSV states, -1 for none
	part, parts         int   // GSV: number of this sentence and of all
	signal              byte  // GSV
	sats                []Satellite
	text                string // TXT
}

// reset empties r for the next sentence.
func (r *reading) reset(s gonmea.BaseSentence, k kind) {
	*r = reading{BaseSentence: s, kind: k, gnss: -1, sats: r.sats[:0]}
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

// number returns field i when it is a number from lo to hi. An empty field is
// an absent Value; anything else is a flaw, and absent too.
func (r *reading) number(i int, lo, hi float64) Value {
	f := r.field(i)
	if f == "" {
		return Value{}
	}
	v, ok := parseNumber(f)
	if !ok {
		if blank(f) {
			return Value{}
		}
		r.flaws.add(flawNumber)
		return Value{}
	}
	if v < lo || v > hi {
		r.flaws.add(flawRange)
		return Value{}
	}
	return some(v)
}

// blank tells that f holds spaces only.
func blank(f string) bool {
	for i := 0; i < len(f); i++ {
		if f[i] != ' ' {
			return false
		}
	}
	return true
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
	f := r.field(i)
	if blank(f) {
		return
	}
	t, decimals, ok := parseTimeOfDay(f)
	if !ok {
		r.flaws.add(flawTime)
		return
	}
	r.tod, r.timeDecimals, r.timed = t, decimals, true
}

// place reads latitude, hemisphere, longitude, hemisphere from field i on. A
// position that is not whole is none.
func (r *reading) place(i int) {
	lat, ns, lon, ew := r.field(i), r.letter(i+1), r.field(i+2), r.letter(i+3)
	if blank(lat) || blank(lon) || ns == 0 || ew == 0 {
		return
	}
	la, laDecimals, laOK := parseAngle(lat)
	lo, loDecimals, loOK := parseAngle(lon)
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
	r.lat, r.lon = some(la+0), some(lo+0)
	r.decimals = max(laDecimals, loDecimals)
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

package nmea

import "math"

// Value is a quantity that may be absent. The zero Value is absent.
type Value struct {
	// V is the quantity; it means nothing unless Set.
	V float64
	// Set reports whether the receiver stated the quantity.
	Set bool

	stated places // how many decimals of V mean something
}

// places is a number of decimals, and 1; 0 where it is not known.
//
// JSON has as many decimals of a number as the sentence states. A number in another unit has as many as keep two numbers apart
// that differ by 1 in the last digit of the sentence: one more than the sentence for metres a second of knots or km/h and for
// metres of feet, two more for degrees of minutes. A sum has those of the longest, the root of squares (eph of GST) one more.
// There are at most those of the table of quantities, which what no sentence states has. Degrees have 8 at least, 7 where the
// minutes have 4 or fewer: rounding moves a position by less than a thirtieth of the receiver's last digit.
type places uint8

// or is the number of decimals, most at most, and most where it is not known.
func (p places) or(most int) int {
	if p == 0 {
		return most
	}
	return min(int(p)-1, most)
}

// more is n decimals more.
func (p places) more(n int) places {
	if p == 0 {
		return 0
	}
	return p + places(n)
}

// Stated returns the quantity, nil where the receiver did not state it. It points into v.
func (v *Value) Stated() *float64 {
	if !v.Set {
		return nil
	}
	return &v.V
}

// some returns the present Value v.
func some(v float64) Value { return Value{V: v, Set: true} }

// computed returns the present Value v with a number of decimals.
func computed(v float64, p places) Value { return Value{v, true, p} }

// quantity is a number that sentences state about an epoch, besides its time and its position: a row of quantities.
type quantity uint8

const (
	altMSL quantity = iota
	altHAE
	geoidSep
	speed
	track
	heading
	climb
	magVar
	hdop
	vdop
	pdop
	eph
	epv
	uSat
	nSat
	numQuantities
)

// quantities is the table of all quantities, in the order in which a message has them. A new one is a constant above, a row
// here, a field of Fix, and the parser of the sentence that states it.
var quantities = [numQuantities]struct {
	key      string              // in the message: the name in gpsd's TPV or ATT report
	unit     string              // empty for a mere number
	decimals int                 // in the message, at most
	rounding float64             // by how much two sentences may differ that mean the same: half of the coarsest last digit, and a little
	circular bool                // 360 is 0
	field    func(f *Fix) *Value // where a Fix has it
}{
	altMSL:   {"altMSL", "m", 4, 0.05, false, func(f *Fix) *Value { return &f.AltMSL }},
	altHAE:   {"altHAE", "m", 4, 0.05, false, func(f *Fix) *Value { return &f.AltHAE }},
	geoidSep: {"geoidSep", "m", 4, 0.05, false, func(f *Fix) *Value { return &f.GeoidSep }},
	speed:    {"speed", "m/s", 4, 0.06, false, func(f *Fix) *Value { return &f.Speed }},
	track:    {"track", "degrees", 3, 0.06, true, func(f *Fix) *Value { return &f.Track }},
	heading:  {"heading", "degrees", 3, 0.06, true, func(f *Fix) *Value { return &f.Heading }},
	climb:    {"climb", "m/s", 3, 0.05, false, func(f *Fix) *Value { return &f.Climb }},
	magVar:   {"magvar", "degrees", 1, 0.1, false, func(f *Fix) *Value { return &f.MagVar }},
	hdop:     {"hdop", "", 2, 0.051, false, func(f *Fix) *Value { return &f.HDOP }},
	vdop:     {"vdop", "", 2, 0.051, false, func(f *Fix) *Value { return &f.VDOP }},
	pdop:     {"pdop", "", 2, 0.051, false, func(f *Fix) *Value { return &f.PDOP }},
	eph:      {"eph", "m", 3, 0.05, false, func(f *Fix) *Value { return &f.Eph }},
	epv:      {"epv", "m", 3, 0.05, false, func(f *Fix) *Value { return &f.Epv }},
	uSat:     {"uSat", "", 0, 0.5, false, func(f *Fix) *Value { return &f.USat }},
	nSat:     {"nSat", "", 0, 0.5, false, func(f *Fix) *Value { return &f.NSat }},
}

// differ reports whether two statements of q mean different things, beyond what rounding explains.
func (q quantity) differ(a, b float64) bool {
	d := a - b
	if quantities[q].circular {
		d = math.Remainder(d, 360)
	}
	return math.Abs(d) > quantities[q].rounding
}

// values are the quantities that a sentence, or those of an epoch, state.
type values [numQuantities]Value

// compare reports whether two sets have a quantity in common, and whether they mean the same by all of those.
func (v *values) compare(other *values) (common, alike bool) {
	alike = true
	for q := range v {
		if v[q].Set && other[q].Set {
			common = true
			alike = alike && !quantity(q).differ(v[q].V, other[q].V)
		}
	}
	return common, alike
}

// append appends a member of a JSON object, with a comma in front.
func (q quantity) append(dst []byte, v Value) []byte {
	return appendValue(dst, names[q], v, v.stated.or(quantities[q].decimals))
}

// names are the keys as a JSON object has them, between the member before and the value.
var names = func() (n [numQuantities]string) {
	for q := range quantities {
		n[q] = `,"` + quantities[q].key + `":`
	}
	return n
}()

package event

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// appendJSON appends to dst, as JSON, the one value of msgpack in data, as Python's json.dumps writes it with ensure_ascii=False and
// separators without spaces: a float64 keeps its point or exponent and so stays one. ok is false for what is not msgpack and for what
// JSON has nothing for: NaN and infinities, binary data, extensions, names that are not strings, strings that are not UTF-8.
// The text is at most six times as long as data.
func appendJSON(dst, data []byte) (text []byte, ok bool) {
	d := decoder{in: data, out: dst}
	if !d.value(0) || d.at < len(d.in) {
		return dst, false
	}
	return d.out, true
}

// decoder reads msgpack and writes JSON in one pass. Its methods report whether they succeeded.
type decoder struct {
	in  []byte
	at  int // the next byte of in
	out []byte
}

func (d *decoder) value(depth int) bool {
	t, after, ok := readToken(d.in, d.at)
	if !ok {
		return false
	}
	switch d.at = after; t.kind {
	case aNil:
		d.out = append(d.out, "null"...)
	case aBool:
		d.out = strconv.AppendBool(d.out, t.bits == 1)
	case anInt:
		d.out = strconv.AppendInt(d.out, int64(t.bits), 10)
	case aUint:
		d.out = strconv.AppendUint(d.out, t.bits, 10)
	case aFloat:
		return d.float(math.Float64frombits(t.bits))
	case aText:
		return d.text(t.n)
	case anArray:
		return depth < maxDepth && d.array(t.n, depth)
	case aMap:
		return depth < maxDepth && d.object(t.n, depth)
	}
	return true
}

func (d *decoder) array(n, depth int) bool {
	d.out = append(d.out, '[')
	for i := range n {
		if i > 0 {
			d.out = append(d.out, ',')
		}
		if !d.value(depth + 1) {
			return false
		}
	}
	d.out = append(d.out, ']')
	return true
}

func (d *decoder) object(n, depth int) bool {
	d.out = append(d.out, '{')
	for i := range n {
		if i > 0 {
			d.out = append(d.out, ',')
		}
		t, after, ok := readToken(d.in, d.at)
		if d.at = after; !ok || t.kind != aText || !d.text(t.n) {
			return false
		}
		d.out = append(d.out, ':')
		if !d.value(depth + 1) {
			return false
		}
	}
	d.out = append(d.out, '}')
	return true
}

func (d *decoder) text(n int) bool {
	s := d.in[d.at : d.at+n]
	d.at += n
	d.out = appendQuoted(d.out, s)
	return utf8.Valid(s)
}

// float writes a number as Python's repr does: with an exponent from 1e16 on and below 1e-4.
func (d *decoder) float(f float64) bool {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return false
	}
	if size := math.Abs(f); size != 0 && (size < 1e-4 || size >= 1e16) {
		d.out = strconv.AppendFloat(d.out, f, 'e', -1, 64)
		return true
	}
	d.out = strconv.AppendFloat(d.out, f, 'f', -1, 64)
	if f == math.Trunc(f) {
		d.out = append(d.out, ".0"...)
	}
	return true
}

// appendQuoted appends s as a JSON string.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	run := 0
	for i := range len(s) {
		c := s[i]
		if plain[c] {
			continue
		}
		dst = append(append(dst, s[run:i]...), '\\')
		run = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, c)
		case '\b':
			dst = append(dst, 'b')
		case '\f':
			dst = append(dst, 'f')
		case '\n':
			dst = append(dst, 'n')
		case '\r':
			dst = append(dst, 'r')
		case '\t':
			dst = append(dst, 't')
		default:
			dst = append(dst, 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[run:]...), '"')
}

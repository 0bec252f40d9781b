package event

import (
	"encoding/binary"
	"math"
)

// First bytes of values, as the specification of msgpack has them.
const (
	msgFixMap   = 0x80 // to 0x8f
	msgFixArray = 0x90 // to 0x9f
	msgFixText  = 0xa0 // to 0xbf
	msgNil      = 0xc0
	msgFalse    = 0xc2
	msgTrue     = 0xc3
	msgFloat32  = 0xca
	msgFloat64  = 0xcb
	msgUint8    = 0xcc
	msgUint16   = 0xcd
	msgUint32   = 0xce
	msgUint64   = 0xcf
	msgInt8     = 0xd0
	msgInt16    = 0xd1
	msgInt32    = 0xd2
	msgInt64    = 0xd3
	msgText8    = 0xd9
	msgText16   = 0xda
	msgText32   = 0xdb
	msgArray16  = 0xdc
	msgArray32  = 0xdd
	msgMap16    = 0xde
	msgMap32    = 0xdf
	msgNegative = 0xe0 // to 0xff, -32 to -1
)

// codes are the first bytes of headers of one kind: fixed, with a length below fixLimit in it, then with 8, 16 and 32 bits after it.
// Containers have none of 8 bits.
type codes struct {
	fixed             byte
	fixLimit          int
	size8             byte // 0: none
	size16, sizeOf32s byte
}

var (
	mapCodes   = codes{msgFixMap, 16, 0, msgMap16, msgMap32}
	arrayCodes = codes{msgFixArray, 16, 0, msgArray16, msgArray32}
	textCodes  = codes{msgFixText, 32, msgText8, msgText16, msgText32}
)

func appendHeader(dst []byte, n int, c codes) []byte {
	switch {
	case n < c.fixLimit:
		return append(dst, c.fixed|byte(n))
	case n <= math.MaxUint8 && c.size8 != 0:
		return append(dst, c.size8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, c.size16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, c.sizeOf32s), uint32(n))
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(appendHeader(dst, len(s), textCodes), s...)
}

func appendUint(dst []byte, n uint64) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, msgUint8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, msgUint16), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, msgUint32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, msgUint64), n)
}

// appendNegative appends an integer of at most 0: "-0" is one.
func appendNegative(dst []byte, n int64) []byte {
	switch {
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, msgInt8, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, msgInt16), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, msgInt32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, msgInt64), uint64(n))
}

// kind is what a token is.
type kind byte

const (
	aNil kind = iota
	aBool
	anInt   // bits is an int64
	aUint   // bits is an uint64
	aFloat  // bits is a float64
	aText   // n bytes follow
	anArray // n values follow
	aMap    // n pairs follow
)

// token is the beginning of a value.
type token struct {
	kind kind
	n    int
	bits uint64
}

// readToken reads the beginning of the value at in[at:], and returns where it ends. ok is false where there is none, where what it
// announces is longer than what follows, and for what JSON has nothing for: binary data, extensions.
func readToken(in []byte, at int) (t token, after int, ok bool) {
	if at >= len(in) {
		return token{}, at, false
	}
	c := in[at]
	at++
	switch {
	case c < msgFixMap:
		return token{kind: aUint, bits: uint64(c)}, at, true
	case c >= msgNegative:
		return token{kind: anInt, bits: uint64(int64(int8(c)))}, at, true
	case c < msgFixArray:
		return sized(in, at, aMap, uint64(c-msgFixMap))
	case c < msgFixText:
		return sized(in, at, anArray, uint64(c-msgFixArray))
	case c < msgNil:
		return sized(in, at, aText, uint64(c-msgFixText))
	case c == msgNil:
		return token{kind: aNil}, at, true
	case c == msgFalse || c == msgTrue:
		return token{kind: aBool, bits: uint64(c - msgFalse)}, at, true
	}
	width := width[c]
	if width == 0 || len(in)-at < width {
		return token{}, at, false
	}
	var bits uint64
	for _, b := range in[at : at+width] {
		bits = bits<<8 | uint64(b)
	}
	at += width
	unused := 64 - 8*width
	switch c {
	case msgFloat32:
		return token{kind: aFloat, bits: math.Float64bits(float64(math.Float32frombits(uint32(bits))))}, at, true
	case msgFloat64:
		return token{kind: aFloat, bits: bits}, at, true
	case msgUint8, msgUint16, msgUint32, msgUint64:
		return token{kind: aUint, bits: bits}, at, true
	case msgInt8, msgInt16, msgInt32, msgInt64:
		return token{kind: anInt, bits: uint64(int64(bits<<unused) >> unused)}, at, true
	case msgText8, msgText16, msgText32:
		return sized(in, at, aText, bits)
	case msgArray16, msgArray32:
		return sized(in, at, anArray, bits)
	}
	return sized(in, at, aMap, bits)
}

// width is the number of bytes that follow a first byte, as a number or a length; 0 where there are none.
var width = [256]int{
	msgFloat32: 4, msgFloat64: 8,
	msgUint8: 1, msgUint16: 2, msgUint32: 4, msgUint64: 8,
	msgInt8: 1, msgInt16: 2, msgInt32: 4, msgInt64: 8,
	msgText8: 1, msgText16: 2, msgText32: 4,
	msgArray16: 2, msgArray32: 4, msgMap16: 2, msgMap32: 4,
}

// sized is a token of n bytes, values or pairs. Each takes a byte at least, a pair two.
func sized(in []byte, at int, k kind, n uint64) (token, int, bool) {
	least := n
	if k == aMap {
		least = 2 * n
	}
	return token{kind: k, n: int(n)}, at, least <= uint64(len(in)-at)
}

// skipValue returns where the value at in[at:] ends.
func skipValue(in []byte, at int) (after int, ok bool) {
	for values := 1; values > 0; values-- {
		t, next, ok := readToken(in, at)
		if !ok {
			return at, false
		}
		at = next
		switch t.kind {
		case aText:
			at += t.n
		case anArray:
			values += t.n
		case aMap:
			values += 2 * t.n
		}
	}
	return at, true
}

// readText reads the string at in[at:].
func readText(in []byte, at int) (text []byte, after int, ok bool) {
	t, at, ok := readToken(in, at)
	if !ok || t.kind != aText {
		return nil, at, false
	}
	return in[at : at+t.n], at + t.n, true
}

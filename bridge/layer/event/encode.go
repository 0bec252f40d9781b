package event

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
)

// maxDepth bounds how deep arrays and objects lie in each other, in both directions. Python's msgpack stops at 511, the event
// included.
const maxDepth = 500

// appendMsgpack appends to dst, as msgpack, the value that Python's json.loads makes of a JSON text: integers in the fewest bytes, other
// numbers as float64, members in their order, of equal names the last value in the place of the first. What Python cannot write is
// refused: integers outside -2^63 to 2^64-1 and surrogates without their other half. So is what is not JSON, NaN and numbers beyond
// float64 among it, and text that is not UTF-8; all of this also in values that are replaced.
func appendMsgpack(dst, text []byte) ([]byte, error) {
	var room [32]member
	e := encoder{in: text, out: dst, members: room[:0]}
	ok := e.value(0)
	if e.space(); ok && e.at < len(e.in) {
		ok = e.fail("more than one JSON value")
	}
	if !ok {
		return dst, &problem.Problem{
			Code:  group.CodeNotCarried,
			Cause: fmt.Sprintf("the message has %s at byte %d", e.wrong, e.at),
			Fix:   "send one JSON text in UTF-8, with integers of 64 bits and no half of a surrogate pair",
		}
	}
	return e.out, nil
}

// encoder reads JSON and writes msgpack in one pass. Its methods report whether they succeeded.
type encoder struct {
	in      []byte
	at      int // the next byte of in
	out     []byte
	members []member // of the objects that are open
	wrong   string   // why it failed
}

// member is where a member of an object lies in the output: its name from key to value, its value from there to end.
type member struct{ key, value, end int }

func (e *encoder) fail(wrong string) bool {
	e.wrong = wrong
	return false
}

func (e *encoder) space() {
	for e.at < len(e.in) {
		switch e.in[e.at] {
		case ' ', '\t', '\n', '\r':
			e.at++
		default:
			return
		}
	}
}

// next skips space and one byte, which it returns; 0 at the end.
func (e *encoder) next() byte {
	e.space()
	if e.at == len(e.in) {
		return 0
	}
	e.at++
	return e.in[e.at-1]
}

func (e *encoder) value(depth int) bool {
	switch c := e.next(); {
	case c == '"':
		return e.text()
	case c == '{' && depth < maxDepth:
		return e.object(depth)
	case c == '[' && depth < maxDepth:
		return e.array(depth)
	case c == '{' || c == '[':
		return e.fail("too many arrays and objects in each other")
	case c == '-' || '0' <= c && c <= '9':
		e.at--
		return e.number()
	case c == 't':
		return e.word("rue", msgTrue)
	case c == 'f':
		return e.word("alse", msgFalse)
	case c == 'n':
		return e.word("ull", msgNil)
	}
	return e.fail("no JSON value")
}

func (e *encoder) word(rest string, code byte) bool {
	if !bytes.HasPrefix(e.in[e.at:], []byte(rest)) {
		return e.fail("no JSON value")
	}
	e.at += len(rest)
	e.out = append(e.out, code)
	return true
}

func (e *encoder) array(depth int) bool {
	start, n := len(e.out), 0
	e.out = append(e.out, 0) // becomes the header
	if e.space(); e.at < len(e.in) && e.in[e.at] == ']' {
		e.at++
		e.header(start, 0, arrayCodes)
		return true
	}
	for {
		if !e.value(depth + 1) {
			return false
		}
		n++
		switch e.next() {
		case ']':
			e.header(start, n, arrayCodes)
			return true
		case ',':
		default:
			return e.fail("an array without its end")
		}
	}
}

func (e *encoder) object(depth int) bool {
	start, first := len(e.out), len(e.members)
	e.out = append(e.out, 0) // becomes the header
	if e.space(); e.at < len(e.in) && e.in[e.at] == '}' {
		e.at++
		e.header(start, 0, mapCodes)
		return true
	}
	for {
		m := member{key: len(e.out)}
		if e.next() != '"' {
			return e.fail("a member without a name")
		}
		if !e.text() {
			return false
		}
		m.value = len(e.out)
		if e.next() != ':' {
			return e.fail("a member without a value")
		}
		if !e.value(depth + 1) {
			return false
		}
		m.end = len(e.out)
		e.members = append(e.members, m)
		switch e.next() {
		case '}':
			n := e.distinct(e.members[first:])
			e.members = e.members[:first]
			e.header(start, n, mapCodes)
			return true
		case ',':
		default:
			return e.fail("an object without its end")
		}
	}
}

// distinct leaves one member of each name in the output, where the members are what was written last, and returns how many there
// are: the last value in the place of the first, as in a dict of Python.
func (e *encoder) distinct(members []member) int {
	if !e.repeated(members) {
		return len(members)
	}
	place, kept := make(map[string]int, len(members)), make([]member, 0, len(members))
	written := bytes.Clone(e.out[members[0].key:])
	start := members[0].key
	for _, m := range members {
		name := string(written[m.key-start : m.value-start])
		if i, known := place[name]; known {
			kept[i] = m
			continue
		}
		place[name] = len(kept)
		kept = append(kept, m)
	}
	e.out = e.out[:start]
	for _, m := range kept {
		e.out = append(e.out, written[m.key-start:m.end-start]...)
	}
	return len(kept)
}

// repeated reports whether two members may have the same name. To compare each name with each other costs less than a table up to some
// 32 of them; a fix has 22.
func (e *encoder) repeated(members []member) bool {
	if len(members) > 32 {
		return true
	}
	for i, m := range members {
		name := e.out[m.key:m.value]
		for _, other := range members[:i] {
			if bytes.Equal(name, e.out[other.key:other.value]) {
				return true
			}
		}
	}
	return false
}

// text reads a string after its first quote.
func (e *encoder) text() bool {
	start := len(e.out)
	for {
		run := e.at
		for e.at < len(e.in) && plain[e.in[e.at]] {
			e.at++
		}
		if e.at == len(e.in) {
			return e.fail("a string without its end")
		}
		part := e.in[run:e.at]
		if !utf8.Valid(part) {
			return e.fail("a string that is not UTF-8")
		}
		switch e.in[e.at] {
		case '"':
			e.at++
			if len(e.out) == start { // no escapes: the length is known before it is written
				e.out = append(appendHeader(e.out, len(part), textCodes), part...)
			} else {
				e.out = append(e.out, part...)
				e.header(start, len(e.out)-start-1, textCodes)
			}
			return true
		case '\\':
			if len(e.out) == start {
				e.out = append(e.out, 0) // becomes the header
			}
			e.out = append(e.out, part...)
			if !e.escape() {
				return false
			}
		default:
			return e.fail("a control character in a string")
		}
	}
}

// plain are the bytes of a string that stand for themselves.
var plain = func() (is [256]bool) {
	for c := range is {
		is[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return is
}()

// escape reads an escape sequence at its backslash.
func (e *encoder) escape() bool {
	if e.at+1 >= len(e.in) {
		return e.fail("a string without its end")
	}
	c := e.in[e.at+1]
	e.at += 2
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return e.unicode()
	default:
		return e.fail("an unknown escape in a string")
	}
	e.out = append(e.out, c)
	return true
}

// unicode reads the four digits after \u, and those of the other half of a surrogate pair.
func (e *encoder) unicode() bool {
	r, ok := e.digits()
	if !ok {
		return e.fail("an unknown escape in a string")
	}
	if utf16.IsSurrogate(r) {
		high := r
		if r = utf8.RuneError; bytes.HasPrefix(e.in[e.at:], []byte(`\u`)) {
			e.at += 2
			low, _ := e.digits()
			r = utf16.DecodeRune(high, low)
		}
		if r == utf8.RuneError {
			return e.fail("half of a surrogate pair")
		}
	}
	e.out = utf8.AppendRune(e.out, r)
	return true
}

func (e *encoder) digits() (rune, bool) {
	if len(e.in)-e.at < 4 {
		return 0, false
	}
	var r rune
	for _, c := range e.in[e.at : e.at+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	e.at += 4
	return r, true
}

// number reads a number. One with a fraction or an exponent is a float64, like in Python.
func (e *encoder) number() bool {
	start, float := e.at, false
	if e.in[e.at] == '-' {
		e.at++
	}
	leading := e.at
	if n := e.decimal(); n == 0 || n > 1 && e.in[leading] == '0' {
		return e.fail("no JSON number")
	}
	if e.at < len(e.in) && e.in[e.at] == '.' {
		e.at, float = e.at+1, true
		if e.decimal() == 0 {
			return e.fail("no JSON number")
		}
	}
	if e.at < len(e.in) && e.in[e.at]|0x20 == 'e' {
		e.at, float = e.at+1, true
		if e.at < len(e.in) && (e.in[e.at] == '+' || e.in[e.at] == '-') {
			e.at++
		}
		if e.decimal() == 0 {
			return e.fail("no JSON number")
		}
	}
	if float {
		f, err := strconv.ParseFloat(string(e.in[start:e.at]), 64)
		if err != nil {
			return e.fail("a number beyond float64")
		}
		e.out = binary.BigEndian.AppendUint64(append(e.out, msgFloat64), math.Float64bits(f))
		return true
	}
	n, err := strconv.ParseUint(string(e.in[leading:e.at]), 10, 64)
	negative := leading > start
	if err != nil || negative && n > 1<<63 {
		return e.fail("an integer of more than 64 bits")
	}
	if negative {
		e.out = appendNegative(e.out, int64(-n))
	} else {
		e.out = appendUint(e.out, n)
	}
	return true
}

// decimal skips decimal digits and returns how many there were.
func (e *encoder) decimal() int {
	start := e.at
	for e.at < len(e.in) && '0' <= e.in[e.at] && e.in[e.at] <= '9' {
		e.at++
	}
	return e.at - start
}

// header puts the header of a container of n, or a string of n bytes, in the place of the byte at start, and moves what follows where
// it needs more.
func (e *encoder) header(start, n int, c codes) {
	var room [5]byte
	head := appendHeader(room[:0], n, c)
	if more := len(head) - 1; more > 0 {
		e.out = append(e.out, room[:more]...)
		copy(e.out[start+len(head):], e.out[start+1:len(e.out)-more])
	}
	copy(e.out[start:], head)
}

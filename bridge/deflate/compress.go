package deflate

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// What DEFLATE allows (RFC 1951, 3.2.5).
const (
	minMatch = 3
	maxMatch = 258
)

// How many earlier places with the same three bytes are compared with each place. A client's are as many as there are fixes in a
// window of 4 KiB, and a few more. A server compresses each message again for each member, whatever a publisher sends: few make a
// byte of a fix more, and texts that repeat with errors take a quarter of the time.
const (
	clientTries = 16
	serverTries = 2
)

// niceMatch is the length of a match inside of which no other is looked for: it saves half of the time for 0.04
// bytes of a fix, and most of it for long texts that repeat themselves.
const niceMatch = 64

// compressors are shared by all connections: each needs one for as long as a message takes.
var compressors = sync.Pool{New: func() any { return new(compressor) }}

// compressor writes a text with the fewest bits that the fixed Huffman codes of RFC 1951 need for it, where it may refer to the
// texts before: nearly so, because it does not try each match. A text of some hundred bytes is too short for codes of its own.
type compressor struct {
	text    []byte                  // what comes before, and the text
	heads   [4096]uint16            // by the hash of three bytes: 1 + the last place that has them, 0 for none
	earlier [1 << WindowBits]uint16 // of each place: 1 + the last one before it with the same hash
	ways    [1<<(WindowBits-1) + 1]way
}

// way is the end of the cheapest way to write the text up to some place.
type way struct {
	bits             uint32 // of all of it
	length, distance uint16 // of the last match; distance 0: it is a byte as it is
	next             uint16 // place that follows on the cheapest way to the end
}

// compress writes a text of at most half a window after what comes before it, which together are a window at most.
func (c *compressor) compress(w *bitWriter, before, text []byte, tries int) {
	c.text = append(append(c.text[:0], before...), text...)
	c.index()
	c.find(len(before), tries)
	for at := len(text); at > 0; {
		from := at - int(c.ways[at].length)
		c.ways[from].next = uint16(at)
		at = from
	}
	for at := 0; at < len(text); {
		next := int(c.ways[at].next)
		if last := c.ways[next]; last.distance > 0 {
			w.code(lengths[last.length])
			w.code(distanceCode(int(last.distance)))
		} else {
			w.code(symbols[text[at]])
		}
		at = next
	}
}

// index finds for each place the ones before it that have the same hash.
func (c *compressor) index() {
	clear(c.heads[:])
	for at := range max(0, len(c.text)-minMatch+1) {
		three := uint32(c.text[at]) | uint32(c.text[at+1])<<8 | uint32(c.text[at+2])<<16
		head := &c.heads[three*0x9e3779b1>>20] // a multiplicative hash
		c.earlier[at], *head = *head, uint16(at+1)
	}
}

// find finds the cheapest way to each place from start on. A match is tried where it ends farther than all that begin before it: what
// ends sooner is covered by those, and seldom cheaper.
func (c *compressor) find(start, tries int) {
	ways := c.ways[:len(c.text)-start+1]
	for i := range ways {
		ways[i].bits = 1 << 31 // more than any
	}
	ways[0].bits = 0
	covered := start // by matches
	for at := start; at < len(c.text); at++ {
		so := ways[at-start].bits
		ways[at-start+1].shorten(so+uint32(symbols[c.text[at]].size), 1, 0)
		least, most := max(covered, at+minMatch-1), min(len(c.text), at+maxMatch)
		if most < at+minMatch {
			continue
		}
		place := c.earlier[at]
		for left := tries; place > 0 && least < most && left > 0; left-- {
			distance := at + 1 - int(place)
			if place = c.earlier[place-1]; c.text[least-distance] != c.text[least] {
				continue
			}
			end := at + c.common(at-distance, at, most-at)
			cost := so + uint32(distanceCode(distance).size)
			for ; least < end; least++ {
				length := least + 1 - at
				ways[least+1-start].shorten(cost+uint32(lengths[length].size), length, distance)
				covered = least + 1
			}
		}
		if least >= at+niceMatch {
			at = least - 1
		}
	}
}

func (w *way) shorten(bits uint32, length, distance int) {
	if bits < w.bits {
		w.bits, w.length, w.distance = bits, uint16(length), uint16(distance)
	}
}

// common is how many bytes are the same from two places on, most at most.
func (c *compressor) common(a, b, most int) (n int) {
	for n+8 <= most {
		if x := binary.LittleEndian.Uint64(c.text[a+n:]) ^ binary.LittleEndian.Uint64(c.text[b+n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
		n += 8
	}
	for n < most && c.text[a+n] == c.text[b+n] {
		n++
	}
	return n
}

// code is some bits, the first of them the lowest.
type code struct {
	bits uint32
	size uint8
}

// Of the fixed Huffman codes (RFC 1951, 3.2.6), and what ends a block.
var (
	symbols = fixedCodes()
	lengths = lengthCodes()
)

const endOfBlock = 256

func fixedCodes() (all [286]code) {
	for s := range all {
		value, size := uint16(s), 8
		switch {
		case s < 144:
			value += 0x30
		case s < 256:
			value, size = value-144+0x190, 9
		case s < 280:
			value, size = value-256, 7
		default:
			value = value - 280 + 0xc0
		}
		all[s] = code{uint32(bits.Reverse16(value) >> (16 - size)), uint8(size)}
	}
	return all
}

// lengthCodes are those of lengths of a match, with their extra bits.
func lengthCodes() (all [maxMatch + 1]code) {
	for length := minMatch; length < maxMatch; length++ {
		n := length - minMatch
		extra := max(0, bits.Len(uint(n))-3)
		all[length] = symbols[257+4*extra+n>>extra].with(n, extra)
	}
	all[maxMatch] = symbols[285]
	return all
}

// distanceCode is that of the distance of a match, with its extra bits.
func distanceCode(distance int) code {
	n := distance - 1
	extra := max(0, bits.Len(uint(n))-2)
	return code{uint32(bits.Reverse8(uint8(2*extra+n>>extra)) >> 3), 5}.with(n, extra)
}

// with appends the lowest bits of a number.
func (c code) with(n, extra int) code {
	return code{c.bits | uint32(n&(1<<extra-1))<<c.size, c.size + uint8(extra)}
}

// bitWriter appends bits to bytes.
type bitWriter struct {
	out  []byte
	bits uint64 // that are not in out yet, the first of them the lowest
	size int
}

func (w *bitWriter) code(c code) {
	w.bits |= uint64(c.bits) << w.size
	for w.size += int(c.size); w.size >= 8; w.size -= 8 {
		w.out = append(w.out, byte(w.bits))
		w.bits >>= 8
	}
}

package relay

import (
	"encoding/binary"
	"math"
)

// The parts of a frame's header (RFC 6455, section 5.2).
const (
	finalFrame = 0x80 // the message ends with this frame
	textFrame  = 0x01
	pongFrame  = 0x0a
	length16   = 126 // in place of the length: it follows in 16 bits
	length64   = 127 // or in 64
)

// appendFrame appends data as one frame of a server, which does not mask, and
// returns where in the result the data begins.
func appendFrame(dst []byte, opcode byte, data []byte) (frame []byte, start int) {
	dst = append(dst, finalFrame|opcode)
	switch n := len(data); {
	case n < length16:
		dst = append(dst, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, length16), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, length64), uint64(n))
	}
	start = len(dst)
	return append(dst, data...), start
}

// maxFrameHeader is two bytes and a length of 64 bits.
const maxFrameHeader = 10

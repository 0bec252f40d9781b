package protocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// frame is the form of a binary protocol's messages, and what to do about a receiver that sends nothing else.
type frame struct {
	name string
	sync []byte
	head int // bytes that give the length
	// size is the length of a message by its head, 0 when it is not one.
	size  func(head []byte) int
	valid func(message []byte) bool

	code problem.Code
	fix  string
}

// frameMost bounds what a false beginning holds back: the longest message that receivers are seen to send is UBX-RXM-RAWX of
// some 200 measurements.
const frameMost = 8 << 10

// gpsdReads ends the fix where gpsd reads a protocol.
const gpsdReads = "; or read it through gpsd with --device gpsd://localhost:2947"

// frames are the protocols that are recognised.
var frames = []frame{
	{
		// u-blox: B5 62, class, number, length, payload, Fletcher's sum (interface description, UBX frame).
		name: "UBX", sync: []byte{0xB5, 0x62}, head: 6,
		size: func(h []byte) int { return 8 + int(binary.LittleEndian.Uint16(h[4:])) },
		valid: func(m []byte) bool {
			var a, b byte
			for _, c := range m[2 : len(m)-2] {
				a += c
				b += a
			}
			return m[len(m)-2] == a && m[len(m)-1] == b
		},
		code: source.BinaryUBX, fix: "switch NMEA output on with u-center or ubxtool, and save it" + gpsdReads,
	},
	{
		// SiRF: A0 A2, length, payload, a sum of 15 bits, B0 B3 (binary protocol reference, transport message).
		name: "SiRF", sync: []byte{0xA0, 0xA2}, head: 4,
		size: func(h []byte) int { return 8 + int(binary.BigEndian.Uint16(h[2:])) },
		valid: func(m []byte) bool {
			sum := uint16(0)
			for _, c := range m[4 : len(m)-4] {
				sum = (sum + uint16(c)) & 0x7fff
			}
			return len(m) > 8 && binary.BigEndian.Uint16(m[len(m)-4:]) == sum && m[len(m)-2] == 0xB0 && m[len(m)-1] == 0xB3
		},
		code: source.BinarySiRF, fix: "switch it to NMEA with gpsctl -n (gpsd leaves receivers in this state)" + gpsdReads,
	},
	{
		// RTCM 3: D3, six zero bits, ten of length, payload, CRC-24Q (RTCM 10403, transport layer).
		name: "RTCM3", sync: []byte{0xD3}, head: 3,
		size: func(h []byte) int {
			if h[1]&0xFC != 0 {
				return 0
			}
			return 6 + int(binary.BigEndian.Uint16(h[1:]))
		},
		valid: func(m []byte) bool { return len(m) > 6 && crc(m, 24, 0x864CFB) == 0 },
		code:  source.BinaryRTCM3, fix: "these are corrections for other receivers: switch NMEA output on in the receiver's configuration",
	},
	{
		// Septentrio: $@, CRC, number, length, which is a multiple of 4 (SBF reference, block header).
		name: "SBF", sync: []byte{'$', '@'}, head: 8,
		size: func(h []byte) int {
			n := int(binary.LittleEndian.Uint16(h[6:]))
			if n < 8 || n%4 != 0 {
				return 0
			}
			return n
		},
		valid: func(m []byte) bool { return crc(m[4:], 16, 0x1021) == uint32(binary.LittleEndian.Uint16(m[2:])) },
		code:  source.BinarySBF, fix: "switch NMEA output on with the receiver's setNMEAOutput command",
	},
	{
		// Garmin: DLE, number, length, payload, a sum of 8 bits that makes 0, DLE ETX; DLE in number to sum is doubled (device
		// interface specification, serial protocol). A message with a doubled DLE is not recognised; others follow.
		name: "Garmin", sync: []byte{0x10}, head: 3,
		size: func(h []byte) int {
			if h[1] == 0x10 || h[1] == 0x03 {
				return 0
			}
			return 6 + int(h[2])
		},
		valid: func(m []byte) bool {
			sum := byte(0)
			for _, c := range m[1 : len(m)-2] {
				sum += c
			}
			return sum == 0 && m[len(m)-2] == 0x10 && m[len(m)-1] == 0x03
		},
		code: source.BinaryGarmin, fix: "switch its interface to NMEA in its menu" + gpsdReads,
	},
	{
		// Trimble: DLE, number, payload, DLE ETX, without a length or a sum (TSIP reference, packet structure). Health of the
		// receiver (0x46, 2 bytes) and its extra status (0x4B, 3 bytes) come every few seconds and have a fixed length.
		name: "TSIP", sync: []byte{0x10}, head: 2,
		size: func(h []byte) int {
			switch h[1] {
			case 0x46:
				return 6
			case 0x4B:
				return 7
			}
			return 0
		},
		valid: func(m []byte) bool { return m[len(m)-2] == 0x10 && m[len(m)-1] == 0x03 },
		code:  source.BinaryTSIP, fix: "switch NMEA output on with Trimble Studio" + gpsdReads,
	},
}

// crc is the sum of so many bits with a polynomial that begins with 0. Over a message with its own sum behind it it is 0.
func crc(m []byte, bits int, polynomial uint32) (sum uint32) {
	for _, c := range m {
		sum ^= uint32(c) << (bits - 8)
		for range 8 {
			carry := sum >> (bits - 1) & 1
			sum = sum<<1 ^ carry*polynomial
		}
	}
	return sum & (1<<bits - 1)
}

// framer finds messages in a stream.
type framer struct {
	frame
	open []byte // a message that is not complete
}

// scan takes the next bytes and returns how many messages they complete.
func (f *framer) scan(p []byte) (messages int) {
	if len(f.open) == 0 && !bytes.Contains(p, f.sync) && (len(p) == 0 || p[len(p)-1] != f.sync[0]) {
		return 0 // the usual case costs nothing
	}
	f.open = append(f.open, p...)
	for from := 0; ; {
		i := bytes.IndexByte(f.open[from:], f.sync[0])
		if i < 0 {
			f.open = f.open[:0]
			return messages
		}
		from += i
		n, known := f.length(f.open[from:])
		switch {
		case !known || n <= frameMost && len(f.open)-from < n:
			f.open = append(f.open[:0], f.open[from:]...)
			return messages
		case n > 0 && n <= frameMost && f.valid(f.open[from:from+n]):
			messages++
			from += n
		default:
			from++
		}
	}
}

// length is that of the message at the start of open, 0 when it is not one; not known before its head is complete.
func (f *framer) length(open []byte) (n int, known bool) {
	if len(open) < f.head {
		return 0, !bytes.HasPrefix(f.sync, open[:min(len(open), len(f.sync))])
	}
	if !bytes.HasPrefix(open, f.sync) {
		return 0, true
	}
	return f.size(open), true
}

// onlyBinary is the problem of a receiver that sends a binary protocol and no NMEA.
func onlyBinary(port, name, at string) *problem.Problem {
	i := slices.IndexFunc(frames, func(f frame) bool { return f.name == name })
	return &problem.Problem{Code: frames[i].code, Cause: fmt.Sprintf("%s sends %s%s, a binary protocol, and no NMEA", port, name, at), Fix: frames[i].fix}
}

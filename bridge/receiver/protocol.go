package receiver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
	"gpsbridge/nmea"
)

// Protocols, as Status names them.
const (
	protoNMEA = "NMEA"
	protoUBX  = "UBX"
	protoSiRF = "SiRF"
)

// speech listens for what a line speaks. The zero value is not ready: newSpeech.
type speech struct {
	scanner nmea.Scanner
	framers []framer
	// What was heard: sentences with the right checksum, sentences without one, and frames of a binary protocol.
	sentences, unchecked, frames uint64
	binary                       string // the protocol of the last frame
	first                        []byte // the first sentence
}

func newSpeech() *speech {
	s := &speech{framers: []framer{{frameKind: ubx}, {frameKind: sirf}}}
	s.scanner.AllowNoChecksum = true // a few receivers send none
	return s
}

// hear takes the next bytes.
func (s *speech) hear(p []byte) {
	s.scanner.Scan(p, s.sentence)
	for i := range s.framers {
		if n := s.framers[i].scan(p); n > 0 {
			s.frames += uint64(n)
			s.binary = s.framers[i].name
		}
	}
}

// midMessage says that a message of a binary protocol may have begun.
func (s *speech) midMessage() bool {
	return slices.ContainsFunc(s.framers, func(f framer) bool { return bytes.HasPrefix(f.open, f.sync) })
}

func (s *speech) sentence(text []byte) {
	if s.first == nil && addressed(text) {
		s.first = bytes.Clone(text)
	}
	switch {
	case !addressed(text):
	case len(text) > 3 && text[len(text)-3] == '*':
		s.sentences++
	default:
		s.unchecked++
	}
}

// enoughUnchecked is how many sentences without a checksum are taken for no accident.
const enoughUnchecked = 3

// nmea says that the line speaks NMEA.
func (s *speech) nmea() bool { return s.sentences > 0 || s.unchecked >= enoughUnchecked }

// addressed says that a sentence begins as those of IEC 61162-1 and of makers do: an address of capital letters and digits,
// and a field. Noise can have a right checksum: one of 256 does.
func addressed(sentence []byte) bool {
	n := 0
	for _, c := range sentence[1:] {
		if c == ',' {
			break
		}
		if !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
			return false
		}
		n++
	}
	return n >= 4 && n < len(sentence)-1
}

// frameKind is the form of a binary protocol's messages.
type frameKind struct {
	name string
	sync []byte
	head int // bytes that tell the length
	// size is the length of a message by its head, 0 when it is none.
	size  func(head []byte) int
	valid func(message []byte) bool
}

// frameMost bounds what a false beginning makes wait. Longer messages exist, but no receiver sends those alone.
const frameMost = 1024

// ubx is the protocol of u-blox: B5 62, class, number, length, payload, Fletcher's sum (interface description, UBX frame).
var ubx = frameKind{
	name: protoUBX, sync: []byte{0xB5, 0x62}, head: 6,
	size: func(h []byte) int { return 8 + int(binary.LittleEndian.Uint16(h[4:])) },
	valid: func(m []byte) bool {
		var a, b byte
		for _, c := range m[2 : len(m)-2] {
			a += c
			b += a
		}
		return m[len(m)-2] == a && m[len(m)-1] == b
	},
}

// sirf is the protocol of SiRF: A0 A2, length, payload, a sum of 15 bits, B0 B3 (binary protocol reference, transport message).
var sirf = frameKind{
	name: protoSiRF, sync: []byte{0xA0, 0xA2}, head: 4,
	size: func(h []byte) int { return 8 + int(binary.BigEndian.Uint16(h[2:])) },
	valid: func(m []byte) bool {
		sum := uint16(0)
		for _, c := range m[4 : len(m)-4] {
			sum = (sum + uint16(c)) & 0x7fff
		}
		return len(m) > 8 && binary.BigEndian.Uint16(m[len(m)-4:]) == sum && m[len(m)-2] == 0xB0 && m[len(m)-1] == 0xB3
	},
}

// framer finds messages in a stream.
type framer struct {
	frameKind
	open []byte // a message that is not complete
}

// scan takes the next bytes and returns how many messages they complete.
func (f *framer) scan(p []byte) (messages int) {
	if len(f.open) == 0 && bytes.IndexByte(p, f.sync[0]) < 0 {
		return 0 // the usual case costs nothing
	}
	f.open = append(f.open, p...)
	for {
		i := bytes.IndexByte(f.open, f.sync[0])
		if i < 0 {
			f.open = f.open[:0]
			return messages
		}
		f.open = append(f.open[:0], f.open[i:]...)
		n, known := f.length()
		switch {
		case !known || n <= frameMost && len(f.open) < n:
			return messages
		case n > 0 && n <= frameMost && f.valid(f.open[:n]):
			messages++
			f.open = append(f.open[:0], f.open[n:]...)
		default:
			f.open = append(f.open[:0], f.open[1:]...)
		}
	}
}

// length is that of the message at the start of open, 0 when it is none; not known before its head is complete.
func (f *framer) length() (n int, known bool) {
	if len(f.open) < f.head {
		return 0, !bytes.HasPrefix(f.sync, f.open[:min(len(f.open), 2)])
	}
	if !bytes.HasPrefix(f.open, f.sync) {
		return 0, true
	}
	return f.size(f.open), true
}

// binaryOnly is the problem of a receiver that sends a binary protocol and no NMEA.
func binaryOnly(port, protocol string, baud int) *problem.Problem {
	p := &problem.Problem{Code: source.BinaryUBX, Fix: "switch NMEA output on with u-center or ubxtool, and save it"}
	if protocol == protoSiRF {
		p.Code, p.Fix = source.BinarySiRF, "switch it to NMEA with gpsctl -n (gpsd leaves receivers in this state)"
	}
	p.Cause = fmt.Sprintf("%s sends %s at %d baud, a binary protocol, and no NMEA", port, protocol, baud)
	p.Fix += "; or read it through gpsd with --device gpsd://localhost:2947"
	return p
}

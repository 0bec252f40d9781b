// Package protocol recognises what a receiver sends: NMEA 0183, with a position or without one, or a binary protocol.
package protocol

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
	"gpsbridge/nmea"
)

// NMEA is the name of NMEA 0183, as a status shows it. The others are in the table of frames.
const NMEA = "NMEA"

// Recogniser counts what a stream holds. Make it with New.
type Recogniser struct {
	Bytes uint64 // before it was known to be NMEA, line ends not counted
	// Sentences have the right checksum, Unchecked have none. Frames are messages of binary protocols.
	Sentences, Unchecked, Frames uint64
	// Positions are the sentences, with a checksum or without, of the types that a GPS receiver sends.
	Positions uint64
	Fixed     bool   // one of them was of a receiver with a fix
	Binary    string // the protocol of the last frame
	First     []byte // the first sentence

	scanner   nmea.Scanner
	framers   []framer
	printable uint64
	other     string       // the address of the last sentence that is not of a GPS receiver, such as "AIVDM"
	sevenBit  nmea.Scanner // reads the same without the highest bits
	head      []byte       // the first bytes
}

// New returns a Recogniser that has seen nothing.
func New() *Recogniser {
	r := &Recogniser{}
	r.scanner.AllowNoChecksum = true // a few receivers send none
	for _, k := range frames {
		r.framers = append(r.framers, framer{frame: k})
	}
	return r
}

// Scan takes the next bytes. Once it is known to be NMEA 0183, nothing but sentences is looked for.
func (r *Recogniser) Scan(p []byte) {
	r.scanner.Scan(p, r.sentence)
	if r.IsNMEA() {
		return
	}
	for _, c := range p {
		if c == '\r' || c == '\n' {
			continue
		}
		r.Bytes++
		if c >= ' ' && c < 0x7f {
			r.printable++
		}
	}
	for i := range r.framers {
		if n := r.framers[i].scan(p); n > 0 {
			r.Frames += uint64(n)
			r.Binary = r.framers[i].name
		}
	}
	if missing := headMost - len(r.head); missing > 0 {
		r.head = append(r.head, p[:min(missing, len(p))]...)
	}
	r.sevenBit.Scan(lowBits(p), func([]byte) {})
}

// headMost is enough to recognise a greeting.
const headMost = 32

func lowBits(p []byte) []byte {
	low := make([]byte, len(p))
	for i, c := range p {
		low[i] = c & 0x7f
	}
	return low
}

// All is the number of sentences, with a checksum or without.
func (r *Recogniser) All() uint64 { return r.Sentences + r.Unchecked }

// Damaged is the number of sentences with a wrong checksum.
func (r *Recogniser) Damaged() uint64 { return r.scanner.Stats().BadChecksum }

// enoughUnchecked is how many sentences without a checksum are not an accident.
const enoughUnchecked = 3

// IsNMEA reports whether the stream is NMEA 0183.
func (r *Recogniser) IsNMEA() bool { return r.Sentences > 0 || r.Unchecked >= enoughUnchecked }

// IsText reports whether the stream is text: random bytes are printable in 97 of 256 cases.
func (r *Recogniser) IsText() bool { return r.Bytes >= 16 && r.printable >= r.Bytes*9/10 }

// MidMessage reports whether a message of a binary protocol may have begun.
func (r *Recogniser) MidMessage() bool {
	return slices.ContainsFunc(r.framers, func(f framer) bool { return len(f.open) >= len(f.sync) })
}

// positionTypes are the sentences of a GPS receiver.
var positionTypes = []string{"RMC", "GGA", "GNS", "GLL", "GSA", "GSV", "ZDA"}

func (r *Recogniser) sentence(text []byte) {
	address, ok := addressOf(text)
	if !ok {
		return
	}
	if r.First == nil {
		r.First = bytes.Clone(text)
	}
	if len(text) > 3 && text[len(text)-3] == '*' {
		r.Sentences++
	} else {
		r.Unchecked++
	}
	if len(address) == 5 && slices.Contains(positionTypes, string(address[2:])) {
		r.Positions++
		r.Fixed = r.Fixed || hasFix(string(address[2:]), text)
	} else if r.Positions == 0 {
		r.other = string(address)
	}
}

// hasFix reports whether a sentence has a position: by the status of RMC and GLL, and the quality of GGA.
func hasFix(kind string, text []byte) bool {
	field := func(n int) string {
		fields := bytes.SplitN(text, []byte(","), n+2)
		if len(fields) < n+2 {
			return ""
		}
		return string(fields[n])
	}
	switch kind {
	case "RMC":
		return field(2) == "A" || field(2) == "D"
	case "GLL":
		return field(6) == "A" || field(6) == "D"
	case "GGA":
		quality := field(6)
		return quality != "" && quality != "0"
	}
	return false
}

// addressOf returns the address of a sentence that begins as those of IEC 61162-1 and of makers do: capital letters and
// digits, and a field. Noise can have a right checksum: one of 256 does.
func addressOf(sentence []byte) (address []byte, ok bool) {
	address, _, fields := bytes.Cut(sentence[1:], []byte(","))
	if !fields || len(address) < 4 {
		return nil, false
	}
	for _, c := range address {
		if !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
			return nil, false
		}
	}
	return address, true
}

// Problem is what is wrong with all that the stream held so far, nil where it held a sentence of a GPS receiver or nothing at
// all. Port names the stream, and at is how it was read, such as " at 9600 baud".
func (r *Recogniser) Problem(port, at string) *problem.Problem {
	switch {
	case r.Positions > 0, r.Bytes == 0 && !r.IsNMEA():
		return nil
	case strings.HasSuffix(r.other, "VDM") || strings.HasSuffix(r.other, "VDO"):
		return &problem.Problem{Code: source.OnlyAIS, Cause: fmt.Sprintf("%s sends AIS%s (%s), and no position of its own", port, at, r.other),
			Fix: "this is an AIS receiver: name the port of a GPS receiver"}
	case r.IsNMEA():
		return &problem.Problem{Code: source.NoPosition, Cause: fmt.Sprintf("%s sends NMEA 0183%s (%s), and no RMC, GGA, GNS or GLL", port, at, r.other),
			Fix: "switch these sentences on, or name the port of a GPS receiver"}
	case r.Frames > 0:
		return onlyBinary(port, r.Binary, at)
	case r.sevenBit.Stats().Sentences > 0:
		return &problem.Problem{Code: source.SevenBits, Cause: fmt.Sprintf("%s sends NMEA 0183%s with 7 data bits and a parity bit", port, at),
			Fix: "set the receiver to 8 data bits and no parity (8N1)"}
	case bytes.HasPrefix(r.head, []byte(`{"class":"VERSION"`)):
		return &problem.Problem{Code: source.IsGPSD, Cause: port + " is gpsd, which sends JSON unless it is asked", Fix: "use gpsd:// in place of tcp://"}
	case r.IsText():
		return &problem.Problem{Code: source.NotNMEA, Cause: fmt.Sprintf("%s sends text%s that is not NMEA 0183 (%.20q)", port, at, r.head),
			Fix: "it is not a GPS receiver, such as a modem's control port, or its NMEA output is off"}
	}
	return nil
}

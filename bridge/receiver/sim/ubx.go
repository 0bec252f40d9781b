package sim

import (
	"encoding/binary"
	"math"
)

// The message NAV-PVT of u-blox receivers: position, velocity and time.
const (
	navPVT      = 0x0701 // class and number as they are sent
	navPVTBytes = 92
)

// appendUBX appends an epoch of a receiver that was set to the binary protocol UBX: two synchronisation bytes, class, number,
// length, payload, and Fletcher's sum over all but the first two (u-blox interface description).
func (g *Generator) appendUBX(dst []byte) []byte {
	s := &g.State
	var p [navPVTBytes]byte
	word := func(at int, v float64) { binary.LittleEndian.PutUint32(p[at:], uint32(int32(math.Round(v)))) }
	p[4], p[5] = byte(s.Time.Year()), byte(s.Time.Year()>>8)
	p[6], p[7] = byte(s.Time.Month()), byte(s.Time.Day())
	p[8], p[9], p[10] = byte(s.Time.Hour()), byte(s.Time.Minute()), byte(s.Time.Second())
	p[11] = 7 // date and time are valid
	word(16, float64(s.Time.Nanosecond()))
	if s.Fix {
		p[20], p[21] = 3, 1 // three-dimensional, within limits
		word(24, s.Lon*1e7)
		word(28, s.Lat*1e7)
		word(32, (s.AltMSL+s.GeoidSep)*1e3)
		word(36, s.AltMSL*1e3)
		word(60, s.Speed*1e3)
		word(64, s.Track*1e5)
	}
	p[23] = byte(s.Used)
	start := len(dst) + 2
	dst = append(dst, 0xB5, 0x62)
	dst = binary.LittleEndian.AppendUint16(dst, navPVT)
	dst = binary.LittleEndian.AppendUint16(dst, navPVTBytes)
	dst = append(dst, p[:]...)
	var a, b byte
	for _, c := range dst[start:] {
		a += c
		b += a
	}
	return append(dst, a, b)
}

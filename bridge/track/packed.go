package track

import (
	"encoding/binary"
	"math"
	"time"
)

// packed is a point in the memory and in the file of a Day, little-endian: at 0 the time in milliseconds since 1970 (8 bytes), from
// 8 on four wide quantities (4 bytes each), from 24 on five narrow ones (2 bytes each), and at 34 the mode in bits 0 and 1, the
// status in bits 2 to 5, and bit 6 when the way from the point before is known. Quantities are signed; the lowest number is one
// that the fix lacks, or that does not fit.
type packed [packedSize]byte

const (
	packedSize = 35
	wide       = 4 // quantities
	knownBit   = 1 << 6
)

// scales are what the quantities are multiplied by: latitude and longitude (to 11 mm), altMSL and altHAE; speed, which reaches up to
// 327 m/s, hdop, vdop, pdop, and uSat.
var scales = [...]float64{1e7, 1e7, 1000, 1000, 100, 100, 100, 100, 1}

func (p *Point) quantities() [len(scales)]**float64 {
	return [...]**float64{&p.Lat, &p.Lon, &p.AltMSL, &p.AltHAE, &p.Speed, &p.HDOP, &p.VDOP, &p.PDOP, &p.USat}
}

func pack(p *Point, known bool) (k packed) {
	binary.LittleEndian.PutUint64(k[:], uint64(p.Time.UnixMilli()))
	for i, v := range p.quantities() {
		if at, size := place(i); size == 4 {
			binary.LittleEndian.PutUint32(k[at:], uint32(scaled(*v, scales[i], math.MinInt32)))
		} else {
			binary.LittleEndian.PutUint16(k[at:], uint16(scaled(*v, scales[i], math.MinInt16)))
		}
	}
	k[34] = byte(p.Mode&3 | p.Status&15<<2)
	return k.reached(known)
}

// place is where a quantity is, and its size in bytes.
func place(i int) (at, size int) {
	if i < wide {
		return 8 + 4*i, 4
	}
	return 24 + 2*(i-wide), 2
}

// scaled is a value as a whole number above none, or none.
func scaled(v *float64, scale float64, none int) int {
	if v != nil {
		if n := math.Round(*v * scale); math.Abs(n) < -float64(none) {
			return int(n)
		}
	}
	return none
}

// quantity is the opposite of scaled; false where there is none.
func (k *packed) quantity(i int) (v float64, some bool) {
	n, none := 0, math.MinInt16
	if at, size := place(i); size == 4 {
		n, none = int(int32(binary.LittleEndian.Uint32(k[at:]))), math.MinInt32
	} else {
		n = int(int16(binary.LittleEndian.Uint16(k[at:])))
	}
	return float64(n) / scales[i], n != none
}

// point is the opposite of pack.
func (k *packed) point() Point {
	p := Point{Time: time.UnixMilli(k.time()).UTC(), Mode: int(k[34] & 3), Status: int(k[34] >> 2 & 15), joined: apart}
	if k.known() {
		p.joined = joinedOn
	}
	var values [len(scales) + 1]float64
	for i, v := range p.quantities() {
		if n, some := k.quantity(i); some {
			values[i] = n
			*v = &values[i]
		}
	}
	if p.AltHAE != nil && p.AltMSL != nil {
		values[len(scales)] = math.Round((*p.AltHAE-*p.AltMSL)*1000) / 1000
		p.GeoidSep = &values[len(scales)]
	}
	return p
}

func (k *packed) time() int64 { return int64(binary.LittleEndian.Uint64(k[:])) }

// position is latitude and longitude in degrees.
func (k *packed) position() (lat, lon float64) {
	lat, _ = k.quantity(0) // a point has both
	lon, _ = k.quantity(1)
	return lat, lon
}

func (k *packed) known() bool { return k[34]&knownBit != 0 }

// reached is k after a way that is known or not.
func (k packed) reached(known bool) packed {
	k[34] &^= knownBit
	if known {
		k[34] |= knownBit
	}
	return k
}

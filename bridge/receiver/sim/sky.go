package sim

import (
	"math"
	"math/rand/v2"
)

// Satellite is one satellite in view.
type Satellite struct {
	System    int // 0 GPS, 1 GLONASS, 2 Galileo, 3 BeiDou
	Number    int // as in GSV: GPS, Galileo and BeiDou from 1, GLONASS from 65
	Elevation int // degrees above the horizon
	Azimuth   int // degrees clockwise from true north, 0 to 359
	CN0       int // dB-Hz, 0 when it is in view and not received
	Used      bool
}

// system is a constellation, with the satellites that are over London.
type system struct {
	talker     string // of its GSV sentences
	gsaID      byte   // NMEA 4.11 system ID
	signal     byte   // NMEA 4.11 signal ID of the civil signal that every receiver has
	satellites []place
}

// place is where a satellite is in the middle of its way, in degrees: invented, but spread as in a real sky.
type place struct{ number, elevation, azimuth int }

// systems, in the order in which receivers send them. GSA has no room for more than twelve satellites of one.
var systems = [4]system{
	{"GP", '1', '1', []place{{2, 68, 125}, {5, 34, 301}, {7, 14, 38}, {9, 55, 62}, {13, 22, 240}, {15, 44, 198}, {20, 12, 330}, {25, 63, 285}, {29, 18, 95}, {30, 29, 156}}},
	{"GL", '2', '1', []place{{66, 48, 210}, {67, 61, 320}, {68, 19, 352}, {74, 13, 25}, {75, 37, 74}, {76, 26, 128}, {82, 11, 175}, {83, 32, 246}, {84, 16, 290}}},
	{"GA", '3', '7', []place{{3, 41, 52}, {5, 15, 110}, {8, 58, 168}, {13, 24, 205}, {15, 66, 260}, {21, 13, 310}, {26, 35, 338}, {27, 12, 12}, {31, 28, 85}}},
	{"GB", '4', '1', []place{{19, 17, 20}, {20, 52, 98}, {22, 36, 140}, {27, 12, 190}, {29, 43, 225}, {30, 64, 275}, {36, 21, 300}, {37, 31, 345}, {39, 14, 65}}},
}

const (
	// A satellite moves by swing degrees to each side in swingPeriod seconds, and round with it: below 0.7° a minute, as the
	// real ones.
	swing       = 5
	swingPeriod = 3600

	maskUse = 10 // degrees: below it the air and the houses spoil the signal
	minUse  = 25 // dB-Hz: weaker signals are not used

	// noDOP is what receivers send for a dilution of precision that there is none of.
	noDOP = 99.99
)

// sky is the satellites over the vehicle. It changes once a second.
type sky struct {
	count  int     // constellations
	turn   float64 // turns all of the sky, degrees
	random *rand.Rand
	noise  []float64 // of C/N0, dB, one a satellite: a slow random walk that is pulled back to 0

	view             []Satellite
	numUsed          int
	hdop, vdop, pdop float64
}

func newSky(count int, seed uint64) *sky {
	s := &sky{count: count, random: rand.New(rand.NewPCG(seed, 2))}
	s.turn = 360 * s.random.Float64()
	for _, sys := range systems[:count] {
		s.noise = append(s.noise, make([]float64, len(sys.satellites))...)
	}
	return s
}

// update looks at the sky t seconds after an arbitrary epoch. Without open sky nothing is received, and a receiver goes on
// listing what it expects to be there.
func (s *sky) update(t float64, open bool) {
	s.view, s.numUsed = s.view[:0], 0
	for k, sys := range systems[:s.count] {
		for _, p := range sys.satellites {
			i := len(s.view)
			s.noise[i] = 0.9*s.noise[i] + 0.8*s.random.NormFloat64()
			sin, cos := math.Sincos(2*math.Pi*t/swingPeriod + float64(i))
			sat := Satellite{
				System: k, Number: p.number,
				Elevation: p.elevation + int(math.Round(swing*sin)),
				Azimuth:   int(math.Mod(float64(p.azimuth)+s.turn+swing*cos+360, 360)),
			}
			if open {
				sat.CN0 = int(math.Round(24 + 23*math.Sqrt(math.Sin(float64(sat.Elevation)*math.Pi/180)) + s.noise[i]))
				sat.Used = sat.Elevation >= maskUse && sat.CN0 >= minUse
			}
			if sat.Used {
				s.numUsed++
			}
			s.view = append(s.view, sat)
		}
	}
	s.dilute()
}

// dilute sets the dilutions of precision: they fall with the number of satellites as those of real receivers do, about.
func (s *sky) dilute() {
	if s.numUsed < 4 {
		s.hdop, s.vdop, s.pdop = noDOP, noDOP, noDOP
		return
	}
	s.hdop = 0.4 + 5/float64(s.numUsed)
	s.vdop = 1.4 * s.hdop
	s.pdop = math.Hypot(s.hdop, s.vdop)
}

// of returns the satellites of one constellation.
func (s *sky) of(system int) []Satellite {
	from := 0
	for _, sys := range systems[:system] {
		from += len(sys.satellites)
	}
	return s.view[from : from+len(systems[system].satellites)]
}

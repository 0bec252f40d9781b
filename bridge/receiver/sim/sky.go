package sim

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
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

const (
	maskView = 5  // degrees: below it receivers do not list a satellite
	maskUse  = 10 // degrees: below it the air and the houses spoil the signal
	minUse   = 25 // dB-Hz: weaker signals are not used
	maxView  = 12 // satellites of one constellation in view: three GSV sentences
	maxUsed  = 12 // satellites of one constellation in GSA: one sentence has no room for more
)

// sky is the satellites over the vehicle. It changes once a second.
type sky struct {
	count   int       // constellations
	offset  []float64 // turns each constellation, radians
	noise   []float64 // of C/N0, dB, one a satellite: a slow random walk that is pulled back to 0
	random  *rand.Rand
	view    []Satellite
	dop     dilution
	numUsed int
}

func newSky(count int, seed uint64) *sky {
	s := &sky{count: count, random: rand.New(rand.NewPCG(seed, 2))}
	total := 0
	for _, sys := range systems[:count] {
		total += sys.size()
		s.offset = append(s.offset, 2*math.Pi*s.random.Float64())
	}
	s.noise = make([]float64, total)
	return s
}

// update looks at the sky t seconds after an arbitrary epoch. Without open sky nothing is received, and a receiver goes on
// listing what it knows to be there.
func (s *sky) update(t, lat, lon float64, open bool) {
	s.view = s.view[:0]
	base := 0
	for k, sys := range systems[:s.count] {
		from := len(s.view)
		for i := range sys.size() {
			s.noise[base+i] = 0.9*s.noise[base+i] + 0.8*s.random.NormFloat64()
			el, az := sys.direction(i, t, s.offset[k], lat, lon)
			if el >= maskView {
				s.view = append(s.view, satellite(k, sys.first+i, el, az, s.noise[base+i], open))
			}
		}
		base += sys.size()
		s.view = s.view[:from+highest(s.view[from:])]
	}
	s.dop = dilutionOf(s.view)
	s.numUsed = 0
	for _, sat := range s.view {
		if sat.Used {
			s.numUsed++
		}
	}
}

// satellite fills in what is heard of one: the higher, the stronger.
func satellite(system, number int, el, az, noise float64, open bool) Satellite {
	sat := Satellite{System: system, Number: number, Elevation: int(el), Azimuth: int(math.Round(az)) % 360}
	if !open {
		return sat
	}
	sat.CN0 = int(math.Round(24 + 23*math.Sqrt(math.Sin(el*math.Pi/180)) + noise))
	sat.Used = sat.Elevation >= maskUse && sat.CN0 >= minUse
	return sat
}

// highest puts the satellites in the order of their numbers, after it has left only the maxView highest. It returns how
// many there are.
func highest(sats []Satellite) int {
	slices.SortFunc(sats, func(a, b Satellite) int { return cmp.Compare(b.Elevation, a.Elevation) })
	sats = sats[:min(len(sats), maxView)]
	slices.SortFunc(sats, func(a, b Satellite) int { return cmp.Compare(a.Number, b.Number) })
	return len(sats)
}

// of returns the satellites of one constellation.
func (s *sky) of(system int) []Satellite {
	from := 0
	for from < len(s.view) && s.view[from].System < system {
		from++
	}
	to := from
	for to < len(s.view) && s.view[to].System == system {
		to++
	}
	return s.view[from:to]
}

package sim

import (
	"math"
	"strconv"
)

const knotsPerMPS = 3600.0 / 1852

// appendSentences appends the burst of the state, in the order of u-blox M8 and M9 receivers: RMC, VTG, GGA, GSA, GSV, GLL;
// GSV, GST and ZDA only once a second, as receivers at higher rates are set to.
func (g *Generator) appendSentences(dst []byte) []byte {
	p := g.profile
	dst = g.appendRMC(dst)
	if p.full {
		dst = g.appendVTG(dst)
	}
	dst = g.appendGGA(dst)
	for k := range p.systems {
		dst = g.appendGSA(dst, k)
	}
	if g.onSecond() && g.second()%int64(p.gsv) == 0 {
		for k := range p.systems {
			dst = g.appendGSV(dst, k)
		}
	}
	if !p.full {
		return dst
	}
	dst = g.appendGLL(dst)
	if g.onSecond() {
		dst = g.appendGST(dst)
		dst = g.appendZDA(dst)
	}
	return dst
}

// talker is GN for a receiver that mixes constellations, GP for one that has GPS alone.
func (g *Generator) talker() string {
	if g.profile.systems == 1 {
		return "GP"
	}
	return "GN"
}

func (g *Generator) appendRMC(dst []byte) []byte {
	s := &g.State
	l := begin(dst, g.talker(), "RMC").clock(g.State.Time)
	if s.Fix {
		l = l.text("A").position(s.Lat, s.Lon).number(s.Speed*knotsPerMPS, 3).course(s, 0)
	} else {
		l = l.text("V").empty(6)
	}
	l = l.date(s.Time)
	if s.Fix {
		l = l.number(magVar, 1).text("E").text("A")
	} else {
		l = l.empty(2).text("N")
	}
	return l.text("V").end() // V: navigational status not provided
}

func (g *Generator) appendVTG(dst []byte) []byte {
	s := &g.State
	l := begin(dst, g.talker(), "VTG")
	if !s.Fix {
		return l.empty(8).text("N").end()
	}
	l = l.course(s, 0).text("T").course(s, -magVar).text("M")
	return l.number(s.Speed*knotsPerMPS, 3).text("N").number(s.Speed*3.6, 3).text("K").text("A").end()
}

func (g *Generator) appendGGA(dst []byte) []byte {
	s := &g.State
	l := begin(dst, g.talker(), "GGA").clock(s.Time)
	if !s.Fix {
		return l.empty(4).text("0").text("00").text("99.99").empty(6).end()
	}
	l = l.position(s.Lat, s.Lon).text("1").padded(s.Used, 2).number(s.HDOP, 2)
	return l.number(s.AltMSL, 1).text("M").number(geoidSep, 1).text("M").empty(2).end()
}

func (g *Generator) appendGLL(dst []byte) []byte {
	s := &g.State
	l := begin(dst, g.talker(), "GLL")
	if !s.Fix {
		return l.empty(4).clock(s.Time).text("V").text("N").end()
	}
	return l.position(s.Lat, s.Lon).clock(s.Time).text("A").text("A").end()
}

// gsaPlaces is how many satellites a GSA has room for.
const gsaPlaces = 12

// appendGSA lists the satellites in use of one constellation.
func (g *Generator) appendGSA(dst []byte, system int) []byte {
	s := &g.State
	l := begin(dst, g.talker(), "GSA").text("A")
	if s.Fix {
		l = l.text("3")
	} else {
		l = l.text("1")
	}
	n := 0
	for _, sat := range g.sky.of(system) {
		if sat.Used {
			l = l.padded(sat.Number, 2)
			n++
		}
	}
	l = l.empty(gsaPlaces-n).number(s.PDOP, 2).number(s.HDOP, 2).number(s.VDOP, 2)
	if g.profile.systems == 1 {
		return l.end() // old receivers: NMEA 2.3, without system ID
	}
	return l.text(string(systems[system].gsaID)).end()
}

// appendGSV lists the satellites in view of one constellation, four a sentence.
func (g *Generator) appendGSV(dst []byte, system int) []byte {
	sats := g.sky.of(system)
	sys := systems[system]
	total := max((len(sats)+3)/4, 1)
	for i := range total {
		l := begin(dst, sys.talker, "GSV").padded(total, 1).padded(i+1, 1).padded(len(sats), 2)
		for _, sat := range sats[min(4*i, len(sats)):min(4*i+4, len(sats))] {
			l = l.padded(sat.Number, 2).padded(sat.Elevation, 2).padded(sat.Azimuth, 3)
			if sat.CN0 > 0 {
				l = l.padded(sat.CN0, 2)
			} else {
				l = l.empty(1)
			}
		}
		if g.profile.systems > 1 {
			l = l.text(string(sys.signal))
		}
		dst = l.end()
	}
	return dst
}

// rangeError is the error of a range that the deviations of GST come from, m.
const rangeError = 1.5

func (g *Generator) appendGST(dst []byte) []byte {
	s := &g.State
	l := begin(dst, g.talker(), "GST").clock(s.Time)
	if !s.Fix {
		return l.empty(7).end()
	}
	flat := rangeError * s.HDOP / math.Sqrt2 // of latitude and longitude, the error being round
	return l.number(rangeError*8, 0).number(flat, 1).number(flat, 1).number(0, 0).
		number(flat, 1).number(flat, 1).number(rangeError*s.VDOP, 1).end()
}

func (g *Generator) appendZDA(dst []byte) []byte {
	t := g.State.Time
	return begin(dst, g.talker(), "ZDA").clock(t).
		padded(t.Day(), 2).padded(int(t.Month()), 2).padded(t.Year(), 4).text("00").text("00").end()
}

// course adds the track turned by offset degrees, or an empty field while there is none.
func (l line) course(s *State, offset float64) line {
	if !s.Moving {
		return l.empty(1)
	}
	// Round before folding: 359.996 is 0.00 and not 360.00.
	hundredths := int(math.Round((s.Track+offset)*100)+36000) % 36000
	return l.number(float64(hundredths)/100, 2)
}

// position adds latitude and longitude as degrees and minutes with five decimals, 1.8 cm.
func (l line) position(lat, lon float64) line {
	return l.angle(lat, 2, "N", "S").angle(lon, 3, "E", "W")
}

func (l line) angle(degrees float64, width int, positive, negative string) line {
	side := positive
	if degrees < 0 {
		side, degrees = negative, -degrees
	}
	// In whole units of the last decimal, so that the minutes never round up to 60.
	units := int64(math.Round(degrees * 60 * 1e5))
	l = l.padded(int(units/6_000_000), width)
	minutes := units % 6_000_000
	l.b = appendPadded(l.b, int(minutes/100_000), 2)
	l.b = append(l.b, '.')
	l.b = appendPadded(l.b, int(minutes%100_000), 5)
	return l.text(side)
}

// number adds v with so many decimals.
func (l line) number(v float64, decimals int) line {
	l.b = strconv.AppendFloat(append(l.b, ','), v, 'f', decimals, 64)
	return l
}

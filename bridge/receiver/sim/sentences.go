package sim

import (
	"fmt"
	"math"
	"strings"
)

const knotsPerMPS = 3600.0 / 1852

// appendSentences appends the burst of the state, in the order of u-blox M8 and M9 receivers: RMC, VTG, GGA, GSA, GSV, GLL;
// GSV, GST and ZDA only once a second, as receivers at higher rates are set to.
func (g *Generator) appendSentences(dst []byte) []byte {
	p, s := g.profile, &g.State
	second, whole := g.second()
	clock, position := s.Time.Format("150405.00"), s.position() // rates that do not divide 100 are cut, as receivers do
	add := func(name, format string, args ...any) { dst = appendSentence(dst, g.talker()+name, format, args...) }
	if s.Fix {
		add("RMC", "%s,A,%s,%.3f,%s,%s,%.1f,E,A,V", clock, position, s.Speed*knotsPerMPS, s.course(0), s.date(), magVar) // V: no navigational status
	} else {
		add("RMC", "%s,V,,,,,,,%s,,,N,V", clock, s.date())
	}
	switch {
	case !p.full:
	case s.Fix:
		add("VTG", "%s,T,%s,M,%.3f,N,%.3f,K,A", s.course(0), s.course(-magVar), s.Speed*knotsPerMPS, s.Speed*3.6)
	default:
		add("VTG", ",,,,,,,,N")
	}
	if s.Fix {
		add("GGA", "%s,%s,1,%02d,%.2f,%.1f,M,%.1f,M,,", clock, position, s.Used, s.HDOP, s.AltMSL, geoidSep)
	} else {
		add("GGA", "%s,,,,,0,00,99.99,,,,,,", clock)
	}
	for k := range p.systems {
		add("GSA", "%s", g.gsa(k))
	}
	if whole && second%int64(p.gsv) == 0 {
		for k := range p.systems {
			dst = g.appendGSV(dst, k)
		}
	}
	switch {
	case !p.full:
		return dst
	case s.Fix:
		add("GLL", "%s,%s,A,A", position, clock)
	default:
		add("GLL", ",,,,%s,V,N", clock)
	}
	if !whole {
		return dst
	}
	if s.Fix {
		flat := rangeError * s.HDOP / math.Sqrt2 // of latitude and longitude, the error being round
		add("GST", "%s,%.0f,%.1f,%.1[3]f,0,%.1[3]f,%.1[3]f,%.1[4]f", clock, rangeError*8, flat, rangeError*s.VDOP)
	} else {
		add("GST", "%s,,,,,,,", clock)
	}
	add("ZDA", "%s,00,00", s.Time.Format("150405.00,02,01,2006"))
	return dst
}

// appendSentence appends a sentence with its checksum.
func appendSentence(dst []byte, address, format string, args ...any) []byte {
	from := len(dst) + 1
	dst = fmt.Appendf(dst, "$"+address+","+format, args...)
	sum := byte(0)
	for _, c := range dst[from:] {
		sum ^= c
	}
	return fmt.Appendf(dst, "*%02X\r\n", sum)
}

// talker is GN for a receiver that mixes constellations, GP for one that has GPS alone.
func (g *Generator) talker() string {
	if g.profile.systems == 1 {
		return "GP"
	}
	return "GN"
}

// gsaPlaces is how many satellites a GSA has room for.
const gsaPlaces = 12

// gsa are the fields that list the satellites in use of one constellation.
func (g *Generator) gsa(system int) string {
	s := &g.State
	fields := []string{"A", "1"}
	if s.Fix {
		fields[1] = "3"
	}
	for _, sat := range g.sky.of(system) {
		if sat.Used {
			fields = append(fields, fmt.Sprintf("%02d", sat.Number))
		}
	}
	fields = append(fields, make([]string, 2+gsaPlaces-len(fields))...)
	fields = append(fields, fmt.Sprintf("%.2f,%.2f,%.2f", s.PDOP, s.HDOP, s.VDOP))
	if g.profile.systems > 1 { // old receivers have NMEA 2.3, without system ID
		fields = append(fields, string(systems[system].gsaID))
	}
	return strings.Join(fields, ",")
}

// appendGSV lists the satellites in view of one constellation, four a sentence.
func (g *Generator) appendGSV(dst []byte, system int) []byte {
	sats, sys := g.sky.of(system), systems[system]
	total := max((len(sats)+3)/4, 1)
	for i := range total {
		var list strings.Builder
		for _, sat := range sats[min(4*i, len(sats)):min(4*i+4, len(sats))] {
			fmt.Fprintf(&list, ",%02d,%02d,%03d,", sat.Number, sat.Elevation, sat.Azimuth)
			if sat.CN0 > 0 {
				fmt.Fprintf(&list, "%02d", sat.CN0)
			}
		}
		if g.profile.systems > 1 {
			list.WriteString("," + string(sys.signal))
		}
		dst = appendSentence(dst, sys.talker+"GSV", "%d,%d,%02d%s", total, i+1, len(sats), list.String())
	}
	return dst
}

// rangeError is the error of a range that the deviations of GST come from, m.
const rangeError = 1.5

func (s *State) date() string { return s.Time.Format("020106") }

// course is the track turned by offset degrees, or empty while there is none.
func (s *State) course(offset float64) string {
	if !s.Moving {
		return ""
	}
	// Round before folding: 359.996 is 0.00 and not 360.00.
	hundredths := int(math.Round((s.Track+offset)*100)+36000) % 36000
	return fmt.Sprintf("%.2f", float64(hundredths)/100)
}

// position is latitude and longitude as degrees and minutes with five decimals, 1.8 cm.
func (s *State) position() string {
	return angle(s.Lat, 2, "N", "S") + "," + angle(s.Lon, 3, "E", "W")
}

func angle(degrees float64, width int, positive, negative string) string {
	side := positive
	if degrees < 0 {
		side, degrees = negative, -degrees
	}
	// In whole units of the last decimal, so that the minutes never round up to 60.
	units := int64(math.Round(degrees * 60 * 1e5))
	return fmt.Sprintf("%0*d%02d.%05d,%s", width, units/6_000_000, units%6_000_000/100_000, units%100_000, side)
}

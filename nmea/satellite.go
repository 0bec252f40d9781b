package nmea

// Constellations in u-blox's numbers, which gpsd uses too.
const (
	gnssGPS     = 0
	gnssSBAS    = 1
	gnssGalileo = 2
	gnssBeiDou  = 3
	gnssIMES    = 4
	gnssQZSS    = 5
	gnssGLONASS = 6
	gnssNavIC   = 7

	unknownGNSS = -1
)

// talkers are the constellations of the talkers that speak of one alone.
var talkers = map[string]int{
	"GP": gnssGPS, "GL": gnssGLONASS, "GA": gnssGalileo, "GB": gnssBeiDou, "BD": gnssBeiDou, "GQ": gnssQZSS, "QZ": gnssQZSS,
	"GI": gnssNavIC, "IM": gnssNavIC,
}

// constellation returns that of a talker, unknownGNSS for a mixed or unknown one.
func constellation(talker string) int {
	if gnss, ok := talkers[talker]; ok {
		return gnss
	}
	return unknownGNSS
}

// systems are the constellations of the system IDs of NMEA 4.1, from 1 on.
var systems = [...]int{gnssGPS, gnssGLONASS, gnssGalileo, gnssBeiDou, gnssQZSS, gnssNavIC}

// numbering is a range of numbers by which receivers name satellites.
type numbering struct {
	from, to int
	gnss     int
	first    int // the number of from within the constellation
}

// unambiguous are ranges that no constellation uses for itself. They are those that gpsd knows.
var unambiguous = []numbering{
	{401, 463, gnssBeiDou, 1},
	{301, 336, gnssGalileo, 1},
	{201, 263, gnssBeiDou, 1},
	{193, 200, gnssQZSS, 1},
	{901, 918, gnssNavIC, 1}, // Allystar
}

// own are ranges that hold in the sentences of one constellation alone: Quectel's of Galileo, and QZSS where its numbers have
// grown into BeiDou's.
var own = [...][]numbering{
	gnssGalileo: {{101, 136, gnssGalileo, 1}},
	gnssQZSS:    {{193, 210, gnssQZSS, 1}},
	gnssNavIC:   nil,
}

// common are the ranges of NMEA 0183 in sentences that state none of the constellations that number themselves.
var common = []numbering{
	{120, 158, gnssSBAS, 120},
	{173, 182, gnssIMES, 1},
	{65, 99, gnssGLONASS, 1},
	{33, 64, gnssSBAS, 120},
}

// themselves is the last number of the constellations that number their satellites from 1 in their own sentences.
var themselves = [...]int{gnssGLONASS: 32, gnssGalileo: 999, gnssBeiDou: 999, gnssQZSS: 999, gnssNavIC: 999}

// above is by how much gpsd's number of a satellite, over all constellations, is above that within its own.
var above = [...]int{gnssGLONASS: 64, gnssGalileo: 300, gnssBeiDou: 400, gnssIMES: 172, gnssQZSS: 192, gnssNavIC: 500}

// satellite returns the satellite that a receiver numbers n in a sentence of the constellation gnss, unknownGNSS when that is not
// stated. Receivers number either within the constellation or in a range of their own.
func satellite(gnss, n int) Satellite {
	if n <= 32 { // below every range: nearly all are
		return newSatellite(max(gnss, gnssGPS), n)
	}
	ranges := [...][]numbering{nil, unambiguous, common}
	if gnss >= 0 {
		ranges[0] = own[gnss]
		if n <= themselves[gnss] {
			ranges[2] = nil
		}
	}
	for _, rs := range ranges {
		for _, r := range rs {
			if n >= r.from && n <= r.to {
				return newSatellite(r.gnss, n-r.from+r.first)
			}
		}
	}
	return newSatellite(max(gnss, gnssGPS), n)
}

func newSatellite(gnss, n int) Satellite {
	return Satellite{GNSSID: uint8(gnss), SVID: n, PRN: n + above[gnss]}
}

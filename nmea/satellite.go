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
)

// talkerGNSS returns the constellation of a talker, -1 for a mixed or unknown
// one.
func talkerGNSS(talker string) int {
	switch talker {
	case "GP":
		return gnssGPS
	case "GL":
		return gnssGLONASS
	case "GA":
		return gnssGalileo
	case "GB", "BD":
		return gnssBeiDou
	case "GQ", "QZ":
		return gnssQZSS
	case "GI", "IM":
		return gnssNavIC
	}
	return -1
}

// systemGNSS returns the constellation of a system ID of NMEA 4.1, -1 for an
// unknown one.
func systemGNSS(field string) int {
	if len(field) != 1 {
		return -1
	}
	switch field[0] {
	case '1':
		return gnssGPS
	case '2':
		return gnssGLONASS
	case '3':
		return gnssGalileo
	case '4':
		return gnssBeiDou
	case '5':
		return gnssQZSS
	case '6':
		return gnssNavIC
	}
	return -1
}

// satellite returns the satellite that a receiver numbers n in a sentence of the constellation gnss, -1 when that is not
// stated. Receivers number either within the constellation or in a common range. Ranges that no constellation uses for itself
// are unambiguous and go first. They are those that gpsd knows.
func satellite(gnss, n int) Satellite {
	switch {
	case n >= 401 && n <= 463:
		gnss, n = gnssBeiDou, n-400
	case n >= 301 && n <= 336:
		gnss, n = gnssGalileo, n-300
	case n >= 201 && n <= 263:
		gnss, n = gnssBeiDou, n-200
	case n >= 193 && n <= 202:
		gnss, n = gnssQZSS, n-192
	case n >= 901 && n <= 918: // Allystar
		gnss, n = gnssNavIC, n-900
	case gnss == gnssGalileo && n >= 101 && n <= 136: // Quectel
		n -= 100
	case gnss == gnssGLONASS && n <= 32, gnss == gnssGalileo, gnss == gnssBeiDou,
		gnss == gnssQZSS, gnss == gnssNavIC:
	case n >= 120 && n <= 158:
		gnss = gnssSBAS
	case n >= 173 && n <= 182:
		gnss, n = gnssIMES, n-172
	case n >= 65 && n <= 99:
		gnss, n = gnssGLONASS, n-64
	case n >= 33 && n <= 64:
		gnss, n = gnssSBAS, n+87
	case gnss < 0:
		gnss = gnssGPS
	}
	return Satellite{GNSSID: uint8(gnss), SVID: n, PRN: prn(gnss, n)}
}

// prn returns gpsd's number of a satellite over all constellations.
func prn(gnss, svid int) int {
	switch gnss {
	case gnssGLONASS:
		return svid + 64
	case gnssGalileo:
		return svid + 300
	case gnssBeiDou:
		return svid + 400
	case gnssIMES:
		return svid + 172
	case gnssQZSS:
		return svid + 192
	case gnssNavIC:
		return svid + 500
	}
	return svid
}

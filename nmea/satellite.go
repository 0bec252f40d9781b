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

// satellite names the satellite that a receiver numbers n in a sentence of the
// constellation gnss (-1 when it did not say). Receivers number either within
// the constellation or in a range of their own; ranges that no constellation has
// of itself tell more and go first. They are those that gpsd knows.
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

// parseGSA: selection, dimension, 12 satellites, PDOP, HDOP, VDOP, system ID
// (4.1). A receiver of 24 channels sends 24 satellites; the fields behind them
// are then the DOPs all the same.
func parseGSA(r *reading) {
	if !r.require(15) {
		return
	}
	if d := r.letter(1); d >= '1' && d <= '3' {
		r.dim = Mode(d - '0')
	}
	slots := 12
	if len(r.Fields) >= 27 {
		slots = 24
	}
	r.pdop, r.hdop, r.vdop = r.dop(slots+2), r.dop(slots+3), r.dop(slots+4)
	r.gnss = systemGNSS(r.field(slots + 5))
	if r.gnss < 0 {
		r.gnss = talkerGNSS(r.Talker)
	}
	for i := 2; i < slots+2; i++ {
		if n := r.number(i, 1, 999); n.Set {
			r.sats = append(r.sats, satellite(r.gnss, int(n.V)))
		}
	}
}

// parseGSV: parts, part, satellites in view, then number, elevation, azimuth
// and signal for up to four satellites, then the signal ID (4.1).
func parseGSV(r *reading) {
	if !r.require(3) {
		return
	}
	parts, part := r.number(0, 1, 99), r.number(1, 1, 99)
	if !parts.Set || !part.Set || part.V > parts.V {
		r.kind = kindOther
		return
	}
	r.parts, r.part = int(parts.V), int(part.V)
	r.gnss = talkerGNSS(r.Talker)
	if (len(r.Fields)-3)%4 != 0 {
		r.signal = r.letter(3 + (len(r.Fields)-3)/4*4)
	}
	r.views((len(r.Fields) - 3) / 4)
}

// views reads n satellites from field 3 on.
func (r *reading) views(n int) {
	for i := range n {
		f := 3 + 4*i
		id := r.number(f, 1, 999)
		if !id.Set {
			continue
		}
		s := satellite(r.gnss, int(id.V))
		s.El, s.Az, s.SS = r.number(f+1, -90, 90), r.number(f+2, 0, 360), r.number(f+3, 0, 99)
		r.sats = append(r.sats, s)
	}
}

// quectelGNSS returns the constellation of the last field of Quectel's PQGSA
// and PQGSV.
func quectelGNSS(field string) int {
	if field == "5" {
		return gnssQZSS
	}
	return gnssBeiDou
}

// parsePQGSA is parseGSA with Quectel's constellation in the last field.
func parsePQGSA(r *reading) {
	parseGSA(r)
	r.gnss = quectelGNSS(r.field(len(r.Fields) - 1))
	for i := range r.sats {
		r.sats[i] = satellite(r.gnss, r.sats[i].SVID)
	}
}

// parsePQGSV is parseGSV with Quectel's constellation in the last field.
func parsePQGSV(r *reading) {
	parseGSV(r)
	r.gnss = quectelGNSS(r.field(len(r.Fields) - 1))
	for i, s := range r.sats {
		id := satellite(r.gnss, s.SVID)
		id.El, id.Az, id.SS = s.El, s.Az, s.SS
		r.sats[i] = id
	}
}

package nmea

import "strings"

// kind is a type of sentence that states something about a fix or a sky.
type kind uint8

const (
	kindOther kind = iota // nothing for us
	kindRMC
	kindGGA
	kindGNS
	kindGLL
	kindGSA
	kindVTG
	kindZDA
	kindGST
	kindGBS
	kindUBX // PUBX,00; 04 is a ZDA
	kindRMZ // PGRMZ, Garmin's altitude
	kindRME // PGRME, Garmin's error estimates
	kindHDG
	kindHDT
	kindTHS
	kindGSV
	kindTXT
	kinds
)

// position reports whether a sentence of the kind states where the receiver is, or that it does not know.
func (k kind) position() bool {
	return k == kindRMC || k == kindGGA || k == kindGNS || k == kindGLL || k == kindUBX
}

// timed reports whether a sentence of the kind may have a time.
func (k kind) timed() bool {
	return k.position() || k == kindZDA || k == kindGST || k == kindGBS
}

// weak reports whether a sentence of the kind gives way to others that state the same quantity: VTG to RMC, PGRMZ has the altitude in
// whole feet, HDG's variation is that of a compass, and GBS is about integrity where GST is about accuracy.
func (k kind) weak() bool { return k == kindVTG || k == kindRMZ || k == kindHDG || k == kindGBS }

// follows reports whether a sentence of the kind is of the epoch that is open when it comes, whatever others without a time are:
// Garmin's come after its position, and a compass is no part of any epoch.
func (k kind) follows() bool { return k == kindRMZ || k == kindRME || k == kindHDG }

// none is the index of what is not there: the field of the time in a sentence without one, a member that has no room.
const none = -1

// sentences is the table of the sentences that this package reads. A new one is a kind above, a row here and its parser below.
var sentences = [...]struct {
	typ    string // without the talker; with the P of a proprietary sentence
	kind   kind
	fields int // fewer are a flaw
	clock  int // field of the time of day, or none
	parse  func(*reading)
}{
	{"RMC", kindRMC, 8, 0, parseRMC},
	{"GGA", kindGGA, 6, 0, parseGGA},
	{"GNS", kindGNS, 6, 0, parseGNS},
	{"GLL", kindGLL, 4, 4, parseGLL},
	{"GSA", kindGSA, 15, none, parseGSA},
	{"GSV", kindGSV, 3, none, parseGSV},
	{"VTG", kindVTG, 4, none, parseVTG},
	{"ZDA", kindZDA, 4, 0, parseZDA},
	{"GST", kindGST, 8, 0, parseGST},
	{"GBS", kindGBS, 4, 0, parseGBS},
	{"HDG", kindHDG, 5, none, parseHDG},
	{"HDT", kindHDT, 2, none, parseHDT},
	{"THS", kindTHS, 2, none, parseTHS},
	{"TXT", kindTXT, 0, none, parseTXT},
	{"PUBX", kindUBX, 2, 1, parseUBX},
	{"PGRME", kindRME, 4, none, parseRME},
	{"PGRMZ", kindRMZ, 3, none, parseRMZ},
	{"PQGSA", kindGSA, 15, none, parsePQGSA},
	{"PQGSV", kindGSV, 3, none, parsePQGSV},
	// AIS is about other ships; unpacking its armour would be wasted.
	{"VDM", kindOther, 0, none, func(*reading) {}},
	{"VDO", kindOther, 0, none, func(*reading) {}},
}

// Field numbers below count from 0 after the address. The layouts are those of NMEA 0183 versions 2.0 to 4.11; where
// receivers differ, the comment names the receiver.

// Plausible ranges, and units. A COCOM receiver stops at 515 m/s, and the geoid stays within -107 and +86 m of the ellipsoid.
const (
	maxSpeed = 1000.0 // m/s
	maxGeoid = 250.0  // m

	knot  = 1852.0 / 3600 // m/s
	kmh   = 1 / 3.6       // m/s
	metre = 1.0
	foot  = 0.3048 // m
)

// parseRMC: time, status, latitude, N, longitude, E, knots, track, date, variation, E, FAA mode, navigational status.
// Versions before 2.3 end after the variation; Motorola's T805 puts the mode in the place of the variation's direction, and
// some receivers leave the direction out, which moves the mode.
func parseRMC(r *reading) {
	mode := r.letter(11)
	if d := r.letter(10); d != 0 && d != 'E' && d != 'W' && mode == 0 {
		mode = d
	}
	if r.judge(r.letter(1), mode) {
		r.place(2)
		r.values[speed] = r.scaled(6, 0, maxSpeed, knot)
		r.values[track] = r.angle(7)
	}
	r.day(8)
	r.variation(9, 10)
}

// quality is the status by GGA's quality. 9 is NovAtel's for SBAS.
var quality = [256]Status{
	'1': StatusGPS, '2': StatusDGPS, '3': StatusPPS, '4': StatusRTKFixed, '5': StatusRTKFloat, '6': StatusDeadReckoning,
	'7': StatusSurveyed, '8': StatusSimulated, '9': StatusDGPS,
}

// parseGGA: time, latitude, N, longitude, E, quality, satellites used, HDOP, altitude, M, separation, M, age, station.
// Saab's R4 ends early when it has nothing to state. Where the quality is left empty the other sentences decide.
func parseGGA(r *reading) {
	if q := r.letter(5); q != 0 {
		r.accept(quality[q])
	}
	r.solution(10)
}

// accept takes a status that only a fix has, and StatusUnknown for none.
func (r *reading) accept(s Status) {
	r.status, r.verdict = s, valid
	if s == StatusUnknown {
		r.verdict = void
	}
}

// parseGNS: time, latitude, N, longitude, E, one FAA mode a constellation, satellites used, HDOP, altitude, separation, age,
// station, navigational status (4.1). With differential corrections the standard has one more for each constellation, with
// its satellites, age and station; position and modes are left empty, and that is no statement about the fix. The navigational
// status is about integrity and, as in RMC, not looked at: U, unsafe, is a position all the same, and most receivers send V.
func parseGNS(r *reading) {
	if blank(r.field(5)) {
		return
	}
	r.accept(faa[gnsMode(r.field(5))])
	r.solution(9)
}

// gnsMode returns the first mode that is not N: some receivers solve without GPS, which comes first.
func gnsMode(modes string) byte {
	if modes = strings.TrimLeft(modes, "N"); modes == "" {
		return 0
	}
	return modes[0]
}

// parseGLL: latitude, N, longitude, E, time, status, FAA mode. The first versions end after the longitude.
func parseGLL(r *reading) {
	status := r.letter(5)
	if status == 0 && len(r.Fields) <= 5 {
		status = 'A'
	}
	if r.judge(status, r.letter(6)) {
		r.place(0)
	}
}

// parseVTG: track true, T, track magnetic, M, knots, N, km/h, K, FAA mode. NMEA 1.x has the four numbers without the letters
// between.
func parseVTG(r *reading) {
	knots, perHour := 4, 6
	if len(r.Fields) < 8 && r.letter(1) != 'T' {
		knots, perHour = 2, 3
	}
	if r.letter(8) == 'N' {
		return
	}
	r.values[track] = r.angle(0)
	r.values[speed] = r.scaled(knots, 0, maxSpeed, knot)
	if !r.values[speed].Set {
		r.values[speed] = r.scaled(perHour, 0, maxSpeed, kmh)
	}
}

// parseZDA: time, day, month, year, zone hours, zone minutes.
func parseZDA(r *reading) {
	if blank(r.field(1)) && blank(r.field(2)) && blank(r.field(3)) {
		return
	}
	day := r.number(1, 1, 31)
	month := r.number(2, 1, 12)
	year := r.number(3, 1980, 2200)
	d, ok := makeDate(int(year.V), int(month.V), int(day.V))
	if !ok {
		r.flaws.add(flawDate)
		return
	}
	r.date = d
}

// parseGST: time, RMS of the ranges, semi-major, semi-minor, orientation, and the standard deviations of latitude, longitude
// and altitude.
func parseGST(r *reading) { r.deviations(5, 6, 7) }

// parseGBS: time and the expected errors of latitude, longitude and altitude, then what fault detection found.
func parseGBS(r *reading) { r.deviations(1, 2, 3) }

// parseHDG: magnetic heading, deviation, E, variation, E.
func parseHDG(r *reading) { r.variation(3, 4) }

// parseHDT: heading, T.
func parseHDT(r *reading) {
	if r.letter(1) == 'T' {
		r.values[heading] = r.angle(0)
	}
}

// parseTHS: true heading, mode: A autonomous, E estimated, M entered by hand, S simulated, V none.
func parseTHS(r *reading) {
	if m := r.letter(1); m == 'A' || m == 'E' || m == 'M' || m == 'S' {
		r.values[heading] = r.angle(0)
	}
}

// parseRME: Garmin's estimated errors, horizontal, M, vertical, M, spherical, M, at one standard deviation.
func parseRME(r *reading) { r.values[eph], r.values[epv] = r.deviation(0), r.deviation(2) }

// parseRMZ: Garmin's altitude in whole feet above mean sea level, f, and where it is from: 3 from satellites; 2 is what the
// user entered, and no measurement.
func parseRMZ(r *reading) {
	if r.field(2) == "3" && strings.EqualFold(r.field(1), "f") {
		r.values[altMSL] = r.altitude(0, foot)
	}
}

// navigation is the status by the navigation status of PUBX,00; NF and TT have no fix.
var navigation = map[string]Status{
	"G2": StatusGPS, "G3": StatusGPS, "D2": StatusDGPS, "D3": StatusDGPS, "DR": StatusDeadReckoning, "RK": StatusGNSSDR,
}

// parseUBX: u-blox's PUBX,00 has time, position, altitude above the ellipsoid, navigation status, accuracies (one standard
// deviation), km/h, track, speed downwards, age, HDOP, VDOP, TDOP, satellites. PUBX,04 has time and date, as ZDA.
func parseUBX(r *reading) {
	if r.field(0) == "04" {
		r.kind = kindZDA
		r.day(2)
		return
	}
	if r.field(0) != "00" || !r.require(18) {
		r.kind = kindOther
		return
	}
	if r.accept(navigation[r.field(7)]); r.verdict == void {
		return
	}
	if d := r.field(7)[1]; d == '2' || d == '3' {
		r.dim = Mode(d - '0')
	}
	r.place(2)
	v := &r.values
	v[altHAE] = r.altitude(6, metre)
	v[eph], v[epv] = r.deviation(8), r.deviation(9)
	v[speed] = r.scaled(10, 0, maxSpeed, kmh)
	v[track] = r.angle(11)
	if down := r.number(12, -maxSpeed, maxSpeed); down.Set {
		v[climb] = computed(-down.V+0, down.stated) // +0 makes 0 of -0
	}
	v[hdop], v[vdop] = r.dop(14), r.dop(15)
	v[uSat] = r.number(17, 0, 255)
}

// parseGSA: selection, dimension, 12 satellites, PDOP, HDOP, VDOP, system ID (4.1). A receiver of 24 channels sends 24
// satellites; the fields after them are then the DOPs all the same.
func parseGSA(r *reading) {
	if d := r.letter(1); d >= '1' && d <= '3' {
		r.dim = Mode(d - '0')
	}
	slots := 12
	if len(r.Fields) >= 29 {
		slots = 24
	}
	r.values[pdop], r.values[hdop], r.values[vdop] = r.dop(slots+2), r.dop(slots+3), r.dop(slots+4)
	if f := r.field(slots + 5); len(f) == 1 && f[0] >= '1' && f[0] <= '6' {
		r.gnss = systems[f[0]-'1']
	} else {
		r.gnss = constellation(r.Talker)
	}
	for i := 2; i < slots+2; i++ {
		if n := r.number(i, 1, 999); n.Set {
			r.sats = append(r.sats, satellite(r.gnss, int(n.V)))
		}
	}
}

// parseGSV: parts, part, satellites in view, then number, elevation, azimuth and signal for up to four satellites, then the
// signal ID (4.1).
func parseGSV(r *reading) {
	parts, part := r.number(0, 1, 99), r.number(1, 1, 99)
	if !parts.Set || !part.Set || part.V > parts.V {
		r.kind = kindOther
		return
	}
	r.parts, r.part = int(parts.V), int(part.V)
	r.gnss = constellation(r.Talker)
	blocks := (len(r.Fields) - 3) / 4
	r.signal = r.letter(3 + blocks*4) // after the last block, if there is one
	for i := range blocks {
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

// parsePQGSA is parseGSA with Quectel's constellation in the last field.
func parsePQGSA(r *reading) { quectel(r, parseGSA) }

// parsePQGSV is parseGSV with Quectel's constellation in the last field.
func parsePQGSV(r *reading) { quectel(r, parseGSV) }

// quectel parses a sentence of Quectel's, whose last field is the constellation: 5 for QZSS, else BeiDou.
func quectel(r *reading, parse func(*reading)) {
	parse(r)
	r.gnss = gnssBeiDou
	if r.field(len(r.Fields)-1) == "5" {
		r.gnss = gnssQZSS
	}
	for i, s := range r.sats {
		id := satellite(r.gnss, s.SVID)
		id.El, id.Az, id.SS = s.El, s.Az, s.SS
		r.sats[i] = id
	}
}

// parseTXT keeps the text of the sentence: parts, part, severity, text. ST's Teseo sends the text alone, on which the
// library panics.
func parseTXT(r *reading) {
	if len(r.Fields) < 4 {
		r.text = r.field(0)
		return
	}
	r.text = r.field(3)
}

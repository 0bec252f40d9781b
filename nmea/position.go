package nmea

// The sentences that carry a position. Field numbers count from 0 after the
// address. Their layouts are those of NMEA 0183 versions 2.0 to 4.11; where
// receivers differ, the comment names the receiver.

// Plausible ranges. A COCOM receiver stops at 515 m/s, balloons reach 50 km,
// and the geoid stays within -107 and +86 m of the ellipsoid.
const (
	maxSpeed    = 1000.0 // m/s
	minAltitude = -2000.0
	maxAltitude = 100e3
	maxGeoid    = 250.0

	knot = 1852.0 / 3600 // m/s
	kmh  = 1 / 3.6       // m/s
)

// parseRMC: time, status, latitude, N, longitude, E, knots, track, date,
// variation, E, FAA mode, navigational status. Versions before 2.3 end after
// the variation; Motorola's T805 puts the mode in the place of the variation's
// direction, and some receivers leave the direction out, which moves the mode.
func parseRMC(r *reading) {
	if !r.require(8) {
		return
	}
	r.clock(0)
	r.verdict = void
	if r.letter(1) == 'A' {
		r.verdict = valid
		r.place(2)
	}
	if v := r.number(6, 0, maxSpeed/knot); v.Set && r.verdict == valid {
		r.speed = some(v.V * knot)
	}
	if r.verdict == valid {
		r.track = r.number(7, 0, 360)
	}
	r.dateField(8)
	r.variation(9, 10)
	mode := r.letter(11)
	if d := r.letter(10); d != 0 && d != 'E' && d != 'W' && mode == 0 {
		mode = d
	}
	r.faa(mode)
}

// dateField reads a date as ddmmyy.
func (r *reading) dateField(i int) {
	f := r.field(i)
	if blank(f) {
		return
	}
	d, ok := parseDate(f)
	if !ok {
		r.flaws.add(flawDate)
		return
	}
	r.date = d
}

// variation reads the magnetic variation in field i, whose direction is in
// field j. Exactly 0 is what receivers without a model send; gpsd takes what is
// under a tenth of a degree for absent, and so do we.
func (r *reading) variation(i, j int) {
	v := r.number(i, 0, 180)
	switch {
	case !v.Set || v.V < 0.1:
	case r.letter(j) == 'E':
		r.magvar = v
	case r.letter(j) == 'W':
		r.magvar = some(-v.V)
	}
}

// faa applies the mode indicator of NMEA 2.3: N takes the fix away, the others
// say by what means it was found.
func (r *reading) faa(mode byte) {
	switch mode {
	case 'A':
		r.status = StatusGPS
	case 'D', 'P':
		r.status = StatusDGPS
	case 'R':
		r.status = StatusRTKFixed
	case 'F':
		r.status = StatusRTKFloat
	case 'E':
		r.status = StatusDeadReckoning
	case 'M':
		r.status = StatusSurveyed
	case 'S':
		r.status = StatusSimulated
	}
}

// parseGGA: time, latitude, N, longitude, E, quality, satellites used, HDOP,
// altitude, M, separation, M, age, station. Saab's R4 ends early when it has
// nothing to say.
func parseGGA(r *reading) {
	if !r.require(6) {
		return
	}
	r.clock(0)
	r.verdict = valid
	switch r.letter(5) {
	case '1':
		r.status = StatusGPS
	case '2':
		r.status = StatusDGPS
	case '3':
		r.status = StatusPPS
	case '4':
		r.status = StatusRTKFixed
	case '5':
		r.status = StatusRTKFloat
	case '6':
		r.status = StatusDeadReckoning
	case '7':
		r.status = StatusSurveyed
	case '8':
		r.status = StatusSimulated
	case '9': // NovAtel's SBAS solution
		r.status = StatusDGPS
	case 0: // left empty: the other sentences tell
		r.verdict = unsaid
	default:
		r.verdict = void
	}
	r.used = r.number(6, 0, 255)
	r.hdop = r.dop(7)
	if r.verdict == valid {
		r.place(1)
		r.heights(8, 10)
	}
}

// heights reads altitude and geoid separation. The units, which follow each,
// are always metres.
func (r *reading) heights(alt, sep int) {
	r.alt = r.number(alt, minAltitude, maxAltitude)
	r.sep = r.number(sep, -maxGeoid, maxGeoid)
}

// dop reads a dilution of precision. 99.99 and the like mean that there is
// none, and 0 is no geometry at all.
func (r *reading) dop(i int) Value {
	v := r.number(i, 0, 1e6)
	if v.V < 0.01 || v.V > 89.99 {
		return Value{}
	}
	return v
}

// parseGNS: time, latitude, N, longitude, E, one FAA mode a constellation,
// satellites used, HDOP, altitude, separation, age, station, navigational
// status (4.1). With differential corrections the standard has one more for each
// constellation, with its satellites, age and station; position and modes are
// left empty, and that says nothing about the fix.
func parseGNS(r *reading) {
	if !r.require(6) {
		return
	}
	r.clock(0)
	if blank(r.field(5)) {
		return
	}
	r.verdict = void
	r.faa(gnsMode(r.field(5)))
	if r.status != StatusUnknown {
		r.verdict = valid
	}
	if s := r.letter(12); s == 'U' {
		r.verdict = void // unsafe
	}
	r.used = r.number(6, 0, 255)
	r.hdop = r.dop(7)
	if r.verdict == valid {
		r.place(1)
		r.heights(8, 9)
	}
}

// gnsMode returns the first mode that is not N: some receivers solve without
// GPS, which comes first.
func gnsMode(modes string) byte {
	for i := 0; i < len(modes); i++ {
		if modes[i] != 'N' {
			return modes[i]
		}
	}
	return 0
}

// parseGLL: latitude, N, longitude, E, time, status, FAA mode. The first
// versions end after the longitude.
func parseGLL(r *reading) {
	if !r.require(4) {
		return
	}
	r.clock(4)
	r.faa(r.letter(6))
	r.verdict = void
	if s := r.letter(5); r.letter(6) != 'N' && (s == 'A' || s == 0 && len(r.Fields) <= 5) {
		r.verdict = valid
		r.place(0)
	}
}

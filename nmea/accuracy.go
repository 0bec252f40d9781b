package nmea

import (
	"math"
	"strings"
)

// parseGST: time, RMS of the ranges, semi-major, semi-minor, orientation, and
// the standard deviations of latitude, longitude and altitude. Estimates are
// given at 95 %, like gpsd's: two standard deviations, horizontally twice the
// distance RMS.
func parseGST(r *reading) {
	if !r.require(8) {
		return
	}
	r.clock(0)
	r.deviations(5, 6, 7)
}

// deviations turns standard deviations into estimated errors.
func (r *reading) deviations(lat, lon, alt int) {
	n, e, u := r.number(lat, 0, 1e6), r.number(lon, 0, 1e6), r.number(alt, 0, 1e6)
	if n.Set && e.Set && n.V+e.V > 0 {
		r.eph = some(2 * math.Hypot(n.V, e.V))
	}
	if u.Set && u.V > 0 {
		r.epv = some(2 * u.V)
	}
}

// parseGBS: time and the expected errors of latitude, longitude and altitude,
// then what fault detection found. They count where there is no GST.
func parseGBS(r *reading) {
	if !r.require(4) {
		return
	}
	r.clock(0)
	r.deviations(1, 2, 3)
}

// parseRME: Garmin's estimated errors, horizontal, M, vertical, M, spherical,
// M. Garmin states them at one standard deviation.
func parseRME(r *reading) {
	if !r.require(4) {
		return
	}
	if v := r.number(0, 0, 1e6); v.Set {
		r.eph = some(2 * v.V)
	}
	if v := r.number(2, 0, 1e6); v.Set {
		r.epv = some(2 * v.V)
	}
}

// parseRMZ: Garmin's altitude in feet above mean sea level, f, and where it is
// from: 3 from satellites; 2 is what the user entered, and no measurement.
func parseRMZ(r *reading) {
	if !r.require(3) || r.field(2) != "3" || !strings.EqualFold(r.field(1), "f") {
		return
	}
	const foot = 0.3048
	if v := r.number(0, minAltitude/foot, maxAltitude/foot); v.Set {
		r.coarse = some(v.V * foot)
	}
}

// parseUBX: u-blox's PUBX,00 has time, position, altitude above the ellipsoid,
// navigation status, accuracies (one standard deviation), km/h, track, speed
// downwards, age, HDOP, VDOP, TDOP, satellites.
func parseUBX(r *reading) {
	if r.field(0) != "00" || !r.require(18) {
		r.kind = kindOther
		return
	}
	r.clock(1)
	r.verdict = valid
	switch r.field(7) {
	case "G2", "G3":
		r.status = StatusGPS
	case "D2", "D3":
		r.status = StatusDGPS
	case "DR":
		r.status = StatusDeadReckoning
	case "RK":
		r.status = StatusGNSSDR
	default: // NF, TT
		r.verdict = void
		return
	}
	if d := r.field(7)[1]; d == '2' || d == '3' {
		r.dim = Mode(d - '0')
	}
	r.place(2)
	r.hae = r.number(6, minAltitude, maxAltitude)
	if v := r.number(8, 0, 1e6); v.Set {
		r.eph = some(2 * v.V)
	}
	if v := r.number(9, 0, 1e6); v.Set {
		r.epv = some(2 * v.V)
	}
	if v := r.number(10, 0, maxSpeed/kmh); v.Set {
		r.speed = some(v.V * kmh)
	}
	r.track = r.number(11, 0, 360)
	if v := r.number(12, -maxSpeed, maxSpeed); v.Set {
		r.climb = some(-v.V + 0)
	}
	r.hdop, r.vdop = r.dop(14), r.dop(15)
	r.used = r.number(17, 0, 255)
}

package sim

import "math"

// system is a constellation of satellites on circular orbits, evenly spread over a few planes (a Walker constellation).
// The numbers are the real ones, rounded; which satellite is where is not.
type system struct {
	talker   string  // of its GSV sentences
	gsaID    byte    // NMEA 4.11 system ID
	signal   byte    // NMEA 4.11 signal ID of the civil signal that every receiver has
	first    int     // lowest satellite number
	planes   int     //
	each     int     // satellites a plane
	phasing  float64 // degrees that a plane's satellites are ahead of those of the plane before
	incline  float64 // degrees
	altitude float64 // m above the centre of the earth
	period   float64 // s
}

// systems, in the order in which receivers send them.
var systems = [4]system{
	{"GP", '1', '1', 1, 6, 5, 12, 55, 26_560e3, 43_082},
	{"GL", '2', '1', 65, 3, 8, 15, 64.8, 25_510e3, 40_544},
	{"GA", '3', '7', 1, 3, 8, 15, 56, 29_600e3, 50_685},
	{"GB", '4', '1', 19, 3, 8, 15, 55, 27_906e3, 46_392},
}

// earthTurn is the rotation of the earth, rad/s.
const earthTurn = 7.2921159e-5

// direction says where satellite i of the constellation stands in the sky of lat, lon (degrees): elevation and azimuth in
// degrees, t seconds after an arbitrary epoch. offset, in radians, turns the constellation.
func (s system) direction(i int, t, offset, lat, lon float64) (elevation, azimuth float64) {
	plane, slot := i/s.each, i%s.each
	node := 2*math.Pi*float64(plane)/float64(s.planes) + offset - earthTurn*t
	arg := 2*math.Pi*(float64(slot)/float64(s.each)+t/s.period) + float64(plane)*s.phasing*math.Pi/180 + offset
	sinI, cosI := math.Sincos(s.incline * math.Pi / 180)
	sinU, cosU := math.Sincos(arg)
	sinN, cosN := math.Sincos(node)
	x := s.altitude * (cosU*cosN - sinU*cosI*sinN)
	y := s.altitude * (cosU*sinN + sinU*cosI*cosN)
	z := s.altitude * sinU * sinI
	// To east, north and up at the observer. A round earth is good to 0.2° here.
	sinLat, cosLat := math.Sincos(lat * math.Pi / 180)
	sinLon, cosLon := math.Sincos(lon * math.Pi / 180)
	x -= earthRadius * cosLat * cosLon
	y -= earthRadius * cosLat * sinLon
	z -= earthRadius * sinLat
	east := -sinLon*x + cosLon*y
	north := -sinLat*cosLon*x - sinLat*sinLon*y + cosLat*z
	up := cosLat*cosLon*x + cosLat*sinLon*y + sinLat*z
	azimuth = math.Atan2(east, north) * 180 / math.Pi
	if azimuth < 0 {
		azimuth += 360
	}
	return math.Atan2(up, math.Hypot(east, north)) * 180 / math.Pi, azimuth
}

// size is how many satellites the constellation has.
func (s system) size() int { return s.planes * s.each }

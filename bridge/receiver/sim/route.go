package sim

import (
	"math"
)

// corner is a point at which streets meet, as read off a map to about 20 m.
type corner struct {
	lat, lon float64
	limit    float64 // speed limit of the street that begins here, m/s
	light    bool    // a traffic light stands before the corner
}

// Speed limits of London: 20 and 30 miles an hour.
const (
	mph20 = 8.94
	mph30 = 13.41
)

// hydePark is a closed drive round the park, against the clock: Bayswater Road to the west, Kensington Church Street
// south, Kensington Road and Knightsbridge east, Park Lane north.
var hydePark = []corner{
	{51.51310, -0.15960, mph30, true},  // Marble Arch
	{51.51245, -0.16700, mph30, false}, // Bayswater Road, Hyde Park Place
	{51.51175, -0.17420, mph30, true},  // Victoria Gate
	{51.51125, -0.17660, mph30, false}, // Lancaster Gate
	{51.51035, -0.18720, mph30, true},  // Queensway
	{51.50930, -0.19350, mph20, false}, // Orme Square
	{51.50895, -0.19640, mph20, true},  // Notting Hill Gate: left into Kensington Church Street
	{51.50710, -0.19540, mph20, false},
	{51.50560, -0.19330, mph20, false},
	{51.50330, -0.19180, mph20, false},
	{51.50225, -0.19090, mph20, true},  // left into Kensington High Street
	{51.50245, -0.18790, mph30, false}, // Palace Avenue
	{51.50150, -0.18340, mph30, true},  // Palace Gate
	{51.50145, -0.17720, mph30, false}, // Royal Albert Hall
	{51.50170, -0.17420, mph30, true},  // Exhibition Road
	{51.50185, -0.16790, mph30, false}, // Knightsbridge Barracks
	{51.50195, -0.16060, mph30, true},  // Albert Gate
	{51.50265, -0.15400, mph20, false}, // Hyde Park Corner: left
	{51.50330, -0.15120, mph30, false},
	{51.50520, -0.15040, mph30, false}, // Park Lane
	{51.50760, -0.15330, mph30, true},  // Dorchester
	{51.51010, -0.15580, mph30, false}, // Upper Grosvenor Street
	{51.51250, -0.15790, mph20, true},  // Cumberland Gate: left
}

// tunnels are the stretches without sky when Config.Tunnel is set, as parts of the route's length: each is about 230 m.
// There is no light in or right after one.
var tunnels = []struct{ from, to float64 }{{0.10, 0.13}, {0.53, 0.56}, {0.76, 0.79}}

// piece is a straight or an arc of the route.
type piece struct {
	from, length float64 // along the route, m
	x, y         float64 // where it begins: m east and north of the origin
	heading      float64 // at its beginning, radians clockwise from north
	curvature    float64 // 1/m, positive to the right, 0 for a straight
	limit        float64 // m/s
}

// route is a closed way through a plane that touches the earth at the origin.
type route struct {
	origin  corner
	mPerLat float64 // metres a degree
	mPerLon float64
	length  float64 // m
	pieces  []piece
	lights  []float64 // where the stop lines are, m along the route, ascending
}

// lateralAccel is what passengers stand in a bend, m/s². It gives the speed for each bend.
const lateralAccel = 1.6

// newRoute rounds the corners and joins the ends.
func newRoute(corners []corner) *route {
	r := &route{origin: corners[0]}
	r.mPerLat, r.mPerLon = metresPerDegree(r.origin.lat)
	n := len(corners)
	cut := make([]float64, n) // how much of the streets a corner's arc takes, on either side
	radius := make([]float64, n)
	turn := make([]float64, n)
	for i := range corners {
		before, after := r.street(corners, i-1), r.street(corners, i)
		turn[i] = math.Remainder(after.heading-before.heading, 2*math.Pi)
		radius[i] = radiusOf(turn[i])
		cut[i] = radius[i] * math.Tan(math.Abs(turn[i])/2)
		// Two arcs share a street, each gets at most 45 % of it.
		if most := 0.45 * min(before.length, after.length); cut[i] > most {
			radius[i] *= most / cut[i]
			cut[i] = most
		}
	}
	for i := range corners {
		next := (i + 1) % n
		s := r.street(corners, i)
		s.x += cut[i] * math.Sin(s.heading)
		s.y += cut[i] * math.Cos(s.heading)
		s.length -= cut[i] + cut[next]
		r.add(s)
		if corners[next].light {
			r.lights = append(r.lights, r.length-stopLine)
		}
		if turn[next] != 0 {
			r.add(arc(r.pieces[len(r.pieces)-1], turn[next], radius[next]))
		}
	}
	return r
}

// stopLine is how far before a corner's arc vehicles stop, m.
const stopLine = 3

// radiusOf gives a bend the radius, m, that streets have: a wide one where they bend a little, at a junction what a bus
// needs.
func radiusOf(turn float64) float64 {
	if math.Abs(turn) < 35*math.Pi/180 {
		return 80
	}
	return 14
}

func (r *route) add(p piece) {
	p.from = r.length
	r.length += p.length
	r.pieces = append(r.pieces, p)
}

// street is the straight from corner i to the next.
func (r *route) street(corners []corner, i int) piece {
	n := len(corners)
	a, b := corners[(i+n)%n], corners[(i+1+n)%n]
	x, y := r.plane(a)
	bx, by := r.plane(b)
	return piece{
		length:  math.Hypot(bx-x, by-y),
		x:       x,
		y:       y,
		heading: math.Atan2(bx-x, by-y),
		limit:   a.limit,
	}
}

// arc is the bend that follows the straight s.
func arc(s piece, turn, radius float64) piece {
	x, y, heading := s.at(s.length)
	return piece{
		length:    radius * math.Abs(turn),
		x:         x,
		y:         y,
		heading:   heading,
		curvature: math.Copysign(1/radius, turn),
		limit:     min(s.limit, math.Sqrt(lateralAccel*radius)),
	}
}

// at returns position and heading d metres into the piece.
func (p piece) at(d float64) (x, y, heading float64) {
	if p.curvature == 0 {
		return p.x + d*math.Sin(p.heading), p.y + d*math.Cos(p.heading), p.heading
	}
	heading = p.heading + d*p.curvature
	x = p.x - (math.Cos(heading)-math.Cos(p.heading))/p.curvature
	y = p.y + (math.Sin(heading)-math.Sin(p.heading))/p.curvature
	return x, y, heading
}

// index returns the piece that holds the point d metres along the route, 0 <= d < length.
func (r *route) index(d float64) int {
	lo, hi := 0, len(r.pieces)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; r.pieces[mid].from <= d {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// at returns latitude and longitude in degrees and heading in degrees from 0 to below 360, d metres along the route.
func (r *route) at(d float64) (lat, lon, track float64) {
	p := r.pieces[r.index(d)]
	x, y, heading := p.at(d - p.from)
	track = math.Mod(heading*180/math.Pi, 360)
	if track < 0 {
		track += 360
	}
	return r.origin.lat + y/r.mPerLat, r.origin.lon + x/r.mPerLon, track
}

// plane returns metres east and north of the origin.
func (r *route) plane(c corner) (x, y float64) {
	return (c.lon - r.origin.lon) * r.mPerLon, (c.lat - r.origin.lat) * r.mPerLat
}

// WGS 84.
const (
	earthRadius = 6378137.0           // m, at the equator
	earthEcc2   = 0.00669437999014132 // first eccentricity, squared
)

// metresPerDegree gives the length of a degree of latitude and of longitude on WGS 84. Over the 2 km of the route they
// change by less than a ten-thousandth.
func metresPerDegree(lat float64) (perLat, perLon float64) {
	sin, cos := math.Sincos(lat * math.Pi / 180)
	w := 1 - earthEcc2*sin*sin
	meridian := earthRadius * (1 - earthEcc2) / math.Pow(w, 1.5)
	normal := earthRadius / math.Sqrt(w)
	return meridian * math.Pi / 180, normal * cos * math.Pi / 180
}

// height is a smooth hill along the route, m above mean sea level, and its slope in m a metre.
func (r *route) height(d float64) (alt, slope float64) {
	k := 2 * math.Pi / r.length // whole waves only, so that the ends meet
	alt = 22 + 6*math.Sin(k*d) + 2*math.Sin(3*k*d+1)
	slope = 6*k*math.Cos(k*d) + 6*k*math.Cos(3*k*d+1)
	return alt, slope
}

package sim

import (
	"math"
	"math/rand/v2"
	"sort"
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

// How the driver drives, m/s². The vector of them stays below 2.5.
const (
	accelerates = 1.3
	brakes      = 1.6
	leans       = 1.6 // what passengers stand in a bend
)

const (
	// rounds is how far before and after a corner the way bends, m. It gives a junction's right angle a radius of 14 m at its
	// narrowest, what a bus needs, and a slight bend one of 100 m.
	rounds = 20
	// stopLine is how far before the bend of a corner vehicles stop, m.
	stopLine = 3
	// lapStep is how far apart the moments of a lap are, m.
	lapStep = 0.5
	// longestRed is for how long a light is red at the most, s.
	longestRed = 35
)

// drive is a lap of a closed route with its stops: all is decided when it is made, so where the vehicle is follows from the time
// alone. It begins and ends standing at the light before the first corner.
type drive struct {
	streets []street
	length  float64 // m
	moments []moment
	lap     float64 // s
	offset  float64 // into the lap, at the start, s
}

// street is the straight from a corner to the next, in a plane that touches the earth at the first corner.
type street struct {
	corner
	from        float64 // m along the streets
	x, y        float64 // of the corner, m east and north of the first
	east, north float64 // its direction, as a vector of length 1
	sumX, sumY  float64 // integrals of x and y along the streets up to here
}

// moment is where the vehicle is at a time of the lap. To the next one it accelerates evenly.
type moment struct {
	at    float64 // s
	way   float64 // m along the streets
	speed float64 // m/s
}

// newDrive plans a lap. The seed decides which lights are red, and for how long; a drive with seed 0 starts with the lap, others
// somewhere in it.
func newDrive(corners []corner, seed uint64) *drive {
	d := &drive{streets: make([]street, 0, len(corners)+1)}
	perLat, perLon := metresPerDegree(corners[0].lat)
	var sumX, sumY float64
	for i, c := range append(corners[:len(corners):len(corners)], corners[0]) {
		s := street{corner: c, from: d.length, x: (c.lon - corners[0].lon) * perLon, y: (c.lat - corners[0].lat) * perLat, sumX: sumX, sumY: sumY}
		next := corners[(i+1)%len(corners)]
		dx, dy := (next.lon-c.lon)*perLon, (next.lat-c.lat)*perLat
		length := math.Hypot(dx, dy)
		s.east, s.north = dx/length, dy/length
		d.streets = append(d.streets, s)
		if i < len(corners) { // the last one is the first again, for its sums
			d.length += length
			sumX, sumY = sumX+(s.x+dx/2)*length, sumY+(s.y+dy/2)*length
		}
	}
	random := rand.New(rand.NewPCG(seed, 1))
	d.plan(random)
	if seed != 0 {
		d.offset = d.lap * random.Float64()
	}
	return d
}

// plan decides the speed along the lap, and with it the times: no place is passed faster than it allows, nor than can be braked
// to what comes, nor than can be reached.
func (d *drive) plan(random *rand.Rand) {
	n := int(d.length / lapStep)
	begin, step := d.line(0), d.length/float64(n)
	speeds, steps := make([]float64, n+1), make([]float64, n) // steps are metres on the ground
	var x, y, heading float64
	for i := range speeds {
		way := begin + float64(i)*step
		s, _ := d.street(way)
		speeds[i] = s.limit * (0.95 + 0.05*math.Sin(way/130)) // up to a tenth below it, as drivers do
		nextX, nextY, h, _ := d.place(way)
		if i > 0 {
			steps[i-1] = math.Hypot(nextX-x, nextY-y)
			bend := math.Sqrt(leans * steps[i-1] / math.Abs(math.Remainder(h-heading, 2*math.Pi)))
			speeds[i-1], speeds[i] = min(speeds[i-1], bend), min(speeds[i], bend)
		}
		x, y, heading = nextX, nextY, h
	}
	waits := map[int]float64{}
	for i, s := range d.streets[1:] {
		wait := longestRed * (2*random.Float64() - 1) // green half of the time
		if last := i+2 == len(d.streets); s.light && wait > 0 || last {
			waits[int(math.Round((d.line(s.from)-begin)/step))] = math.Abs(wait)
		}
	}
	speeds[0] = 0
	for i := range waits {
		speeds[i] = 0
	}
	for i := n - 1; i >= 0; i-- {
		speeds[i] = min(speeds[i], math.Sqrt(speeds[i+1]*speeds[i+1]+2*brakes*steps[i]))
	}
	for i, speed := range speeds {
		if i > 0 {
			before := speeds[i-1]
			speed = min(speed, math.Sqrt(before*before+2*accelerates*steps[i-1]))
			d.lap += 2 * steps[i-1] / (before + speed)
		}
		speeds[i] = speed
		d.moments = append(d.moments, moment{d.lap, begin + float64(i)*step, speed})
		if waits[i] > 0 {
			d.lap += waits[i]
			d.moments = append(d.moments, moment{d.lap, begin + float64(i)*step, 0})
		}
	}
}

// line is where vehicles stop that come to a corner.
func (d *drive) line(corner float64) float64 { return corner - rounds - stopLine }

// after returns where the vehicle is that many seconds after the start, m along the streets, and its speed, m/s.
func (d *drive) after(seconds float64) (way, speed float64) {
	at := math.Mod(d.offset+seconds, d.lap)
	i := sort.Search(len(d.moments), func(i int) bool { return d.moments[i].at > at })
	if i == len(d.moments) {
		return d.moments[0].way, 0
	}
	from, to := d.moments[i-1], d.moments[i]
	if from.way == to.way {
		return from.way, 0
	}
	part := (at - from.at) / (to.at - from.at)
	speed = from.speed + part*(to.speed-from.speed)
	return from.way + part*(from.speed+speed)/(from.speed+to.speed)*(to.way-from.way), speed
}

// street returns the street at a point of the way, and how far along it that is. The way goes round.
func (d *drive) street(way float64) (s street, on float64) {
	way -= d.length * math.Floor(way/d.length)
	i := sort.Search(len(d.streets)-1, func(i int) bool { return d.streets[i+1].from > way })
	s = d.streets[min(i, len(d.streets)-2)]
	return s, way - s.from
}

// place is the point of the way, m east and north of the first corner, its direction, radians clockwise from north, and how many
// metres of ground a metre of the way is there: less than one inside a corner. The corners are rounded by taking the mean of the
// streets from rounds before to rounds after.
func (d *drive) place(way float64) (x, y, heading, stretch float64) {
	ax, ay, aSumX, aSumY := d.sum(way - rounds)
	bx, by, bSumX, bSumY := d.sum(way + rounds)
	return (bSumX - aSumX) / (2 * rounds), (bSumY - aSumY) / (2 * rounds), math.Atan2(bx-ax, by-ay), math.Hypot(bx-ax, by-ay) / (2 * rounds)
}

// sum is the point of the streets at a point of the way, and the integrals of its members up to there.
func (d *drive) sum(way float64) (x, y, sumX, sumY float64) {
	s, on := d.street(way)
	x, y = s.x+on*s.east, s.y+on*s.north
	laps, all := math.Floor(way/d.length), d.streets[len(d.streets)-1]
	return x, y, laps*all.sumX + s.sumX + on*(s.x+x)/2, laps*all.sumY + s.sumY + on*(s.y+y)/2
}

// at returns latitude and longitude in degrees, and heading in degrees from 0 to below 360.
func (d *drive) at(way float64) (lat, lon, track float64) {
	origin := d.streets[0]
	perLat, perLon := metresPerDegree(origin.lat)
	x, y, heading, _ := d.place(way)
	return origin.lat + y/perLat, origin.lon + x/perLon, math.Mod(heading*180/math.Pi+360, 360)
}

// part is how much of the lap is before a point of the way, 0 to 1.
func (d *drive) part(way float64) float64 { return way/d.length - math.Floor(way/d.length) }

// inTunnel reports whether a point of the way is where Config.Tunnel has none of the sky.
func (d *drive) inTunnel(way float64) bool {
	part := d.part(way)
	for _, t := range tunnels {
		if part >= t.from && part < t.to {
			return true
		}
	}
	return false
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

// height is a smooth hill along the route, m above mean sea level, and its slope in m a metre on the ground.
func (d *drive) height(way float64) (alt, slope float64) {
	_, _, _, stretch := d.place(way)
	k := 2 * math.Pi / d.length // whole waves only, so that the ends meet
	alt = 22 + 6*math.Sin(k*way) + 2*math.Sin(3*k*way+1)
	slope = 6*k*math.Cos(k*way) + 6*k*math.Cos(3*k*way+1)
	return alt, slope / stretch
}

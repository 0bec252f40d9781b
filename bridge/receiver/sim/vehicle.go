package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// How the driver drives, m/s². With lateralAccel the vector stays below 2.5: sqrt(1.6² + 1.8²) = 2.41.
const (
	accelMax  = 1.3 // pulling away
	brakePlan = 1.6 // what the driver plans with
	brakeMax  = 1.8 // what the driver uses when the plan was a little short
)

// Traffic lights have one period and a phase of their own each.
const (
	lightPeriod = 70 * time.Second
	lightRed    = 35 * time.Second
)

// stepMax is the longest step of the motion. At 50 km/h the vehicle moves 14 cm in it.
const stepMax = 10 * time.Millisecond

// vehicle drives a route.
type vehicle struct {
	route  *route
	phases []time.Duration // of the lights
	pace   float64         // phase of the driver's pace, radians

	elapsed time.Duration
	way     float64 // m along the route, 0 <= way < length
	speed   float64 // m/s
}

func newVehicle(r *route, seed uint64) *vehicle {
	random := rand.New(rand.NewPCG(seed, 1))
	v := &vehicle{route: r, pace: 2 * math.Pi * random.Float64()}
	for range r.lights {
		v.phases = append(v.phases, time.Duration(random.Int64N(int64(lightPeriod))))
	}
	if seed != 0 {
		v.way = r.length * random.Float64()
	}
	return v
}

// advance drives for d. The same total gives nearly the same motion however it is divided.
func (v *vehicle) advance(d time.Duration) {
	for d > 0 {
		step := min(d, stepMax)
		v.step(step.Seconds())
		v.elapsed += step
		d -= step
	}
}

// step drives for dt seconds with constant acceleration.
func (v *vehicle) step(dt float64) {
	next := v.speed + accelMax*dt
	p := v.route.pieces[v.route.index(v.way)]
	next = min(next, max(v.cruise(p), v.speed-brakePlan*dt))
	next = min(next, v.ahead(next, dt))
	next = max(next, v.speed-brakeMax*dt, 0)
	v.way += (v.speed + next) / 2 * dt
	v.speed = next
	if v.way >= v.route.length {
		v.way -= v.route.length
	}
}

// cruise is the speed that the driver wants on p: up to a tenth below the limit, now more, now less. Bends are taken at
// theirs.
func (v *vehicle) cruise(p piece) float64 {
	if p.curvature != 0 {
		return p.limit
	}
	return p.limit * (0.95 + 0.05*math.Sin(v.elapsed.Seconds()/17+v.pace))
}

// ahead returns the speed after this step, at most limit, with which whatever comes can be met without braking harder than
// brakePlan: slower bends and streets, and red lights.
func (v *vehicle) ahead(limit, dt float64) float64 {
	r := v.route
	sight := v.speed*v.speed/(2*brakePlan) + 5
	first := r.index(v.way)
	for k := 1; k < len(r.pieces); k++ {
		p := r.pieces[(first+k)%len(r.pieces)]
		gap := r.distance(v.way, p.from)
		if gap > sight {
			break
		}
		if p.limit < limit {
			limit = min(limit, v.meet(gap, p.limit, dt))
		}
	}
	for i, line := range r.lights {
		// A little short of the line, so that rounding never carries the vehicle across it.
		gap := r.distance(v.way, line) - 0.2
		// A light that turns red too late to brake for is passed, as amber is.
		if gap <= sight && gap >= v.speed*v.speed/(2*brakePlan)-0.15 && v.red(i) {
			limit = min(limit, v.meet(gap, 0, dt))
		}
	}
	return limit
}

// meet returns the speed n after this step from which braking at brakePlan gives the speed target after gap metres:
//
//	(speed+n)/2 dt + (n²-target²) / (2 brakePlan) = gap
func (v *vehicle) meet(gap, target, dt float64) float64 {
	half := brakePlan * dt / 2
	root := half*half + 2*brakePlan*(gap-v.speed*dt/2) + target*target
	if root <= half*half {
		return 0
	}
	return math.Sqrt(root) - half
}

// red reports whether light i is red.
func (v *vehicle) red(i int) bool {
	return (v.elapsed+v.phases[i])%lightPeriod < lightRed
}

// distance is how far it is from a on to b, round the loop.
func (r *route) distance(a, b float64) float64 {
	if d := b - a; d >= 0 {
		return d
	}
	return b - a + r.length
}

// inTunnel reports whether the vehicle is where Config.Tunnel has none of the sky.
func (v *vehicle) inTunnel() bool {
	part := v.way / v.route.length
	for _, t := range tunnels {
		if part >= t.from && part < t.to {
			return true
		}
	}
	return false
}

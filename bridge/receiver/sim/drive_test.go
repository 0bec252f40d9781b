package sim

import (
	"math"
	"testing"
	"time"
)

// TestDrive drives each of some seeds for half an hour and checks that a vehicle could.
func TestDrive(t *testing.T) {
	const rate, dt = 10, 0.1
	for seed := range uint64(4) {
		g := generator(t, Config{Rate: rate, Seed: seed})
		perLat, perLon := metresPerDegree(51.508)
		g.Skip()
		before := g.State
		var top, way, hardest, climbed, stood float64
		for range 30 * 60 * rate {
			g.Skip()
			s := g.State
			east, north := (s.Lon-before.Lon)*perLon, (s.Lat-before.Lat)*perLat
			moved := math.Hypot(east, north)
			// The mean of the two speeds times the time is the way, but for a foot that moves from one pedal to the other
			// meanwhile: (1.3+1.8)/8 dt².
			near(t, "way in an epoch", moved, (s.Speed+before.Speed)/2*dt, 0.004+0.001*moved)
			if moved > 0.05 {
				half := math.Remainder(s.Track-before.Track, 360) / 2
				bearing := math.Atan2(east, north) * 180 / math.Pi
				near(t, "bearing against track", math.Remainder(bearing-before.Track-half, 360), 0, 0.5)
			}
			near(t, "climb", s.AltMSL-before.AltMSL, (s.Climb+before.Climb)/2*dt, 0.001)
			hardest = max(hardest, acceleration(before, s, dt))
			top, way, climbed = max(top, s.Speed), way+moved, max(climbed, math.Abs(s.Climb))
			if s.Speed == 0 {
				stood += dt
			}
			before = s
		}
		t.Logf("seed %d: %.1f km, up to %.1f km/h, %.2f m/s², stood %.0f s, climbed up to %.2f m/s", seed, way/1000, top*3.6, hardest, stood, climbed)
		if hardest > 2.5 {
			t.Errorf("seed %d: accelerates by %.2f m/s²", seed, hardest)
		}
		if top > 50/3.6 || top < 45/3.6 {
			t.Errorf("seed %d: drives up to %.1f km/h", seed, top*3.6)
		}
		if laps := way / g.vehicle.route.length; laps < 1.5 {
			t.Errorf("seed %d: only %.1f laps in half an hour", seed, laps)
		}
		if stood < 20 || stood > 900 {
			t.Errorf("seed %d: stood for %.0f s of 1800", seed, stood)
		}
	}
}

// acceleration is the change of the vector of speed, m/s².
func acceleration(a, b State, dt float64) float64 {
	ax, ay := math.Sincos(a.Track * math.Pi / 180)
	bx, by := math.Sincos(b.Track * math.Pi / 180)
	return math.Hypot(b.Speed*bx-a.Speed*ax, b.Speed*by-a.Speed*ay) / dt
}

// TestLights: the vehicle crosses a line while its light is red only where it cannot stop any more.
func TestLights(t *testing.T) {
	v := newVehicle(newRoute(hydePark), 5)
	red := make([]time.Duration, len(v.route.lights)) // when each light was last seen to turn red
	stopped := 0
	for range 40 * 60 * 100 {
		before, speed := v.way, v.speed
		v.advance(stepMax)
		for i, line := range v.route.lights {
			if !v.red(i) {
				red[i] = v.elapsed
			}
			if before < line && v.way >= line && v.red(i) && v.elapsed-red[i] > 5*time.Second {
				t.Fatalf("passed light %d at %.1f m/s, %v after it turned red", i, v.speed, v.elapsed-red[i])
			}
		}
		if speed > 0 && v.speed == 0 {
			stopped++
		}
	}
	if stopped < 5 {
		t.Errorf("stopped %d times in 40 minutes", stopped)
	}
}

func TestRouteIsClosed(t *testing.T) {
	r := newRoute(hydePark)
	for i, p := range r.pieces {
		x, y, heading := p.at(p.length)
		next := r.pieces[(i+1)%len(r.pieces)]
		if gap := math.Hypot(next.x-x, next.y-y); gap > 1e-6 {
			t.Errorf("piece %d ends %g m from the next", i, gap)
		}
		if turn := math.Remainder(next.heading-heading, 2*math.Pi); math.Abs(turn) > 1e-9 {
			t.Errorf("piece %d ends at an angle of %g to the next", i, turn)
		}
		if p.length <= 0 {
			t.Errorf("piece %d is %g m long", i, p.length)
		}
	}
	if r.length < 4000 || r.length > 10_000 {
		t.Errorf("the route is %.0f m long", r.length)
	}
	for _, tunnel := range tunnels {
		for _, light := range r.lights {
			if part := light / r.length; part > tunnel.from-0.001 && part < tunnel.to+0.001 {
				t.Errorf("a light stands at %.3f of the route, in the tunnel from %.3f to %.3f", part, tunnel.from, tunnel.to)
			}
		}
	}
	t.Logf("%.0f m, %d lights", r.length, len(r.lights))
}

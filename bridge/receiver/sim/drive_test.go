package sim

import (
	"math"
	"testing"
)

// TestDrive drives each of some seeds for half an hour and checks that a vehicle could.
func TestDrive(t *testing.T) {
	t.Parallel()
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
		if laps := way / g.drive.length; laps < 1.5 {
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

// TestLights: the vehicle stands before each line whose light is red, for as long as it is, and nowhere else.
func TestLights(t *testing.T) {
	t.Parallel()
	lights := 0
	for _, c := range hydePark {
		if c.light {
			lights++
		}
	}
	for seed := range uint64(10) {
		d := newDrive(hydePark, seed)
		stops := 0
		for i, m := range d.moments[:len(d.moments)-1] {
			next := d.moments[i+1]
			if next.way != m.way {
				if m.speed == 0 && next.speed == 0 {
					t.Errorf("seed %d: no way from %.1f m", seed, m.way)
				}
				continue
			}
			stops++
			if m.speed != 0 || next.at-m.at <= 0 || next.at-m.at > longestRed {
				t.Errorf("seed %d: stands for %.1f s at %.1f m/s", seed, next.at-m.at, m.speed)
			}
			at := math.Inf(1)
			for _, s := range d.streets {
				if s.light {
					at = min(at, math.Abs(math.Remainder(m.way-d.line(s.from), d.length)))
				}
			}
			if at > lapStep {
				t.Errorf("seed %d: stops %.1f m from a line", seed, at)
			}
		}
		if stops < 3 || stops > lights {
			t.Errorf("seed %d: stops %d times at %d lights", seed, stops, lights)
		}
	}
}

func TestRouteIsClosed(t *testing.T) {
	t.Parallel()
	d := newDrive(hydePark, 0)
	x, y, heading, _ := d.place(-1)
	for way := -1.0; way <= d.length+1; way += 0.1 {
		nx, ny, h, stretch := d.place(way)
		if gap := math.Hypot(nx-x, ny-y); gap > 0.1001 {
			t.Errorf("%g m of ground in 0.1 m at %.1f m", gap, way)
		}
		if turn := math.Abs(math.Remainder(h-heading, 2*math.Pi)); turn > 0.1*stretch/8 {
			t.Errorf("turns by %.2f° in 0.1 m at %.1f m", turn*180/math.Pi, way)
		}
		x, y, heading = nx, ny, h
	}
	if d.length < 4000 || d.length > 10_000 {
		t.Errorf("the route is %.0f m long", d.length)
	}
	lights := 0
	for _, s := range d.streets[1:] {
		if !s.light {
			continue
		}
		lights++
		for _, tunnel := range tunnels {
			if part := d.part(d.line(s.from)); part > tunnel.from-0.001 && part < tunnel.to+0.001 {
				t.Errorf("a light stands at %.3f of the route, in the tunnel from %.3f to %.3f", part, tunnel.from, tunnel.to)
			}
		}
	}
	t.Logf("%.0f m, %d lights, %.0f s", d.length, lights, d.lap)
}

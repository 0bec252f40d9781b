package pipeline

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gpsbridge/nmea"
)

// step is an epoch of a drive, with what is known of it because the drive was made so.
type step struct {
	fix    nmea.Fix
	moving bool   // from the start on, to the stop
	event  string // that must be reported
}

// trip makes a drive of stretches: standing, driving, no fix. It says what is an event by how it made them, and so by
// other means than the reporter, that has to find out.
type trip struct {
	t      *rapid.T
	now    time.Time
	lat    float64
	course float64
	steps  []step
	moving bool
}

func (tr *trip) add(mode nmea.Mode, speed float64, event string) {
	set := func(v float64) nmea.Value { return nmea.Value{V: v, Set: true} }
	f := nmea.Fix{Mode: mode, Time: tr.now}
	if mode != nmea.ModeNone {
		tr.lat += speed / metresNorth
		f.Lat, f.Lon, f.Speed, f.Track = set(tr.lat), set(-0.125), set(speed), set(tr.course)
	}
	tr.steps = append(tr.steps, step{f, tr.moving, event})
	tr.now = tr.now.Add(time.Second)
}

// stand stands for at least as long as it takes to be a stop, which is one after the first time.
func (tr *trip) stand() {
	const after = int(stopAfter / time.Second)
	for i := range after + rapid.IntRange(1, 30).Draw(tr.t, "stand") {
		event := ""
		if tr.moving && i == after {
			tr.moving, event = false, "stop"
		}
		tr.add(nmea.Mode3D, 0, event)
	}
}

// drive drives: with each second another speed and course.
func (tr *trip) drive() {
	for range rapid.IntRange(1, 60).Draw(tr.t, "drive") {
		event := ""
		if !tr.moving {
			tr.moving, event = true, "start"
		}
		tr.course = math.Mod(tr.course+rapid.Float64Range(-40, 40).Draw(tr.t, "turn")+360, 360)
		tr.add(nmea.Mode3D, rapid.Float64Range(startSpeed, 30).Draw(tr.t, "speed"), event)
	}
}

// lose has no fix for a while, in which nothing moves.
func (tr *trip) lose() {
	for range rapid.IntRange(1, 90).Draw(tr.t, "lose") {
		event := ""
		if n := len(tr.steps); n == 0 || tr.steps[n-1].fix.Mode != nmea.ModeNone {
			event = "loss"
		}
		tr.add(nmea.ModeNone, 0, event)
	}
}

func newTrip(t *rapid.T) []step {
	tr := &trip{t: t, now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), lat: 51.5}
	for range rapid.IntRange(1, 8).Draw(t, "stretches") {
		rapid.SampledFrom([]func(){tr.stand, tr.drive, tr.lose}).Draw(t, "stretch")()
	}
	for i := 1; i < len(tr.steps); i++ {
		if tr.steps[i].fix.Mode != nmea.ModeNone && tr.steps[i-1].fix.Mode == nmea.ModeNone {
			tr.steps[i].event = "return"
		}
	}
	tr.steps[0].event = "first"
	return tr.steps
}

func newLimits(t *rapid.T) Limits {
	seconds := func(name string) time.Duration {
		return time.Duration(rapid.SampledFrom([]int{0, 0, 2, 7, 30, 100}).Draw(t, name)) * time.Second
	}
	number := func(name string, of ...float64) float64 { return rapid.SampledFrom(of).Draw(t, name) }
	c := Limits{
		Interval: seconds("interval"), Stopped: seconds("stopped"), NoFix: seconds("no_fix"),
		Distance: number("distance", 0, 0, 20, 150, 1e6), Turn: number("turn", 0, 0, 15, 90, 180), Speed: number("speed", 0, 0, 3, 12),
	}
	if c.everything() {
		c.Distance = 1e6
	}
	return c
}

// exceeded says which limit an epoch that was not reported has reached, given the last one that was.
func exceeded(c Limits, last, now step) string {
	first := func(limits ...time.Duration) time.Duration {
		for _, l := range limits {
			if l > 0 {
				return l
			}
		}
		return math.MaxInt64
	}
	within := first(c.Interval)
	switch {
	case now.fix.Mode == nmea.ModeNone:
		within = first(c.NoFix, c.Interval, time.Minute)
	case !now.moving:
		within = first(c.Stopped, c.Interval)
	}
	if now.fix.Time.Sub(last.fix.Time) >= within {
		return "time"
	}
	if !now.moving || now.fix.Mode == nmea.ModeNone {
		return ""
	}
	a, b := last.fix, now.fix
	if c.Distance > 0 && math.Abs(a.Lat.V-b.Lat.V)*metresNorth > c.Distance+1e-3 {
		return "distance"
	}
	if c.Speed > 0 && math.Abs(a.Speed.V-b.Speed.V) >= c.Speed {
		return "speed"
	}
	if fast := a.Speed.V >= courseSpeed && b.Speed.V >= courseSpeed; c.Turn > 0 && fast && last.moving {
		sinA, cosA := math.Sincos(a.Track.V * math.Pi / 180)
		sinB, cosB := math.Sincos(b.Track.V * math.Pi / 180)
		if angle := math.Acos(max(-1, min(1, sinA*sinB+cosA*cosB))) * 180 / math.Pi; angle > c.Turn+1e-3 {
			return "turn"
		}
	}
	return ""
}

// TestReporterKeepsToItsLimits holds for any drive and any limits that the first fix, a loss, a return, a start and a stop
// are reported, and that no epoch which has reached a limit is left out: so a limit is exceeded by less than an epoch.
func TestReporterKeepsToItsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, steps := newLimits(t), newTrip(t)
		r := reporter{limits: c}
		var last step
		for i, s := range steps {
			if r.wants(&s.fix, time.Time{}) {
				last = s
				continue
			}
			if s.event != "" {
				t.Fatalf("epoch %d is the %s, and was not reported with %+v", i, s.event, c)
			}
			if why := exceeded(c, last, s); why != "" {
				t.Fatalf("epoch %d has reached the limit of %s, and was not reported with %+v", i, why, c)
			}
		}
	})
}

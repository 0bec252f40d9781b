package pipeline

import (
	"cmp"
	"math"
	"time"

	"gpsbridge/nmea"
)

// Limits say which fixes go to the tracking servers. With no limit set every one does; otherwise one goes when any of the
// limits is reached, and always the first fix, the loss of the fix and its return, the start and the stop. Zero is no limit.
type Limits struct {
	Interval time.Duration // since the last report, while moving
	Distance float64       // m from the last report
	Turn     float64       // degrees from the course of the last report, 0 to 180
	Speed    float64       // m/s from the speed of the last report
	Stopped  time.Duration // since the last report, while standing; 0: Interval
	NoFix    time.Duration // since the last report, while there is no fix; 0: Interval, without that a minute
	Sky      bool          // satellites too, not only fixes; no limit
	Members  nmea.Members  // of those fixes that go; no limit
	Batch    time.Duration // for how long those are collected, but for what is not to wait; no limit
}

// everything reports that no limit is set.
func (l Limits) everything() bool {
	l.Sky, l.Members, l.Batch = false, 0, 0
	return l == Limits{}
}

const (
	// startSpeed and stopSpeed, in m/s, separate moving from standing. A receiver at rest reports up to some 0.5 m/s, a walker
	// pushing a vehicle 1 m/s; between the two the state stays what it was.
	startSpeed, stopSpeed = 1.5, 0.7
	// stopAfter is how long it must be slow to count as a stop: a bend or a speed bump is none.
	stopAfter = 5 * time.Second
	// driftRadius, in m, is how far a position may wander from where the vehicle stopped before it counts as moving without
	// speed: on a tow truck, a ferry, or by a receiver that gives no speed. Parked drift among houses reaches some tens.
	driftRadius = 60
	// stayAfter is how long a position must stay within driftRadius to count as a stop where the receiver gives no speed:
	// what moves at startSpeed has left it by then.
	stayAfter = driftRadius / startSpeed * time.Second
	// courseSpeed, in m/s, is where a course begins to mean anything (about 7 km/h).
	courseSpeed = 2
	// noFixInterval is the pause between signs of life while there is no fix, where no limit in time is set.
	noFixInterval = time.Minute
)

// batchTurn is the turn in degrees that does not wait for a batch, where [report] names none: less than a corner, and more than a
// lane change.
const batchTurn = 30

// atOnce are the limits by which a fix does not wait for a batch: those of a turn, and what every reporter reports.
func (l Limits) atOnce() Limits { return Limits{Turn: cmp.Or(l.Turn, batchTurn)} }

// reporter decides which fixes are reported. It has no clock: time comes with the fix, or from the caller while the
// receiver does not know it.
type reporter struct {
	limits Limits

	begun  bool
	at     time.Time  // of the last report
	last   nmea.Fix   // the last report
	course nmea.Value // of the last report, or the first there was since it started to move
	fix    bool       // the last epoch had a fix
	moving bool
	slow   time.Time // since when it is slow by its speed; zero while it is not
	stays  time.Time // since when it is within driftRadius of spot, where no speed is stated; zero while it is not
	spot   nmea.Fix
	anchor nmea.Fix // where it stopped
}

// wants reports whether a fix is to be reported; now is the time at which it came.
func (r *reporter) wants(f *nmea.Fix, now time.Time) bool {
	if r.limits.everything() {
		return true
	}
	if !f.Time.IsZero() {
		now = f.Time
	}
	fix := f.Mode >= nmea.Mode2D
	turned := r.begun && fix != r.fix // a fix lost or found
	started := fix && r.move(f, now)
	want := !r.begun || turned || started || r.due(f, fix, now)
	r.fix = fix
	if want {
		r.begun, r.at, r.last = true, now, *f
	}
	switch {
	case !r.moving:
		r.course = nmea.Value{}
	case f.Speed.V >= courseSpeed && (want || !r.course.Set):
		r.course = f.Track
	}
	return want
}

// move follows starts and stops and reports each.
func (r *reporter) move(f *nmea.Fix, now time.Time) (changed bool) {
	if r.moving {
		if r.stopped(f, now) {
			r.moving, r.anchor = false, *f
		}
		return !r.moving
	}
	if !r.anchor.Lat.Set {
		r.anchor = *f
	}
	if f.Speed.V >= startSpeed || metres(f, &r.anchor) > driftRadius {
		r.moving, r.slow, r.stays = true, time.Time{}, time.Time{}
	}
	return r.moving
}

// stopped reports whether what was moving stands: by its speed, else by its position. Epochs of either kind may alternate,
// as those of a receiver that states its speed less often than its position.
func (r *reporter) stopped(f *nmea.Fix, now time.Time) bool {
	switch {
	case !f.Speed.Set:
		gone := !r.stays.IsZero() && metres(f, &r.spot) > driftRadius
		if gone {
			r.slow = time.Time{}
		}
		if gone || r.stays.IsZero() || now.Before(r.stays) {
			r.stays, r.spot = now, *f
		}
		return now.Sub(r.stays) >= stayAfter
	case f.Speed.V > stopSpeed:
		r.slow, r.stays = time.Time{}, time.Time{}
	case r.slow.IsZero() || now.Before(r.slow): // before: the clock was set
		r.slow = now
	default:
		return now.Sub(r.slow) >= stopAfter
	}
	return false
}

// due reports whether a limit is reached.
func (r *reporter) due(f *nmea.Fix, fix bool, now time.Time) bool {
	since := now.Sub(r.at)
	passed := func(limits ...time.Duration) bool {
		for _, l := range limits {
			if l > 0 {
				return since >= l
			}
		}
		return false
	}
	switch {
	case since < 0: // the clock was set, or another receiver plugged in
		return true
	case !fix:
		return passed(r.limits.NoFix, r.limits.Interval, noFixInterval)
	case !r.moving:
		return passed(r.limits.Stopped, r.limits.Interval)
	}
	return passed(r.limits.Interval) ||
		r.limits.Distance > 0 && metres(f, &r.last) >= r.limits.Distance ||
		r.limits.Turn > 0 && f.Speed.V >= courseSpeed && turn(f.Track, r.course) >= r.limits.Turn ||
		r.limits.Speed > 0 && f.Speed.Set && r.last.Speed.Set && math.Abs(f.Speed.V-r.last.Speed.V) >= r.limits.Speed
}

// turn is the angle between two courses, 0 to 180 degrees, whichever way round is shorter; 0 where one is not known.
func turn(a, b nmea.Value) float64 {
	if !a.Set || !b.Set {
		return 0
	}
	return math.Abs(math.Remainder(a.V-b.V, 360))
}

// metres is the distance between two fixes on a sphere of the Earth's mean radius, which errs by up to 0.5 %; 0 where one
// has no position.
func metres(a, b *nmea.Fix) float64 {
	if !a.Lat.Set || !b.Lat.Set {
		return 0
	}
	const radius, degree = 6371008.8, math.Pi / 180
	dLat := (a.Lat.V - b.Lat.V) * degree
	dLon := math.Remainder(a.Lon.V-b.Lon.V, 360) * degree
	s, c := math.Sin(dLat/2), math.Sin(dLon/2)
	h := s*s + math.Cos(a.Lat.V*degree)*math.Cos(b.Lat.V*degree)*c*c
	return 2 * radius * math.Asin(math.Sqrt(min(h, 1)))
}

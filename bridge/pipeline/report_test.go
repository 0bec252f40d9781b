package pipeline

import (
	"slices"
	"testing"
	"time"

	"gpsbridge/nmea"
)

// drive makes one fix a second, each by a change of the one before.
type drive struct {
	fixes []nmea.Fix
	now   nmea.Fix
}

func newDrive() *drive {
	set := func(v float64) nmea.Value { return nmea.Value{V: v, Set: true} }
	return &drive{now: nmea.Fix{
		Mode: nmea.Mode3D, Time: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC),
		Lat: set(51.5), Lon: set(-0.125), Speed: set(0), Track: set(0),
	}}
}

// metresNorth is a degree of latitude on the sphere of metres.
const metresNorth = 111195.08

func (d *drive) during(seconds int, change func(*nmea.Fix)) *drive {
	for range seconds {
		change(&d.now)
		d.now.Lat.V += d.now.Speed.V / metresNorth
		d.fixes = append(d.fixes, d.now)
		d.now.Time = d.now.Time.Add(time.Second)
	}
	return d
}

func at(speed float64) func(*nmea.Fix) {
	return func(f *nmea.Fix) { f.Speed = nmea.Value{V: speed, Set: true} }
}
func course(track float64) func(*nmea.Fix) { return func(f *nmea.Fix) { f.Track.V = track } }
func lost(f *nmea.Fix)                     { f.Mode = nmea.ModeNone }
func found(f *nmea.Fix)                    { f.Mode = nmea.Mode3D }

// silent moves at a speed that the receiver does not tell.
func silent(speed float64) func(*nmea.Fix) {
	return func(f *nmea.Fix) {
		f.Speed = nmea.Value{}
		f.Lat.V += speed / metresNorth
	}
}

// fifth moves at a speed that only every fifth epoch tells.
func fifth(speed float64) func(*nmea.Fix) {
	return func(f *nmea.Fix) {
		if f.Time.Second()%5 == 0 {
			at(speed)(f)
			return
		}
		silent(speed)(f)
	}
}

func yearAgo(f *nmea.Fix) { f.Time = f.Time.AddDate(-1, 0, 0) }

func TestReporter(t *testing.T) {
	second := time.Second
	for name, test := range map[string]struct {
		limits Limits
		drive  *drive
		want   []int // seconds of the reports
	}{
		"every fix by default": {Limits{}, newDrive().during(3, at(0)), []int{0, 1, 2}},
		"the first, the start, the stop": {
			Limits{Distance: 1e6},
			newDrive().during(5, at(0)).during(10, at(10)).during(10, at(0)), []int{0, 5, 20},
		},
		"a bend is no stop": {
			Limits{Distance: 1e6},
			newDrive().during(5, at(10)).during(4, at(0)).during(5, at(10)), []int{0},
		},
		"by time": {Limits{Interval: 10 * second}, newDrive().during(31, at(10)), []int{0, 10, 20, 30}},
		"standing is reported less": {
			Limits{Interval: 2 * second, Stopped: 10 * second},
			newDrive().during(21, at(0)), []int{0, 10, 20},
		},
		"by distance": {Limits{Distance: 50}, newDrive().during(16, at(10)), []int{0, 5, 10, 15}},
		"by turn, over north, either way": {
			Limits{Turn: 15},
			newDrive().during(3, course(355)).during(3, func(f *nmea.Fix) { f.Speed.V = 10 }).during(2, course(5)).
				during(2, course(11)).during(2, course(350)), []int{0, 3, 8, 10},
		},
		"a course means nothing at walking pace": {
			Limits{Turn: 15},
			newDrive().during(2, at(1.6)).during(3, course(90)).during(3, course(270)), []int{0},
		},
		"by speed": {Limits{Speed: 5}, newDrive().during(3, at(10)).during(3, at(14.9)).during(3, at(15.1)), []int{0, 6}},
		"the loss of the fix and its return, and a sign of life between": {
			Limits{Interval: 100 * second, NoFix: 5 * second},
			newDrive().during(3, at(10)).during(12, lost).during(3, found), []int{0, 3, 8, 13, 15},
		},
		"parked drift is no motion": {
			Limits{Distance: 10},
			newDrive().during(2, at(0)).during(1, func(f *nmea.Fix) { f.Lat.V += 40 / metresNorth }).during(5, at(0)), []int{0},
		},
		"towed without speed": {
			Limits{Distance: 1e6},
			newDrive().during(2, at(0)).during(1, func(f *nmea.Fix) { f.Lat.V += 70 / metresNorth }).during(1, at(0)), []int{0, 2},
		},
		"without speed: the start after 60 m, the stop after 40 s within 60 m": {
			Limits{Distance: 1e6},
			newDrive().during(3, silent(0)).during(20, silent(11)).during(60, silent(0)).during(10, silent(11)), []int{0, 8, 61, 88},
		},
		"without speed, a crawl is no stop": {
			Limits{Distance: 1e6}, newDrive().during(300, silent(1.6)), []int{0, 38},
		},
		"a speed every fifth epoch": {
			Limits{Distance: 1e6},
			newDrive().during(5, at(10)).during(10, fifth(10)).during(20, fifth(0)).during(10, fifth(10)), []int{0, 20, 35},
		},
		"slow, and driven off in silence": {
			Limits{Distance: 1e6},
			newDrive().during(5, at(10)).during(2, at(0)).during(2, silent(0)).during(10, silent(10)).during(1, at(0)).during(2, at(10)), []int{0},
		},
		"the clock was set back at a stop": {
			Limits{Distance: 1e6},
			newDrive().during(5, at(10)).during(2, at(0)).during(1, yearAgo).during(9, at(0)), []int{0, 7, 12},
		},
		"the clock was set back at a stop, without speed": {
			Limits{Distance: 1e6},
			newDrive().during(5, at(10)).during(2, silent(0)).during(1, yearAgo).during(50, silent(0)), []int{0, 7, 47},
		},
		"a sign of life without a fix, with no limit in time": {
			Limits{Distance: 50}, newDrive().during(3, at(0)).during(130, lost), []int{0, 3, 63, 123},
		},
		"a turn to the left over north is not one of 350 degrees": {
			Limits{Turn: 15},
			newDrive().during(3, at(10)).during(3, course(355)).during(3, course(350)).during(3, course(344)), []int{0, 9},
		},
		"a speed that is heard once in a long time": {
			Limits{Distance: 1e6},
			newDrive().during(5, at(10)).during(30, silent(0)).during(1, at(1)).during(30, silent(0)), []int{0},
		},
		"a stop counts from the start": {
			Limits{Distance: 1e6},
			newDrive().during(5, at(10)).during(10, at(0)).during(1, at(10)).during(4, at(0)).during(3, at(10)), []int{0, 10, 15},
		},
		"a stop counts from the start, without speed": {
			Limits{Distance: 1e6},
			newDrive().during(5, at(10)).during(1, silent(0)).during(1, silent(50)).during(50, silent(0)).
				during(1, silent(-65)).during(5, silent(0)), []int{0, 45, 57},
		},
		"a return between two epochs": {
			Limits{Interval: 100 * second},
			newDrive().during(3, at(10)).during(1, lost).during(3, found), []int{0, 3, 4},
		},
		"no fix at first": {
			Limits{Interval: 100 * second, Stopped: 200 * second},
			newDrive().during(3, lost).during(2, found), []int{0, 3},
		},
		"the clock was set back": {
			Limits{Interval: 100 * second},
			newDrive().during(3, at(10)).during(3, func(f *nmea.Fix) {
				if f.Time.Year() == 2026 {
					f.Time = f.Time.AddDate(-1, 0, 0)
				}
			}), []int{0, 3},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := reporter{limits: test.limits}
			var got []int
			for i := range test.drive.fixes {
				if r.wants(&test.drive.fixes[i], time.Time{}) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("reported %v, want %v", got, test.want)
			}
		})
	}
}

func TestReporterWithoutAReceiversTime(t *testing.T) {
	r := reporter{limits: Limits{Interval: 10 * time.Second}}
	f := nmea.Fix{Mode: nmea.ModeNone}
	start := time.Now()
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {9 * time.Second, false}, {10 * time.Second, true}, {19 * time.Second, false}, {20 * time.Second, true}} {
		if got := r.wants(&f, start.Add(step.after)); got != step.want {
			t.Errorf("after %v: %v, want %v", step.after, got, step.want)
		}
	}
}

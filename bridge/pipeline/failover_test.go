package pipeline

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gpsbridge/nmea"
)

// race is two receivers that state the same epochs, one a second, and what of them is forwarded.
type race struct {
	failover *failover
	start    time.Time
	gone     []nmea.Fix
	whys     []string
}

func newRace(receivers int) *race {
	return &race{failover: newFailover(receivers), start: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
}

// send has a receiver state an epoch, by its own time and delay later.
func (r *race) send(receiver, second int, delay time.Duration, change func(*nmea.Fix)) {
	at := r.start.Add(time.Duration(second) * time.Second)
	f := nmea.Fix{Mode: nmea.Mode3D, Status: nmea.StatusGPS, Time: at, USat: nmea.Value{V: float64(receiver), Set: true}}
	if change != nil {
		change(&f)
	}
	if why := r.failover.epoch(receiver, &f, at.Add(delay), func(f *nmea.Fix) { r.gone = append(r.gone, *f) }); why != "" {
		r.whys = append(r.whys, why)
	}
}

// seconds are the forwarded epochs, and the receivers that stated them.
func (r *race) seconds() (seconds, from []int) {
	for _, f := range r.gone {
		seconds = append(seconds, int(f.Time.Sub(r.start).Seconds()))
		from = append(from, int(f.USat.V))
	}
	return seconds, from
}

func noFix(f *nmea.Fix)    { f.Mode, f.Status = nmea.ModeNone, nmea.StatusUnknown }
func rtk(f *nmea.Fix)      { f.Status = nmea.StatusRTKFixed }
func dateless(f *nmea.Fix) { f.Time = time.Time{} }

func TestFailover(t *testing.T) {
	const early, late = 100 * time.Millisecond, 300 * time.Millisecond
	for name, test := range map[string]struct {
		run  func(*race)
		from []int // the receiver of each second's epoch
		whys []string
	}{
		"the first feeds while both are well": {
			func(r *race) {
				for s := range 5 {
					r.send(0, s, early, nil)
					r.send(1, s, late, nil)
				}
			}, []int{0, 0, 0, 0, 0}, nil},
		"the other had the epoch already when the fix is lost": {
			func(r *race) {
				for s := range 5 {
					r.send(1, s, early, nil)
					if s < 3 {
						r.send(0, s, late, nil)
					} else {
						r.send(0, s, late, noFix)
					}
				}
			}, []int{0, 0, 0, 1, 1}, []string{"the fix was lost"}},
		"the other states the epoch after the fix was lost": {
			func(r *race) {
				for s := range 5 {
					if s < 3 {
						r.send(0, s, early, nil)
					} else {
						r.send(0, s, early, noFix)
					}
					r.send(1, s, late, nil)
				}
			}, []int{0, 0, 0, 1, 1}, []string{"the fix was lost"}},
		"the cable is pulled": {
			func(r *race) {
				for s := range 7 {
					if s < 3 {
						r.send(0, s, early, nil)
					}
					r.send(1, s, late, nil)
				}
			}, []int{0, 0, 0, 1, 1, 1, 1}, []string{"it is silent"}},
		"an epoch is left out": {
			func(r *race) {
				for s := range 5 {
					if s != 3 {
						r.send(0, s, early, nil)
					}
					r.send(1, s, late, nil)
				}
			}, []int{0, 0, 0, 1, 0}, nil},
		"neither has a fix": {
			func(r *race) {
				for s := range 3 {
					r.send(0, s, early, noFix)
					r.send(1, s, late, noFix)
				}
			}, []int{0, 0, 0}, nil},
		"the other finds a fix first": {
			func(r *race) {
				for s := range 4 {
					r.send(0, s, early, noFix)
					if s < 2 {
						r.send(1, s, late, noFix)
					} else {
						r.send(1, s, late, nil)
					}
				}
			}, []int{0, 0, 0, 1}, []string{"it has no fix"}},
		"the first is back": {
			func(r *race) {
				for s := range 20 {
					if s == 0 || s > 4 {
						r.send(0, s, early, nil)
					}
					r.send(1, s, late, nil)
				}
			}, []int{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0},
			[]string{"it is silent", "the other's fix is better"}},
		"a better fix, for long enough": {
			func(r *race) {
				for s := range 13 {
					r.send(0, s, early, nil)
					r.send(1, s, late, rtk)
				}
			}, []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, []string{"the other's fix is better"}},
		"the first was never there": {
			func(r *race) {
				for s := range 5 {
					r.send(1, s, late, nil)
				}
			}, []int{1, 1, 1, 1, 1}, []string{"it is silent"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRace(2)
			test.run(r)
			seconds, from := r.seconds()
			for i := range seconds {
				if seconds[i] != i {
					t.Fatalf("epochs %v went on, want each second once", seconds)
				}
			}
			if !slices.Equal(from, test.from) {
				t.Errorf("they came from %v, want %v", from, test.from)
			}
			if !slices.Equal(r.whys, test.whys) {
				t.Errorf("takeovers %q, want %q", r.whys, test.whys)
			}
		})
	}
}

// TestFailoverLearnsARate: a receiver that was set to a slower rate is late for some epochs, and then no more.
func TestFailoverLearnsARate(t *testing.T) {
	for _, every := range []int{2, 5} {
		r := newRace(2)
		second, learned := 0, 0
		for slow := 0; slow < 40; second++ {
			if second < 5 || second%every == 0 {
				r.send(0, second, 100*time.Millisecond, nil)
				if second >= 5 {
					slow++
				}
			}
			if slow <= rhythmEpochs { // the first of them may come a second after the last of before
				learned = len(r.whys)
			}
			r.send(1, second, 300*time.Millisecond, nil)
		}
		// It feeds again as soon as it was the better one for long enough.
		if n := len(r.whys) - learned; n > 1 || r.failover.feeding != 0 {
			t.Errorf("an epoch every %d s: receiver %d feeds after %d takeovers (%q) since its rate should be known, want the first after one at the most",
				every, r.failover.feeding, n, r.whys[learned:])
		}
		for range 10 {
			r.send(0, second, 100*time.Millisecond, nil)
			r.send(1, second, 300*time.Millisecond, nil)
			second++
		}
		if got := r.failover.receivers[0].interval(); got != time.Second {
			t.Errorf("set back to one a second its rhythm is %v", got)
		}
	}
}

func TestFailoverWithoutAComparableTime(t *testing.T) {
	for name, change := range map[string]func(*nmea.Fix){
		"no date":         dateless,
		"1024 weeks back": func(f *nmea.Fix) { f.Time = f.Time.AddDate(0, 0, -7*1024) },
	} {
		r := newRace(2)
		for s := range 6 {
			if s < 3 {
				r.send(0, s, 100*time.Millisecond, nil)
			}
			r.send(1, s, 300*time.Millisecond, change)
		}
		if _, from := r.seconds(); !slices.Equal(from, []int{0, 0, 0, 1, 1, 1}) {
			t.Errorf("%s: epochs came from %v, want three of each", name, from)
		}
	}
}

// TestFailoverNeitherLosesNorDoublesEpochs holds whatever two or three receivers do.
func TestFailoverNeitherLosesNorDoublesEpochs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		receivers := rapid.IntRange(1, 3).Draw(t, "receivers")
		r := newRace(receivers)
		told := map[int]bool{}
		story := ""
		const seconds = 40
		for s := range seconds {
			order := rapid.Permutation([]int{0, 1, 2}[:receivers]).Draw(t, "order")
			for k, i := range order {
				delay := time.Duration(k*150) * time.Millisecond
				does := rapid.SampledFrom([]string{"silent", "fix", "no fix", "rtk", "fix", "fix"}).Draw(t, "does")
				if does != "silent" {
					story += fmt.Sprint(s, ":", i, " ", does, ", ")
				}
				switch does {
				case "fix":
					r.send(i, s, delay, nil)
				case "rtk":
					r.send(i, s, delay, rtk)
				case "no fix":
					r.send(i, s, delay, noFix)
				case "silent":
					continue
				}
				told[s] = true
			}
		}
		went, _ := r.seconds()
		if !slices.IsSorted(went) || len(slices.Compact(slices.Clone(went))) != len(went) {
			t.Fatalf("epochs %v went on, want each once and in order\n%s", went, story)
		}
		for s := range told {
			// What comes at the end may still be held.
			if last := went[len(went)-1]; s < last && !slices.Contains(went, s) {
				t.Fatalf("epoch %d came and was not forwarded: %v\n%s", s, went, story)
			}
		}
	})
}

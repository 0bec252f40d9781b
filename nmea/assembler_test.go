package nmea

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// modes returns the modes of the fixes as digits.
func (r *recorder) modes() string {
	var b strings.Builder
	for i := range r.fixes {
		fmt.Fprintf(&b, "%d", r.fixes[i].Mode)
	}
	return b.String()
}

// oneEach fails unless the fixes have n different times, in order.
func (r *recorder) oneEach(t *testing.T, n int) {
	t.Helper()
	if len(r.fixes) != n {
		t.Errorf("%d fixes, want %d: %s", len(r.fixes), n, r.times())
	}
	for i := 1; i < len(r.fixes); i++ {
		a, b := r.fixes[i-1], r.fixes[i]
		if b.Time.IsZero() || !b.Time.After(a.Time) && !a.LeapSecond {
			t.Errorf("fix %d: %v after %v", i, b.Time, a.Time)
		}
	}
}

// TestOneFixAnEpoch counts fixes whatever happens to the sentences.
func TestOneFixAnEpoch(t *testing.T) {
	order := []string{"RMC", "VTG", "GGA", "GSA", "GSV", "GLL"}
	drop := func(kind string, at int) func(int) []string {
		return func(i int) []string {
			var k []string
			for _, o := range order {
				if i != at || o != kind {
					k = append(k, o)
				}
			}
			return k
		}
	}
	tests := []struct {
		name string
		step float64
		say  func(i int) []string
	}{
		{"steady", 1, func(int) []string { return order }},
		{"25 Hz", 0.04, func(int) []string { return order }},
		{"an RMC lost", 1, drop("RMC", 10)},
		{"a GGA lost", 1, drop("GGA", 10)},
		{"a GSA lost", 1, drop("GSA", 10)},
		{"a GLL lost", 1, drop("GLL", 10)},
		{"all but GLL lost", 1, func(i int) []string {
			if i == 10 {
				return []string{"GLL"}
			}
			return order
		}},
		{"the order changed", 1, func(i int) []string {
			if i >= 10 {
				return []string{"GGA", "GLL", "GSA", "GSV", "RMC", "VTG"}
			}
			return order
		}},
		{"RMC gone for good", 1, func(i int) []string {
			if i >= 10 {
				return order[1:]
			}
			return order
		}},
		{"GGA added", 1, func(i int) []string {
			if i < 10 {
				return []string{"RMC", "GLL"}
			}
			return order
		}},
		{"RMC twice", 1, func(int) []string { return []string{"RMC", "GGA", "RMC", "GSA"} }},
		{"ZDA first", 1, func(int) []string { return []string{"ZDA", "RMC", "GGA", "GST", "GBS"} }},
		{"ZDA last", 1, func(int) []string { return []string{"RMC", "GGA", "GST", "GBS", "ZDA"} }},
		{"GLL alone with RMC at times", 1, func(i int) []string {
			if i%5 == 0 {
				return []string{"GLL", "RMC"}
			}
			return []string{"GLL"}
		}},
		{"a slower clock", 1, func(i int) []string {
			if i >= 5 && i < 8 {
				return nil
			}
			return order
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s stream
			n := 0
			for i := range 40 {
				kinds := tt.say(i)
				s.epoch(36000+float64(i)*tt.step, kinds...)
				if len(kinds) > 0 {
					n++
				}
			}
			r := assemble(s.Bytes(), Options{})
			r.oneEach(t, n)
			for i, f := range r.fixes {
				if !f.Lat.Set || f.Mode < Mode2D {
					t.Errorf("fix %d has no position: %+v", i, f)
				}
			}
		})
	}
}

// TestLearnedCycle holds that a fix leaves with the last sentence that adds to it, and that nothing is missing from it.
func TestLearnedCycle(t *testing.T) {
	tests := []struct {
		name  string
		kinds []string
		last  int // number of the sentence with which the fix leaves
	}{
		{"u-blox", []string{"RMC", "VTG", "GGA", "GSA", "GSV", "GSV", "GLL"}, 4},
		{"u-blox with everything", []string{"RMC", "VTG", "GGA", "GSA", "GSV", "GLL", "GST", "ZDA", "GBS"}, 4},
		{"SiRF", []string{"GGA", "GSA", "GSV", "RMC"}, 4},
		{"MediaTek", []string{"GGA", "GSA", "GSV", "RMC", "VTG"}, 4},
		{"RMC that only repeats", []string{"GGA", "VTG", "GSA", "RMC", "GLL"}, 3},
		{"RMC alone", []string{"RMC"}, 1},
		{"GNS", []string{"GNS", "GLL", "VTG", "ZDA"}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s stream
			for i := range 10 {
				s.epoch(36000+float64(i), tt.kinds...)
			}
			r := assemble(s.Bytes(), Options{})
			r.oneEach(t, 10)
			for i := 2; i < 10; i++ {
				if want := i*len(tt.kinds) + tt.last; r.after[i] != want {
					t.Errorf("fix %d left with sentence %d, want %d", i, r.after[i]-i*len(tt.kinds), tt.last)
				}
			}
			whole := r.fixes[0] // closed by the second epoch, so it has everything
			for i, f := range r.fixes[2:] {
				got := []bool{f.AltMSL.Set, f.Speed.Set, f.Track.Set, f.HDOP.Set, f.VDOP.Set, f.Eph.Set, f.USat.Set}
				want := []bool{whole.AltMSL.Set, whole.Speed.Set, whole.Track.Set, whole.HDOP.Set, whole.VDOP.Set, whole.Eph.Set, whole.USat.Set}
				if d := cmp.Diff(want, got); d != "" || f.Mode != whole.Mode {
					t.Errorf("fix %d lacks something (-want +got):\n%s%+v", i+2, d, f)
				}
			}
		})
	}
}

// TestLostSentence holds that an epoch whose last sentence is lost leaves with
// the next epoch, and that the one after is as quick as ever.
func TestLostSentence(t *testing.T) {
	for _, step := range []float64{1, 0.1} {
		var s stream
		for i := range 12 {
			if i == 6 {
				s.epoch(36000+float64(i)*step, "GGA", "GSA")
				continue
			}
			s.epoch(36000+float64(i)*step, "GGA", "GSA", "RMC")
		}
		r := assemble(s.Bytes(), Options{})
		r.oneEach(t, 12)
		if r.after[6] != 21 {
			t.Errorf("fix 6 left with sentence %d, want 21, the first of the next epoch", r.after[6])
		}
		if r.fixes[6].Speed.Set || !r.fixes[6].AltMSL.Set || !r.fixes[7].Speed.Set {
			t.Errorf("fixes 6 and 7: %+v", r.fixes[6:8])
		}
		if r.after[7] != 23 {
			t.Errorf("fix 7 left with sentence %d, want 23, its RMC", r.after[7])
		}
	}
}

// TestStragglers holds that a sentence of an epoch before the last, which comes
// while another is open, makes no fix of its own and ends none.
func TestStragglers(t *testing.T) {
	var s stream
	for i := range 10 {
		sec := 36000 + float64(i)*0.1
		s.epoch(sec, "GGA", "GSA")
		if i > 1 {
			s.epoch(sec-0.1, "GLL")
			s.epoch(sec-0.2, "GNS")
		}
		s.epoch(sec, "RMC")
	}
	r := assemble(s.Bytes(), Options{})
	r.oneEach(t, 10)
	for i, f := range r.fixes {
		if !f.Speed.Set {
			t.Errorf("fix %d: %+v", i, f)
		}
	}
}

// TestModeOfGSA holds that a fix waits for the GSA that alone states its mode.
func TestModeOfGSA(t *testing.T) {
	var s stream
	for i := range 10 {
		dim := 2 + i%2
		s.epoch(36000+float64(i), "RMC")
		s.say(fmt.Sprintf("GNGSA,A,%d,01,02,03,04,,,,,,,,,,,", dim))
	}
	if r := assemble(s.Bytes(), Options{}); r.modes() != "2323232323" {
		t.Errorf("modes %s, want 2323232323", r.modes())
	}
}

// TestUnlearned holds that a sentence that no longer comes is no longer waited for.
func TestUnlearned(t *testing.T) {
	var s stream
	for i := range 20 {
		if i < 10 {
			s.epoch(36000+float64(i), "GGA", "RMC")
		} else {
			s.epoch(36000+float64(i), "GGA")
		}
	}
	r := assemble(s.Bytes(), Options{})
	r.oneEach(t, 20)
	for i := 10 + maxMissed; i < 19; i++ {
		if r.after[i] != 20+i-10+1 {
			t.Errorf("fix %d left with sentence %d, want %d", i, r.after[i], 20+i-10+1)
		}
	}
}

// waited returns the fixes from the first on that did not leave with the last sentence of their epoch, of which end is the number.
func (r *recorder) waited(first int, end []int) (fixes []int) {
	for i := first; i < len(end)-1; i++ {
		if r.after[i] > end[i] {
			fixes = append(fixes, i)
		}
	}
	return fixes
}

// TestSeldomAgain holds that a sentence that was missing for long is expected as seldom as it comes then, and one that has gone from
// a fast receiver not even once a second.
func TestSeldomAgain(t *testing.T) {
	for _, tt := range []struct {
		step          float64
		epochs, first int
		comes         func(i int) bool
	}{
		{1, 60, 31, func(i int) bool { return i < 10 || i >= 30 && i%10 == 0 }},
		{0.1, 300, 120, func(i int) bool { return i < 30 }},
	} {
		var s stream
		var end []int
		n := 0
		for i := range tt.epochs {
			kinds := []string{"GGA", "RMC"}
			if !tt.comes(i) {
				kinds = kinds[:1]
			}
			s.epoch(36000+float64(i)*tt.step, kinds...)
			n += len(kinds)
			end = append(end, n)
		}
		r := assemble(s.Bytes(), Options{})
		r.oneEach(t, tt.epochs)
		if late := r.waited(tt.first, end); len(late) > 0 {
			t.Errorf("an epoch in %g s: fixes %v waited for the next epoch", tt.step, late)
		}
	}
}

// TestNewSentence holds that a sentence that a receiver begins to send between two others counts at once.
func TestNewSentence(t *testing.T) {
	var s stream
	for i := range 20 {
		s.epoch(36000+float64(i), "RMC")
		if i >= 10 {
			s.say(fmt.Sprintf("GNHDT,%d.0,T", i))
		}
		s.epoch(36000+float64(i), "GGA")
	}
	for i, f := range assemble(s.Bytes(), Options{}).fixes {
		if i >= 10 != f.Heading.Set || f.Heading.Set && f.Heading.V != float64(i) {
			t.Errorf("fix %d: heading %+v", i, f.Heading)
		}
	}
}

// TestFastAndSlow holds for GGA at 10 Hz with RMC at 1 Hz, over midnight: one fix
// each, at once, the right day, and the speed in those that have an RMC.
func TestFastAndSlow(t *testing.T) {
	for _, order := range [][]string{{"GGA", "RMC"}, {"RMC", "GGA"}} {
		var s stream
		for i := range 100 {
			sec := 86395 + float64(i)/10
			s.date = "231126"
			if sec >= 86400-1e-9 {
				sec, s.date = sec-86400, "241126"
			}
			if i%10 == 0 {
				s.epoch(sec, order...)
			} else {
				s.epoch(sec, "GGA")
			}
		}
		r := assemble(s.Bytes(), Options{})
		r.oneEach(t, 100)
		for i, f := range r.fixes {
			if i == 0 {
				continue
			}
			want := time.Date(2026, 11, 23, 23, 59, 55, 0, time.UTC).Add(time.Duration(i) * 100 * time.Millisecond)
			if !f.Time.Equal(want) {
				t.Errorf("%v: fix %d at %v, want %v", order, i, f.Time, want)
			}
			if f.Speed.Set != (i%10 == 0) {
				t.Errorf("%v: fix %d: speed %+v", order, i, f.Speed)
			}
		}
		late := 0
		for i := 12; i < 99; i++ {
			if last := i + 2 + i/10; r.after[i] > last {
				late++
			}
		}
		if late > confirmations {
			t.Errorf("%v: %d fixes waited for the next epoch: %v", order, late, r.after)
		}
	}
}

// TestDrive holds that the positions of a drive come back as they were driven,
// within half of the last digit that the sentences have.
func TestDrive(t *testing.T) {
	var s stream
	for i := range 1000 {
		s.epoch(36000+float64(i)*0.1, "GGA", "RMC", "GSA")
	}
	r := assemble(s.Bytes(), Options{})
	r.oneEach(t, 1000)
	for i, f := range r.fixes[1:] {
		sec := 36000 + float64(i+1)*0.1
		if d := math.Abs(f.Lat.V - 51 - latitude(sec)/60); d > 0.5e-5/60+1e-12 {
			t.Fatalf("fix %d: latitude %v is %v off", i+1, f.Lat.V, d)
		}
		if want := -(6 + math.Floor(math.Mod(sec, 3600)*10)/1e5) / 60; math.Abs(f.Lon.V-want) > 1e-5/60 {
			t.Fatalf("fix %d: longitude %v, want %v", i+1, f.Lon.V, want)
		}
	}
}

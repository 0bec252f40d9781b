package nmea

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seeds is how many random streams a test makes.
func seeds() uint64 {
	if testing.Short() {
		return 20
	}
	return 100
}

// TestRandomLoss holds that every epoch of which one position survives gives exactly one fix, whatever the order and the rate
// of the sentences, with a tenth of them lost, over midnight.
func TestRandomLoss(t *testing.T) {
	for seed := range seeds() {
		r := rand.New(rand.NewPCG(seed, 7))
		order := []string{"RMC", "GGA", "GLL", "GNS", "VTG", "GSA", "GSV", "ZDA", "GST", "GBS"}
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		order = order[:3+r.IntN(8)]
		slow := order[r.IntN(len(order))] // comes in every fifth epoch only
		step := []float64{0.04, 0.1, 0.2, 1, 2}[r.IntN(5)]
		var s stream
		want := 0
		for i := range 200 {
			sec := 86400 + (float64(i)-100)*step
			s.date = "231126"
			if sec >= 86400-1e-9 {
				sec, s.date = max(sec-86400, 0), "241126"
			}
			position := false
			for _, k := range order {
				if r.IntN(10) == 0 || k == slow && i%5 != 0 {
					continue
				}
				s.epoch(sec, k)
				position = position || k == "RMC" || k == "GGA" || k == "GLL" || k == "GNS"
			}
			if position {
				want++
			}
		}
		got := assemble(s.Bytes(), Options{}).fixes
		if len(got) != want {
			t.Errorf("seed %d, %v, %v every fifth, step %v: %d fixes, want %d", seed, order, slow, step, len(got), want)
		}
		for i := 1; i < len(got); i++ {
			if a, b := got[i-1].Time, got[i].Time; !a.IsZero() && (!b.After(a) || b.Sub(a) > time.Minute) {
				t.Errorf("seed %d, %v: %v after %v", seed, order, b, a)
			}
		}
	}
}

// TestNothingLeftOut holds that a fix that leaves early has all that the sentences of its epoch say, whatever their order, with
// two of them slower than the others, once the cycle is learned.
func TestNothingLeftOut(t *testing.T) {
	for seed := range seeds() {
		r := rand.New(rand.NewPCG(seed, 8))
		order := []string{"RMC", "GGA", "GLL", "GNS", "VTG", "GSA", "GSV", "ZDA"}
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		order = order[:3+r.IntN(6)]
		starter := []string{"RMC", "GGA", "GLL", "GNS", "ZDA"}[r.IntN(5)] // an untimed one would be of the epoch before
		order = slices.Insert(slices.DeleteFunc(order, func(k string) bool { return k == starter }), 0, starter)
		slow, slower := order[1+r.IntN(len(order)-1)], order[1+r.IntN(len(order)-1)]
		step := []float64{0.04, 0.1, 0.2, 1}[r.IntN(4)]
		var s stream
		says := map[time.Duration]map[string]bool{}
		for i := range 200 {
			sec := 36000 + float64(i)*step
			if math.Mod(float64(i)*step, 1) < step/2 { // a whole second: all of them may come
				i = 0
			}
			said := map[string]bool{}
			for _, k := range order {
				if (k == slow || k == slower) && i != 0 {
					continue
				}
				s.epoch(sec, k)
				said[k] = true
			}
			says[time.Duration(math.Round(sec*1000))*time.Millisecond] = said
		}
		for i, f := range assemble(s.Bytes(), Options{}).fixes {
			if i < 80 || f.Time.IsZero() {
				continue
			}
			said := says[f.Time.Sub(f.Time.Truncate(24*time.Hour))]
			// Of a sentence without a time that stands between two epochs it may not be known of which it is.
			between := func(kind string) bool {
				return !slices.ContainsFunc(order[slices.Index(order, kind)+1:], func(k string) bool { return said[k] && !slices.Contains([]string{"VTG", "GSA", "GSV"}, k) })
			}
			speed, vdop := said["RMC"] || said["VTG"], said["GSA"]
			if !said["RMC"] && said["VTG"] && between("VTG") {
				speed = f.Speed.Set
			}
			if said["GSA"] && between("GSA") && !said["GGA"] && !said["GNS"] { // else their HDOP fits
				vdop = f.VDOP.Set
			}
			want := []bool{speed, said["GGA"] || said["GNS"], vdop}
			got := []bool{f.Speed.Set, f.AltMSL.Set, f.VDOP.Set}
			if !cmp.Equal(want, got) {
				t.Errorf("seed %d, %v, slow %s %s, step %v: fix %d at %v has %v, want %v", seed, order, slow, slower, step, i, f.Time, got, want)
				break
			}
		}
	}
}

package main

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPercentilesAreThoseOfTheDelays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delays := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 200).Draw(t, "delays")
		p := rapid.Float64Range(0, 1).Draw(t, "p")
		h, half := make(histogram), make(histogram)
		for i, d := range delays {
			if i%2 == 0 {
				half.add(time.Duration(d))
			} else {
				h.add(time.Duration(d))
			}
		}
		h.merge(half)
		slices.Sort(delays)
		want := float64(delays[max(1, int(math.Ceil(p*float64(len(delays)))))-1])
		got, ok := h.percentile(p, len(delays))
		if !ok || math.Abs(float64(got)-want) > want/60 {
			t.Fatalf("percentile %g of %v: %v, %v, want %v", p, delays, int64(got), ok, want)
		}
	})
}

func TestWhatDidNotComeIsLateForEver(t *testing.T) {
	h := make(histogram)
	for range 98 {
		h.add(time.Millisecond)
	}
	if d, ok := h.percentile(0.98, 100); !ok || d < 990*time.Microsecond || d > 1010*time.Microsecond {
		t.Errorf("98 of 100 took %v, %v, want 1 ms", d, ok)
	}
	if d, ok := h.percentile(0.99, 100); ok {
		t.Errorf("99 of 100 took %v, and two did not come", d)
	}
	if _, ok := make(histogram).percentile(0.5, 0); ok {
		t.Error("nothing has a median")
	}
}

package bridge

import (
	"testing"
	"time"
)

func TestRhythm(t *testing.T) {
	const ms = time.Millisecond
	var r rhythm
	now := time.Now()
	leave := func(gaps ...time.Duration) {
		for _, gap := range gaps {
			now = now.Add(gap)
			r.fix(now)
		}
	}
	repeat := func(n int, gap time.Duration) {
		for range n {
			leave(gap)
		}
	}
	want := func(what string, d time.Duration) {
		t.Helper()
		if got := r.rest(); got != d {
			t.Errorf("%s: %v, want %v", what, got, d)
		}
	}
	want("before the first fix", 0)
	repeat(len(r.gaps), 100*ms)
	want("one gap too few", 0)
	repeat(1, 100*ms)
	want("10 Hz", 100*ms-restMargin)
	leave(97*ms, 103*ms)
	want("as early as the earliest", 97*ms-restMargin)
	repeat(1, 20*ms)
	want("25 Hz, at once", 20*ms-restMargin)
	repeat(1, 0)
	want("as fast as possible", -restMargin)
	repeat(len(r.gaps)-1, time.Second)
	want("not yet", -restMargin)
	repeat(1, time.Second)
	want("1 Hz", time.Second-restMargin)
}

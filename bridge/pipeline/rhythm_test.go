package pipeline

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/record"
)

// drummer plays fixes to a rhythm.
type drummer struct {
	rhythm
	stated, now time.Time // of the last fix; now is when it would have left without delay
}

func newDrummer() *drummer {
	return &drummer{stated: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), now: time.Now()}
}

// fix is one that tells a time step after the last and leaves late.
func (d *drummer) fix(step, late time.Duration) {
	d.stated, d.now = d.stated.Add(step), d.now.Add(step)
	d.rhythm.fix(d.stated, d.now.Add(late))
}

func (d *drummer) fixes(n int, step time.Duration) {
	for range n {
		d.fix(step, 0)
	}
}

// want is how long after the moment of the last fix the rest should end.
func (d *drummer) want(t *testing.T, what string, rest time.Duration) {
	t.Helper()
	if got := d.rest(d.now); got != rest {
		t.Errorf("%s: %v, want %v", what, got, rest)
	}
}

const ms = time.Millisecond

func TestRhythm(t *testing.T) {
	d := newDrummer()
	d.want(t, "before the first fix", 0)
	d.fixes(rhythmLeast, 100*ms)
	d.want(t, "one fix too few", 0)
	d.fixes(1, 100*ms)
	d.want(t, "10 Hz", 100*ms-restMargin)
	d.fix(100*ms, 70*ms)
	d.want(t, "behind one that was late", 100*ms-restMargin)
	if got, want := d.rest(d.now.Add(70*ms)), 30*ms-restMargin; got != want {
		t.Errorf("%v of it are left when that has left, want %v", got, want)
	}
	d.fix(200*ms, 0)
	d.want(t, "behind a missing one", 100*ms-restMargin)
	d.fix(100*ms, -7*ms)
	d.want(t, "behind one that was early", 93*ms-restMargin)
	d.fixes(1, 40*ms)
	d.want(t, "25 Hz, at once", 33*ms-restMargin)
	d.fixes(rhythmMost-1, time.Second)
	d.want(t, "not yet", 40*ms-restMargin)
	d.fixes(1, time.Second)
	d.want(t, "1 Hz", time.Second-restMargin)
}

func TestNoRhythm(t *testing.T) {
	d := newDrummer()
	d.fixes(2*rhythmMost, 100*ms)
	d.fixes(1, 0)
	if got := d.rest(d.now); got > 0 {
		t.Errorf("with the same time again: rest for %v", got)
	}
	d.fixes(2*rhythmMost, 100*ms)
	d.stated = d.stated.Add(-18 * time.Second) // the receiver has learned of leap seconds
	d.fixes(1, 100*ms)
	if got := d.rest(d.now); got > 0 {
		t.Errorf("with a time that was set back: rest for %v", got)
	}
	d.fixes(rhythmMost, 100*ms)
	d.want(t, "known again", 100*ms-restMargin)
	d.rhythm.fix(time.Time{}, d.now)
	d.want(t, "without a time", 0)
	d.fixes(rhythmLeast, 100*ms)
	d.want(t, "one fix too few", 0)
	d.fixes(1, 100*ms)
	d.want(t, "behind it", 100*ms-restMargin)
}

// TestRhythmOfAClockThatIsSlow: a recording that is played faster is not slept over, from its first fix on.
func TestRhythmOfAClockThatIsSlow(t *testing.T) {
	for _, faster := range []time.Duration{2, 10} {
		stated, now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), time.Now()
		var r rhythm
		for n := range 2 * rhythmMost {
			stated, now = stated.Add(time.Second), now.Add(time.Second/faster)
			r.fix(stated, now)
			if got := r.rest(now); got != 0 {
				t.Errorf("%d times as fast: after fix %d rest for %v, want none", faster, n, got)
			}
		}
	}
}

// TestRestEndsInTime: no fix leaves in a rest that is no earlier than the earliest of the last ones, however late those were.
func TestRestEndsInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDrummer()
		step := rapid.SampledFrom([]time.Duration{40 * ms, 100 * ms, time.Second}).Draw(t, "step")
		late := rapid.SliceOfN(rapid.IntRange(0, 300), rhythmMost+1, 3*rhythmMost).Draw(t, "late, ms")
		for _, l := range late {
			d.fix(step, time.Duration(l)*ms)
		}
		least := slices.Min(late[len(late)-rhythmMost:])
		left := d.now.Add(time.Duration(late[len(late)-1]) * ms)
		due := d.now.Add(step + time.Duration(least)*ms)
		rest := d.rest(left) // 0 for none
		if got := left.Add(rest); rest > 0 && got.After(due.Add(-restMargin)) {
			t.Errorf("the rest ends at %v, %v before a fix that is due", got, due.Sub(got))
		}
	})
}

// TestRestBetweenFixes: an intake rests while nothing needs its bytes, and is awake for a silence that ends an epoch.
func TestRestBetweenFixes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fd := NewFeed(FeedConfig{DeviceID: "van_7", Keep: func([]byte) (uint64, error) { return 0, nil }, Show: func(string, string, []byte) {}})
		in := NewIntake(nil, fd, IntakeConfig{})
		for second := range 3 * rhythmMost {
			time.Sleep(time.Second) // the bubble's clock
			in.Data(receivertest.Epoch(second, true))
		}
		const want = time.Second - restMargin
		if got := in.Rest(); got != want {
			t.Errorf("behind a fix: %v, want %v", got, want)
		}
		in.taps.recorder.Store(new(record.Writer))
		if got := in.Rest(); got != 0 {
			t.Errorf("with a recording: %v, want 0", got)
		}
		in.taps.recorder.Store(nil)
		in.Quiet()
		if got := in.Rest(); got != want {
			t.Errorf("in a silence behind a fix: %v, want %v", got, want)
		}
		in.Data([]byte(receivertest.Sentence("GPGGA,090055.00,5130.0000,N,00007.5000,W,1,09,0.8,11.2,M,46.7,M,,")))
		fixes := in.epochs
		in.Quiet()
		if in.epochs != fixes+1 {
			t.Fatalf("the silence has ended %d epochs, want 1", in.epochs-fixes)
		}
		if got := in.Rest(); got != 0 {
			t.Errorf("behind a fix that a silence has ended: %v, want 0", got)
		}
	})
}

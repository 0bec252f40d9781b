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
	stated, now time.Time     // of the last fix; now is when it would have come without delay
	woken       time.Duration // from when the rest ends to when its reader runs
}

func newDrummer() *drummer {
	return &drummer{stated: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), now: time.Now()}
}

// fix is one that states a time step after the last and comes late. It returns how long it then waited to be read.
func (d *drummer) fix(step, late time.Duration) time.Duration {
	d.stated, d.now = d.stated.Add(step), d.now.Add(step)
	came := d.now.Add(late)
	read := came
	if look := d.began.Add(d.look + d.woken); d.look > 0 && look.After(came) {
		read = look
	}
	d.rhythm.fix(d.stated, read)
	return read.Sub(came)
}

func (d *drummer) fixes(n int, step time.Duration) {
	for range n {
		d.fix(step, 0)
	}
}

// want is how long after the moment of the last fix the next should be due.
func (d *drummer) want(t *testing.T, what string, due time.Duration) {
	t.Helper()
	got := d.rest(d.now)
	if due > 0 && got != due+lookAfter && got != due-lookBefore || due == 0 && got > 0 {
		t.Errorf("%s: rest for %v, want about %v", what, got, due)
	}
}

const ms = time.Millisecond

func TestRhythm(t *testing.T) {
	d := newDrummer()
	d.want(t, "before the first fix", 0)
	d.fixes(rhythmLeast, 100*ms)
	d.want(t, "one fix too few", 0)
	d.fixes(1, 100*ms)
	d.want(t, "10 Hz", 100*ms)
	d.fix(100*ms, 70*ms)
	d.want(t, "behind one that was late", 100*ms)
	if got, want := d.rest(d.now.Add(70*ms)), 30*ms-lookBefore; got != want {
		t.Errorf("%v of it are left when that has left, want %v", got, want)
	}
	d.fix(200*ms, 0)
	d.want(t, "behind a missing one", 100*ms)
	d.fixes(1, 40*ms)
	d.want(t, "25 Hz, at once", 40*ms)
	d.fixes(rhythmMost-1, time.Second)
	d.want(t, "not yet", 40*ms)
	d.fixes(1, time.Second)
	d.want(t, "1 Hz", time.Second)
}

// TestLook: a fix waits for at most lookAfter, and some are looked for before, of those that come when they are due one in
// lookBeforeEvery. That holds for hours, where one in ten comes later because the list of satellites does before it, and soon after a
// time in which all came later.
func TestLook(t *testing.T) {
	for _, woken := range []time.Duration{0, ms / 5, ms} {
		for _, late := range []time.Duration{0, 13 * ms} {
			d := newDrummer()
			d.woken = woken
			tenths := func(n int) (most time.Duration, before int) {
				for range n {
					for i := range 10 {
						if d.before {
							before++
						}
						l := late
						if i > 0 {
							l = 0
						}
						most = max(most, d.fix(100*ms, l))
					}
				}
				return most, before
			}
			tenths(10)
			for range 3 {
				const n = 1000
				most, before := tenths(n)
				if least := n * 10 / lookBeforeEvery; most > lookAfter+woken || before < least || before > least*5/4 {
					t.Errorf("woken %v late, some %v: a fix waited for %v, want at most %v; %d were looked for before, want %d to %d",
						woken, late, most, lookAfter+woken, before, least, least*5/4)
				}
				for range rhythmMost {
					d.fix(100*ms, 20*ms)
				}
				tenths(4)
			}
		}
	}
}

// TestLookFromTheFirst: USB may hold bytes for 16 ms. Where it did so with the first fixes, others do not wait as long for more than a
// few fixes.
func TestLookFromTheFirst(t *testing.T) {
	const held = 16 * ms
	d := newDrummer()
	for range rhythmLeast + 1 {
		d.fix(100*ms, held)
	}
	for n := range rhythmMost {
		most := max(held-time.Duration(n)*lookBefore, lookAfter)
		if waited := d.fix(100*ms, 0); waited > most {
			t.Errorf("fix %d after those waited for %v, want at most %v", n, waited, most)
		}
	}
}

func TestNoRhythm(t *testing.T) {
	d := newDrummer()
	d.fixes(2*rhythmMost, 100*ms)
	d.fixes(1, 0)
	d.want(t, "with the same time again", 0)
	d.fixes(2*rhythmMost, 100*ms)
	d.stated = d.stated.Add(-18 * time.Second) // the receiver has learned of leap seconds
	d.fixes(1, 100*ms)
	d.want(t, "with a time that was set back", 0)
	d.fixes(rhythmMost, 100*ms)
	d.want(t, "known again", 100*ms)
	d.rhythm.fix(time.Time{}, d.now)
	d.want(t, "without a time", 0)
	d.fixes(rhythmLeast, 100*ms)
	d.want(t, "one fix too few", 0)
	d.fixes(1, 100*ms)
	d.want(t, "behind it", 100*ms)
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

// TestRestEndsInTime: whatever the delays were, a rest ends lookAfter a fix that is as early as the earliest of the last ones.
func TestRestEndsInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDrummer()
		step := rapid.SampledFrom([]time.Duration{40 * ms, 100 * ms, time.Second}).Draw(t, "step")
		var read []time.Duration // after the moment without delay
		for _, late := range rapid.SliceOfN(rapid.IntRange(0, 300), rhythmMost+1, 3*rhythmMost).Draw(t, "late, ms") {
			late := time.Duration(late) * ms
			read = append(read, late+d.fix(step, late))
		}
		due := d.now.Add(step + slices.Min(read[len(read)-rhythmMost:]))
		left := d.now.Add(read[len(read)-1])
		rest := d.rest(left) // 0 for none
		if got := left.Add(rest); rest > 0 && got.After(due.Add(lookAfter)) {
			t.Errorf("the rest ends at %v, %v after a fix that is due", got, got.Sub(due))
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
		const want = time.Second + lookAfter
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

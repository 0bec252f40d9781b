package uplink

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fill sends new records while there is room, and returns the next position.
func fill(w *window, pos uint64, now time.Time) uint64 {
	for w.room() {
		f, ok := w.takeLost(now)
		if !ok {
			f = &flight{pos: pos, key: Key{"r1", uint64(pos)}, keyed: true}
			pos++
		}
		w.sending(f, now)
	}
	return pos
}

// testKey is the key of record(n).
func testKey(n uint64) Key { return Key{"r1", n} }

// echoOf takes the echo of record(n), and enters what it shows as lost.
func (w *window) echoOf(n uint64, now time.Time) (done []uint64, lost int) {
	f := w.find(testKey(n))
	if f == nil {
		return nil, 0
	}
	done, gap := w.echoed(f, now)
	return append(done, w.missed(gap, f, now)...), len(gap)
}

func positions(list []*flight) (p []uint64) {
	for _, f := range list {
		p = append(p, f.pos)
	}
	return p
}

// One more in the window for each round trip, up to the limit.
func TestWindowGrowsByOneEachRoundTrip(t *testing.T) {
	w := newWindow(12)
	now := time.Unix(0, 0)
	next, first := uint64(1), uint64(1)
	for round, want := range []int{8, 9, 10, 11, 12, 12, 12} {
		next = fill(&w, next, now)
		if len(w.flying()) != want {
			t.Errorf("round %d: %d records on their way, want %d", round, len(w.flying()), want)
		}
		now = now.Add(50 * time.Millisecond)
		for last := next; first < last; first++ {
			w.echoOf(uint64(first), now)
			next = fill(&w, next, now)
		}
	}
	if w.srtt != 50*time.Millisecond {
		t.Errorf("round trip %s, want 50ms", w.srtt)
	}
}

// A window that is never full has no reason to grow.
func TestWindowDoesNotGrowUnused(t *testing.T) {
	w := newWindow(32)
	for i := range 1000 {
		w.sending(&flight{pos: uint64(i + 1), key: Key{"r1", uint64(i)}, keyed: true}, time.Unix(int64(i), 0))
		w.echoOf(uint64(i), time.Unix(int64(i), 1e6))
	}
	if w.size != startWindow {
		t.Errorf("window %d after records that came one by one", w.size)
	}
}

// Live records find room beside a backlog, however much of it there is.
func TestWindowKeepsRoomForLiveRecords(t *testing.T) {
	for size, want := range map[int]int{32: 24, 8: 6, 4: 3, 3: 2, 2: 2, 1: 1} {
		w := newWindow(32)
		w.size = size
		for w.backlogRoom() {
			w.sending(&flight{pos: uint64(len(w.flying())) + 1, backlog: true}, time.Unix(0, 0))
		}
		if len(w.flying()) != want || !w.limited {
			t.Errorf("window %d: %d records of the backlog on their way, want %d; limited %t", size, len(w.flying()), want, w.limited)
		}
	}
}

// What is remembered of earlier connections is bounded, and holds no data.
func TestWindowForgetsEarlierConnections(t *testing.T) {
	w := newWindow(32)
	const records = 2 * maxHeld
	for pos := range uint64(records) {
		w.sending(&flight{pos: pos + 1, data: record(int(pos + 1))}, time.Unix(0, 0))
		if pos%8192 == 8191 {
			w.restart(0)
		}
	}
	if len(w.known) != maxHeld || w.known[records] == nil || w.known[records].data != nil || w.known[1] != nil {
		t.Errorf("%d records remembered, the newest %+v", len(w.known), w.known[records])
	}
}

// A record without a key is acknowledged by the echo of a later one, unless that
// may be the echo of an earlier sending.
func TestWindowKeylessBehindAnOldEcho(t *testing.T) {
	w := newWindow(32)
	now := time.Unix(0, 0)
	w.sending(&flight{pos: 2, key: Key{"r1", 2}, keyed: true}, now)
	w.restart(0)
	w.sending(&flight{pos: 1}, now)
	w.sending(&flight{pos: 2, key: Key{"r1", 2}, keyed: true}, now)
	w.sending(&flight{pos: 3, key: Key{"r1", 3}, keyed: true}, now)
	if done, lost := w.echoOf(2, now); !slices.Equal(done, []uint64{2}) || lost != 0 {
		t.Errorf("done %v, lost %d, want [2], 0", done, lost)
	}
	if done, lost := w.echoOf(3, now); !slices.Equal(done, []uint64{3, 1}) || lost != 0 {
		t.Errorf("done %v, lost %d, want [3 1], 0", done, lost)
	}
}

// One burst of losses is one loss; a loss of what was sent after it is another.
func TestWindowHalvesOncePerLoss(t *testing.T) {
	w := newWindow(32)
	w.size = 32
	now := time.Unix(0, 0)
	next := fill(&w, 1, now)
	done, lost := w.echoOf(3, now) // 1 and 2 are gone
	if diff := cmp.Diff([]uint64{3}, done); diff != "" || lost != 2 || w.size != 16 {
		t.Errorf("done %v, lost %d, window %d, want [3], 2, 16", done, lost, w.size)
	}
	if _, lost = w.echoOf(20, now); lost != 16 || w.size != 16 {
		t.Errorf("lost %d, window %d: the same burst must not halve again", lost, w.size)
	}
	for pos := 21; pos <= 32; pos++ {
		w.echoOf(uint64(pos), now)
	}
	fill(&w, next, now)
	if diff := cmp.Diff([]uint64{1, 2, 4, 5}, positions(w.flying())[:4]); diff != "" {
		t.Errorf("what was lost goes first, in order:\n%s", diff)
	}
	if _, lost = w.echoOf(4, now); lost != 2 || w.size != 8 {
		t.Errorf("lost %d, window %d after a loss of what was sent again, want 2, 8", lost, w.size)
	}
	for pos := uint64(100); pos < 120; pos += 2 {
		w.recover = 0
		w.sending(&flight{pos: pos, key: testKey(pos), keyed: true}, now)
		w.sending(&flight{pos: pos + 1, key: testKey(pos + 1), keyed: true}, now)
		w.echoOf(pos+1, now)
	}
	if w.size != minWindow {
		t.Errorf("window %d after many losses, want %d", w.size, minWindow)
	}
}

func TestWindowTakesLateAndForeignEchoes(t *testing.T) {
	w := newWindow(32)
	now := time.Unix(0, 0)
	fill(&w, 1, now)
	w.echoOf(3, now)
	if done, lost := w.echoOf(2, now); cmp.Diff([]uint64{2}, done) != "" || lost != 0 {
		t.Errorf("late echo of a record taken for lost: done %v, lost %d", done, lost)
	}
	if done, lost := w.echoOf(3, now); done != nil || lost != 0 {
		t.Errorf("repeated echo: done %v, lost %d", done, lost)
	}
	if done, lost := w.echoOf(12345, now); done != nil || lost != 0 {
		t.Errorf("foreign message: done %v, lost %d", done, lost)
	}

	w.restart(4)
	if got := slices.Sorted(maps.Keys(w.known)); !slices.Equal(got, []uint64{5, 6, 7, 8}) || w.outstanding() != 0 {
		t.Errorf("remembered %v, outstanding %d after position 4, want 5 to 8 and 0", got, w.outstanding())
	}
	if done, lost := w.echoOf(6, now); cmp.Diff([]uint64{6}, done) != "" || lost != 0 {
		t.Errorf("echo of an earlier connection: done %v, lost %d", done, lost)
	}
	if again := w.sending(&flight{pos: 5, key: Key{"r1", 5}, keyed: true}, now); !again {
		t.Error("record sent on an earlier connection is not known as a repeat")
	}
	if again := w.sending(&flight{pos: 9, key: Key{"r1", 9}, keyed: true}, now); again {
		t.Error("new record taken for a repeat")
	}
}

// The time of a repeat is not the the round trip.
func TestWindowMeasuresFirstSendingsOnly(t *testing.T) {
	w := newWindow(32)
	w.sending(&flight{pos: 1, key: Key{"r1", 1}, keyed: true}, time.Unix(0, 0))
	w.restart(0)
	w.sending(&flight{pos: 1, key: Key{"r1", 1}, keyed: true}, time.Unix(100, 0))
	w.echoOf(1, time.Unix(100, 5)) // the echo of the first sending, perhaps
	if w.srtt != 0 {
		t.Errorf("round trip %s taken from a repeat", w.srtt)
	}
}

func TestSilenceLimitFollowsTheRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		rtt    time.Duration
		silent int
		want   time.Duration
	}{
		{0, 0, silenceMax}, // nothing known: generous
		{time.Millisecond, 0, silenceMin},
		{500 * time.Millisecond, 0, 12 * time.Second},
		{30 * time.Second, 0, silenceMax},
		{time.Millisecond, 1, 2 * silenceMin},
		{time.Millisecond, 2, 4 * silenceMin},
		{time.Millisecond, 1000, silenceMax},
	} {
		u := &Uplink{mode: AckEcho, win: newWindow(32), silent: tc.silent}
		if tc.rtt > 0 {
			u.win.measure(tc.rtt)
		}
		if got := u.silenceLimit(); got != tc.want {
			t.Errorf("limit at %s after %d silent connections: %s, want %s", tc.rtt, tc.silent, got, tc.want)
		}
	}
}

// Records that were lost again and again leave half of the window to others.
func TestWindowIsNotFilledWithRareRepeats(t *testing.T) {
	w := newWindow(32)
	now := time.Unix(0, 0)
	for pos := range uint64(20) {
		w.lost = append(w.lost, &flight{pos: pos + 1, key: Key{"r1", uint64(pos + 1)}, keyed: true, losses: lossesToRare + 1})
	}
	w.lost = append(w.lost, &flight{pos: 21, key: Key{"r1", 21}, keyed: true, losses: 1})
	for f, ok := w.takeLost(now); ok; f, ok = w.takeLost(now) {
		w.sending(f, now)
	}
	if got := positions(w.flying()); len(got) != startWindow/2+1 || got[startWindow/2] != 21 {
		t.Errorf("on their way: %v, want half of the window and 21", got)
	}
}

// What needs no acknowledgement is gone, wherever it was.
func TestWindowForgets(t *testing.T) {
	now := time.Unix(0, 0)
	w := newWindow(32)
	for pos := range uint64(6) {
		w.sending(&flight{pos: pos + 1, key: testKey(pos + 1), keyed: true}, now)
	}
	w.hold(2, now)
	w.echoOf(5, now) // 1 and 2 were held, 3 and 4 are lost
	w.hold(1, now)
	for _, pos := range []uint64{6, 3, 4} {
		w.forget(w.known[pos])
	}
	if len(w.sent) != 0 || w.held != 0 || len(w.lost) != 0 || len(w.known) != 0 {
		t.Errorf("%d sent, %d held, %d lost, %d known", len(w.sent), w.held, len(w.lost), len(w.known))
	}
}

// What is held is proved by an echo of what was sent later for the first time, and by no other.
func TestWindowProvesWhatIsHeld(t *testing.T) {
	now := time.Unix(0, 0)
	w := newWindow(32)
	w.sending(&flight{pos: 9, key: testKey(9), keyed: true}, now)
	w.restart(0)
	for _, pos := range []uint64{1, 2, 9, 3, 4} {
		w.sending(&flight{pos: pos, key: testKey(pos), keyed: true}, now)
	}
	w.hold(4, now)
	if done, lost := w.echoOf(9, now); !slices.Equal(done, []uint64{9}) || lost != 0 || w.held != 3 {
		t.Errorf("echo of a repeat: done %v, %d lost, %d held", done, lost, w.held)
	}
	if done, lost := w.echoOf(3, now); !slices.Equal(done, []uint64{3, 1, 2}) || lost != 0 || w.held != 0 || len(w.flying()) != 1 {
		t.Errorf("echo of one that is held: done %v, %d lost, %d held, %d on their way", done, lost, w.held, len(w.flying()))
	}
}

// What is held for long enough leaves, and nothing else.
func TestWindowMatures(t *testing.T) {
	w := newWindow(32)
	for pos := range uint64(4) {
		at := time.Unix(int64(pos), 0)
		w.sending(&flight{pos: pos + 1, key: testKey(pos + 1), keyed: true}, at)
		if pos < 3 {
			w.hold(1, at)
		}
	}
	if got := w.matured(time.Unix(1, 0)); !slices.Equal(got, []uint64{1, 2}) || w.held != 1 || len(w.flying()) != 1 || w.has(1) || !w.has(3) {
		t.Errorf("matured %v, %d held, %d on their way", got, w.held, len(w.flying()))
	}
	if got := positions(w.unproven(time.Unix(2, 0))); !slices.Equal(got, []uint64{4}) {
		t.Errorf("unproven since 2 s: %v", got)
	}
	if got := positions(w.unproven(time.Time{})); !slices.Equal(got, []uint64{4, 3}) {
		t.Errorf("unproven: %v", got)
	}
}

// The round trip and its variation are those of RFC 6298, section 2.
func TestWindowSmoothsTheRoundTrip(t *testing.T) {
	w := newWindow(32)
	for _, tc := range []struct{ rtt, want time.Duration }{
		{100 * time.Millisecond, 300 * time.Millisecond}, {200 * time.Millisecond, 362500 * time.Microsecond},
	} {
		if w.measure(tc.rtt); w.timeout() != tc.want {
			t.Errorf("after a round trip of %s: up to %s, want %s", tc.rtt, w.timeout(), tc.want)
		}
	}
}

// A record is given up at the last of the losses that it may have, where a record shows it that was sent once.
func TestWindowAcceptsAfterSomeLosses(t *testing.T) {
	w := newWindow(32)
	f := &flight{pos: 1, key: testKey(1), keyed: true}
	now := time.Unix(0, 0)
	for n := uint64(1); n < lossesToAccept; n++ {
		if got := w.missed([]*flight{f}, &flight{}, now); got != nil {
			t.Fatalf("accepted after %d losses", n)
		}
	}
	if got := w.missed([]*flight{f}, &flight{again: true}, now); got != nil {
		t.Error("accepted by the echo of a repeat")
	}
	f.losses-- // the last one did not count
	if got := w.missed([]*flight{f}, &flight{}, now); !slices.Equal(got, []uint64{1}) {
		t.Errorf("accepted %v", got)
	}
}

package serial

import (
	"testing"

	"pgregory.net/rapid"

	"gpsbridge/bridge/receiver/sim"
)

// tries counts the speeds that are listened at until the right one, when a burst is heard at each.
func tries(first, baud int, burst []byte) int {
	s := newSearch(first)
	for n := 1; n < 40; n++ {
		try := s.next()
		if try == baud {
			return n
		}
		var u sim.UART
		e := &evidence{}
		got := u.Receive(nil, burst, baud, try, true)
		for ; len(got) > 0 && !e.decided(); got = got[min(len(got), 16):] {
			e.add(got[:min(len(got), 16)])
		}
		e.ended = len(got) == 0
		s.learn(try, e)
	}
	return 40
}

// TestSearchIsGuided: from any speed to any other, with bursts of 400, 800 and 1200 bytes, within few bursts. To go through
// the list takes 5 on average, and 9 at most.
func TestSearchIsGuided(t *testing.T) {
	total, n, most := 0, 0, 0
	for _, kind := range []int{4800, 9600, 115200} {
		g, err := sim.New(sim.Config{Baud: kind})
		if err != nil {
			t.Fatal(err)
		}
		burst := g.Epoch()
		for _, baud := range speeds {
			for _, first := range speeds {
				k := tries(first, baud, burst)
				if k > 5 {
					t.Errorf("%d bytes, %d baud from %d: %d tries", len(burst), baud, first, k)
				}
				total, n, most = total+k, n+1, max(most, k)
			}
		}
	}
	mean := float64(total) / float64(n)
	t.Logf("%d searches: %.2f speeds on average, %d at most", n, mean, most)
	if mean > 3 {
		t.Errorf("%.2f speeds are tried on average", mean)
	}
}

// TestSearchNeverEnds: whatever the line shows, every speed comes in every pass, the last good one first.
func TestSearchNeverEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := rapid.SampledFrom(append([]int{0, 14400}, speeds...)).Draw(t, "last")
		s := newSearch(last)
		first := s.next()
		if want := max(last, speeds[0]); last > 0 && first != last || last == 0 && first != want {
			t.Fatalf("begins with %d", first)
		}
		for pass := range 3 {
			seen := map[int]bool{s.tried[0]: true}
			for s.passes == pass {
				noise := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "noise")
				e := &evidence{ended: true}
				e.add(noise)
				s.learn(s.tried[len(s.tried)-1], e)
				if baud := s.next(); s.passes == pass {
					seen[baud] = true
				}
			}
			if len(seen) != len(s.order) {
				t.Fatalf("pass %d tried %v", pass, seen)
			}
		}
	})
}

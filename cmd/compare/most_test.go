package main

import "testing"

func TestClimbFindsWhatIsKept(t *testing.T) {
	for name, test := range map[string]struct {
		kept     func(rate float64) bool
		from, to float64 // the result lies between
		bounded  bool
	}{
		"a limit":       {func(r float64) bool { return r <= 300 }, 270, 300, false},
		"none":          {func(float64) bool { return false }, 0, 0, false},
		"no limit":      {func(float64) bool { return true }, 600, 1000, true},
		"first is late": {func(r float64) bool { return r > 100 && r <= 300 }, 270, 300, false},
	} {
		c := climb{step: 1.5, top: 1000, next: 100}
		tries := 0
		for ; c.next > 0; tries++ {
			c.result(test.kept(c.next))
		}
		if c.good < test.from || c.good > test.to || c.bounded != test.bounded || tries > 12 {
			t.Errorf("%s: %g in %d tries, bounded %v, want %g to %g", name, c.good, tries, c.bounded, test.from, test.to)
		}
	}
}

func TestClimbGoesOnAfterOneMiss(t *testing.T) {
	c := climb{step: 1.5, top: 1000, next: 100}
	missed := false
	for c.next > 0 {
		kept := c.next <= 300
		if c.next == 150 && !missed {
			kept, missed = false, true
		}
		c.result(kept)
	}
	if !missed || c.good < 225 {
		t.Errorf("%g, want 225 or more: 150 was missed once only", c.good)
	}
}

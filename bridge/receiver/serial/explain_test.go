package serial

import (
	"testing"
	"time"
)

// TestAPortThatHasJustComeMayLetUsInInAMoment: udev sets the group of a port some moments after it has come.
func TestAPortThatHasJustComeMayLetUsInInAMoment(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		ago  time.Duration
		want bool
	}{
		"just come":           {100 * time.Millisecond, true},
		"long there":          {time.Minute, false},
		"the clock went back": {-time.Hour, false},
	} {
		if got := settling(now.Add(-test.ago), now); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}

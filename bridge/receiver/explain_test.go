package receiver

import (
	"fmt"
	"testing"
	"time"
)

// TestAPortThatHasJustComeMayLetUsInInAMoment: udev sets the group of a port some moments after it has come.
func TestAPortThatHasJustComeMayLetUsInInAMoment(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	denied := func(ago time.Duration) error {
		return fmt.Errorf("open: %w", &deniedError{"denied", now.Add(-ago)})
	}
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"just come":           {denied(100 * time.Millisecond), true},
		"long there":          {denied(time.Minute), false},
		"the clock went back": {denied(-time.Hour), false},
		"something else":      {errFake, false},
	} {
		if got := justCome(test.err, now); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}

package problem_test

import (
	"testing"
	"time"

	"gpsbridge/bridge/problem"
)

func TestChangesLogsWhatIsNew(t *testing.T) {
	a, b := &problem.Problem{Code: "a", Cause: "first"}, &problem.Problem{Code: "b", Cause: "second"}
	var c problem.Changes
	for _, step := range []struct {
		after   time.Duration
		p       *problem.Problem
		worth   bool
		skipped int
	}{
		{0, nil, false, 0}, // nothing was wrong before
		{1 * time.Second, a, true, 1},
		{2 * time.Second, a, false, 0},
		{3 * time.Hour, a, false, 0}, // lasts
		{3 * time.Hour, b, true, 2},
		{3 * time.Hour, nil, true, 0},
		{3*time.Hour + time.Second, b, false, 0}, // comes and goes
		{3*time.Hour + 2*time.Second, nil, false, 0},
		{3*time.Hour + 3*time.Second, b, false, 0},
		{3*time.Hour + 70*time.Second, b, true, 3},
	} {
		worth, skipped := c.Report(step.p, time.Unix(0, 0).Add(step.after))
		if worth != step.worth || skipped != step.skipped {
			t.Errorf("after %v, %v: worth %v, skipped %d; want %v, %d", step.after, step.p, worth, skipped, step.worth, step.skipped)
		}
	}
}

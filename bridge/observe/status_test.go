package observe

import (
	"testing"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
)

// TestHealthOfAnUplink: it stands still when something has waited for an acknowledgement for 30 s and none came, besides the time
// for which fixes are collected. One fix a minute is on its way for seconds, when the last acknowledgement is a minute old.
func TestHealthOfAnUplink(t *testing.T) {
	now := time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		acked, oldest float64 // s ago; acked 0 for never
		held          uint64
		batch         float64
		want          problem.Code
	}{
		"one fix a minute":      {acked: 61, oldest: 1},
		"the same, stuck":       {acked: 91, oldest: 31, want: CodeNotAcknowledged},
		"never acknowledged":    {oldest: 31, want: CodeNotAcknowledged},
		"the first one":         {oldest: 1},
		"a backlog":             {acked: 1, oldest: 3600},
		"held back":             {acked: 61, oldest: 59, held: 1, batch: 60},
		"a batch on its way":    {acked: 62, oldest: 61, batch: 60},
		"a batch that is stuck": {acked: 100, oldest: 91, batch: 60, want: CodeNotAcknowledged},
	} {
		u := UplinkStatus{Status: uplink.Status{State: uplink.Connected, Since: now.Add(-time.Hour), Behind: 1}, HeldBack: test.held, Batch: test.batch}
		if test.acked > 0 {
			u.LastAckAge = &test.acked
		}
		st := Status{Now: now, Uplinks: []UplinkStatus{u}, Spool: spool.Stats{Oldest: test.oldest}}
		if got := problem.CodeOf(Health(st)); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

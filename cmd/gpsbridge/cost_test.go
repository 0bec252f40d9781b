package main

import (
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/pipeline"
)

func TestDataCost(t *testing.T) {
	for _, test := range []struct {
		limits pipeline.Limits
		want   string
	}{
		{pipeline.Limits{}, "every fix: some 61 MB a day, 1.8 GB in 30 days with a receiver at 1 Hz; interval in [report] reduces that"},
		{pipeline.Limits{Interval: 30 * time.Second}, "a fix every 30s while moving: at most some 2.9 MB a day, 86 MB in 30 days"},
		{pipeline.Limits{Interval: 30 * time.Second, Turn: 15}, "from some 2.9 MB a day"},
		{pipeline.Limits{Distance: 100}, "at most some 61 MB a day"},
		{pipeline.Limits{Interval: 200 * time.Millisecond}, "at most some 303 MB a day"},
		{pipeline.Limits{Sky: true}, "every fix and satellites: some 407 MB a day, 12.2 GB in 30 days"},
	} {
		if got := dataCost(test.limits); !strings.Contains(got, test.want) {
			t.Errorf("%+v: %q, want %q in it", test.limits, got, test.want)
		}
	}
}

// TestReferenceStatesTheCost holds what the reference configuration advises for a small SIM.
func TestReferenceStatesTheCost(t *testing.T) {
	text := strings.ReplaceAll(string(readFile(t, "../../systemd/gpsbridge.toml")), "\n# ", " ")
	for limits, advice := range map[pipeline.Limits]string{{}: "Without a limit each server costs ", {Interval: 5 * time.Second}: `interval = "5s", which costs at most `} {
		_, cost, _ := strings.Cut(dataCost(limits), "some ")
		cost, _, _ = strings.Cut("some "+cost, " with a receiver")
		if want := advice + cost; !strings.Contains(text, want) {
			t.Errorf("the reference has no %q", want)
		}
	}
}

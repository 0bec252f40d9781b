package bridge

import (
	"testing"
	"time"

	"gpsbridge/nmea"
)

func TestCalendarTrustsBuildAndSaneClock(t *testing.T) {
	built := builtAfter()
	if built.Year() < 2026 {
		t.Fatalf("built after %v", built)
	}
	later, dead := built.AddDate(1, 0, 0), time.Unix(0, 0)
	for name, test := range map[string]struct {
		rollover string
		recorded bool
		now      time.Time
		want     nmea.Options
	}{
		"receiver":                        {"auto", false, later, nmea.Options{Floor: built, System: later}},
		"receiver, board without a clock": {"auto", false, dead, nmea.Options{Floor: built}},
		"recording":                       {"auto", true, later, nmea.Options{}},
		"recording to be mended":          {"mend", true, later, nmea.Options{Floor: built, System: later}},
		"receiver to be left alone":       {"keep", false, later, nmea.Options{}},
	} {
		if got := calendar(test.rollover, test.recorded, test.now); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

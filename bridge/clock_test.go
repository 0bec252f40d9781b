package bridge

import (
	"testing"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/nmea"
)

func TestCalendarTrustsBuildAndSaneClock(t *testing.T) {
	built := builtAfter()
	if built.Year() < 2026 {
		t.Fatalf("built after %v", built)
	}
	later, dead := built.AddDate(1, 0, 0), time.Unix(0, 0)
	for name, test := range map[string]struct {
		rollover config.Rollover
		recorded bool
		now      time.Time
		want     nmea.Options
	}{
		"receiver":                        {"auto", false, later, nmea.Options{Floor: built, System: later}},
		"receiver, board without a clock": {"auto", false, dead, nmea.Options{Floor: built}},
		"recording":                       {"auto", true, later, nmea.Options{}},
		"recording to be mended":          {"correct", true, later, nmea.Options{Floor: built, System: later}},
		"receiver to be left alone":       {"keep", false, later, nmea.Options{}},
	} {
		if got := calendar(test.rollover, test.recorded, test.now); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestCertificatesAreVerifiedAtATimeThatHoldsWater(t *testing.T) {
	built := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	dead, behind := time.Unix(0, 0), built.AddDate(0, 1, 0)
	now, spoofed := built.AddDate(0, 6, 0), built.AddDate(-3, 0, 0)
	for name, test := range map[string]struct {
		system       time.Time
		synchronised bool
		receiver     time.Time
		want         time.Time
		source       string
	}{
		"synchronised":                         {now, true, behind, now, "system"},
		"synchronised to before the build":     {dead, true, time.Time{}, built, "build"},
		"not synchronised, no fix yet":         {behind, false, time.Time{}, behind, "system, not synchronised"},
		"not synchronised, fix":                {behind, false, now, now, "receiver"},
		"clock dead, fix":                      {dead, false, now, now, "receiver"},
		"clock dead, no fix":                   {dead, false, time.Time{}, built, "build"},
		"clock dead, receiver lies":            {dead, false, spoofed, built, "build"},
		"clock ahead, fix":                     {now, false, behind, behind, "receiver"},
		"not synchronised, receiver lies back": {now, false, spoofed, now, "system, not synchronised"},
	} {
		got, source := certificateTime(test.system, test.synchronised, test.receiver, built)
		if !got.Equal(test.want) || source != test.source {
			t.Errorf("%s: %v (%s), want %v (%s)", name, got, source, test.want, test.source)
		}
	}
}

package bridge

import (
	"testing"
	"time"

	"gpsbridge/bridge/config"
)

func TestCalendarIsBoundedByBuildAndClock(t *testing.T) {
	t.Parallel()
	if built := BuiltAfter(); built.Year() < 2026 {
		t.Fatalf("built after %v", built)
	}
	for name, test := range map[string]struct {
		rollover config.Rollover
		recorded bool
		bounded  bool
	}{
		"receiver":                  {config.RolloverAuto, false, true},
		"recording":                 {config.RolloverAuto, true, false},
		"recording to be corrected": {config.RolloverCorrect, true, true},
		"receiver to be left alone": {config.RolloverKeep, false, false},
	} {
		got := calendar(test.rollover, test.recorded, SystemTime)
		if bounded := !got.Floor.IsZero() && got.System != nil; bounded != test.bounded {
			t.Errorf("%s: bounded %t, want %t", name, bounded, test.bounded)
		}
	}
}

func TestCertificatesAreVerifiedAtASaneTime(t *testing.T) {
	t.Parallel()
	built := BuiltAfter()
	dead, slow := time.Unix(0, 0), built.AddDate(0, 1, 0)
	now, spoofed := built.AddDate(0, 6, 0), built.AddDate(-3, 0, 0)
	for name, test := range map[string]struct {
		system       time.Time
		synchronised bool
		receiver     time.Time
		want         time.Time
		source       string
	}{
		"synchronised":                     {now, true, slow, now, "system"},
		"synchronised to before the build": {dead, true, time.Time{}, built, "build"},
		"not synchronised, no fix yet":     {slow, false, time.Time{}, slow, "system, not synchronised"},
		"not synchronised, fix":            {slow, false, now, now, "receiver"},
		"clock dead, fix":                  {dead, false, now, now, "receiver"},
		"clock dead, no fix":               {dead, false, time.Time{}, built, "build"},
		"clock dead, spoofed":              {dead, false, spoofed, built, "build"},
		"clock ahead, fix":                 {now, false, slow, slow, "receiver"},
		"not synchronised, spoofed":        {now, false, spoofed, now, "system, not synchronised"},
	} {
		got, source := CertificateTime(test.system, test.synchronised, test.receiver)
		if !got.Equal(test.want) || source != test.source {
			t.Errorf("%s: %v (%s), want %v (%s)", name, got, source, test.want, test.source)
		}
	}
}

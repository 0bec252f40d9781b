package pipeline

import (
	"fmt"
	"testing"
	"time"
)

func TestSentenceTypesAreCountedWithTheirRate(t *testing.T) {
	var lines types
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	second := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	for s := range 25 {
		lines.tick(second(s))
		for range 5 {
			lines.sentence([]byte("$GNGGA,090000,,*00"))
		}
		if s == 5 {
			if rate := lines.status(second(s))["GNGGA"].Rate; rate < 4 || rate > 7 {
				t.Errorf("rate %v after five seconds, want some 5", rate)
			}
		}
		if s < 10 {
			lines.sentence([]byte("$PUBX,00,*00"))
		}
	}
	st := lines.status(second(25))
	if got := st["GNGGA"]; got.Count != 125 || got.Rate != 5 {
		t.Errorf("GNGGA %+v, want 125 at 5 a second", got)
	}
	if got := st["PUBX"]; got.Count != 10 || got.Rate != 0 {
		t.Errorf("PUBX %+v, want 10, and none of late", got)
	}
}

func TestRatesFallInASilence(t *testing.T) {
	var lines types
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	drive := func(seconds int) {
		for range seconds {
			now = now.Add(time.Second)
			lines.tick(now)
			for range 10 {
				lines.sentence([]byte("$GNGGA,090000,,*00"))
			}
		}
	}
	drive(30)
	now = now.Add(time.Hour)
	if rate := lines.status(now)["GNGGA"].Rate; rate > 0.1 {
		t.Errorf("rate %v after an hour of silence", rate)
	}
	drive(5)
	if rate := lines.status(now)["GNGGA"].Rate; rate < 8 || rate > 13 {
		t.Errorf("rate %v when it is back, want some 10", rate)
	}
}

func TestSentenceTypesAreBounded(t *testing.T) {
	var lines types
	for i := range 1000 {
		lines.sentence(fmt.Appendf(nil, "$N%03d,*00", i))
	}
	if n := len(lines.status(time.Time{})); n != typesMax {
		t.Errorf("%d types, want %d", n, typesMax)
	}
}

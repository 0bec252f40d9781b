package pipeline

import (
	"testing"
	"time"

	"gpsbridge/nmea"
)

// counted measures sentences that a test names.
type counted struct {
	types
	n map[string]nmea.TypeStats
}

func (c *counted) sentences(n uint64, name string) {
	of := c.n[name]
	of.Good += n
	c.n[name] = of
}

func (c *counted) tick(now time.Time) {
	if c.over(now) {
		c.next(now, c.n)
	}
}

func (c *counted) rates(now time.Time) map[string]SentenceType { return c.status(now, c.n) }

func TestSentenceTypesAreCountedWithTheirRate(t *testing.T) {
	lines := counted{n: map[string]nmea.TypeStats{}}
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	second := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	for s := range 25 {
		lines.tick(second(s))
		lines.sentences(5, "GNGGA")
		if s == 5 {
			if rate := lines.rates(second(s))["GNGGA"].Rate; rate < 4 || rate > 7 {
				t.Errorf("rate %v after five seconds, want some 5", rate)
			}
		}
		if s < 10 {
			lines.sentences(1, "PUBX")
		}
	}
	st := lines.rates(second(25))
	if got := st["GNGGA"]; got.Count != 125 || got.Rate != 5 {
		t.Errorf("GNGGA %+v, want 125 at 5 a second", got)
	}
	if got := st["PUBX"]; got.Count != 10 || got.Rate != 0 {
		t.Errorf("PUBX %+v, want 10, and none of late", got)
	}
}

func TestRatesFallInASilence(t *testing.T) {
	lines := counted{n: map[string]nmea.TypeStats{}}
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	drive := func(seconds int) {
		for range seconds {
			now = now.Add(time.Second)
			lines.tick(now)
			lines.sentences(10, "GNGGA")
		}
	}
	drive(30)
	now = now.Add(time.Hour)
	if rate := lines.rates(now)["GNGGA"].Rate; rate > 0.1 {
		t.Errorf("rate %v after an hour of silence", rate)
	}
	drive(5)
	if rate := lines.rates(now)["GNGGA"].Rate; rate < 8 || rate > 13 {
		t.Errorf("rate %v when it is back, want some 10", rate)
	}
}

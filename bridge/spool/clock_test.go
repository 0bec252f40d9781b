package spool

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

var (
	unset = time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC)
	right = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

// TestAgeWhileTheClockIsSet sets the clock forward by half a century, back, and a little at a time.
func TestAgeWhileTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, wall := clock{opened: time.Now()}, unset
		pass := func(d time.Duration) { time.Sleep(d); wall = wall.Add(d) }
		var stamps []int64
		stamp := func() { stamps = append(stamps, c.stamp(uint64(len(stamps)+1), wall)) }
		want := func(when string, pos int, age time.Duration) {
			t.Helper()
			if got := c.age(uint64(pos), stamps[pos-1], wall); got != age {
				t.Errorf("%s: record %d is %s old, want %s", when, pos, got, age)
			}
		}
		stamp()
		pass(10 * time.Second)
		wall = right
		want("clock set", 1, 10*time.Second)
		stamp()
		pass(5 * time.Second)
		want("and gone on", 1, 15*time.Second)
		want("stamped by the clock that was set", 2, 5*time.Second)
		wall = unset
		want("clock set back", 2, 5*time.Second)
		stamp()
		for i := range 10 * maxSettings {
			pass(time.Second)
			wall = wall.Add(step + time.Duration(i)*time.Millisecond)
			stamp()
		}
		want("often", 3, 10*maxSettings*time.Second)
		if n := len(c.settings); n > maxSettings {
			t.Errorf("%d settings are remembered, want %d at the most", n, maxSettings)
		}
	})
}

// TestClockThatIsSlewed: a tenth of a second is remembered as a setting, less is not. Of too many the least is forgotten.
func TestClockThatIsSlewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, wall := clock{opened: time.Now()}, right
		c.stamp(1, wall)
		wall = wall.Add(step)
		c.stamp(2, wall)
		if len(c.settings) != 1 {
			t.Errorf("%v after %s", c.settings, step)
		}
		for pos := uint64(3); pos < maxSettings+3; pos++ {
			wall = wall.Add(time.Hour)
			switch pos {
			case 20:
				wall = wall.Add(-time.Hour + step + time.Millisecond)
			case 40:
				wall = wall.Add(-time.Hour / 2)
			}
			c.stamp(pos, wall)
		}
		if n := len(c.settings); n != maxSettings {
			t.Errorf("%d settings, want %d", n, maxSettings)
		}
		for _, s := range c.settings {
			if s.from == 20 {
				t.Error("the least is remembered")
			}
		}
		if c.stamp(maxSettings+2, wall.Add(time.Hour)); c.settings[maxSettings-1].from != maxSettings+2 || len(c.settings) != maxSettings {
			t.Errorf("a record that is stamped again: %v", c.settings[maxSettings-2:])
		}
	})
}

// TestAgeOfAnEarlierRun: the record was written by a right clock or by one that was not set.
func TestAgeOfAnEarlierRun(t *testing.T) {
	for name, test := range map[string]struct {
		stamped, now time.Time
		want         time.Duration
	}{
		"both right":            {right, right.Add(time.Hour), time.Hour},
		"first right stamp":     {time.UnixMilli(sane), right, right.Sub(time.UnixMilli(sane))},
		"stamp not set":         {unset, right, 5 * time.Second},
		"clock not set":         {right, unset, 5 * time.Second},
		"neither":               {unset, unset.Add(time.Hour), 5 * time.Second},
		"stamped in the future": {right, right.Add(-time.Hour), 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				before := clock{opened: time.Now()}
				at := before.stamp(1, test.stamped)
				c := clock{opened: time.Now()}
				time.Sleep(5 * time.Second)
				if got := c.age(1, at, test.now); got != test.want {
					t.Errorf("the record is %s old, want %s", got, test.want)
				}
			})
		})
	}
}

// TestStatsGiveTheAgeOfTheOldest of this run and of an earlier one.
func TestStatsGiveTheAgeOfTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Dir: t.TempDir()}
		s := mustOpen(t, o)
		mustAppend(t, s, "x")
		time.Sleep(3 * time.Second)
		if got := s.Stats().Oldest; got != 3 {
			t.Errorf("the oldest record is %g s old, want 3", got)
		}
		mustClose(t, s)
		s = mustOpen(t, o) // the clock of the bubble is that of 2000, which is no time of this format
		time.Sleep(5 * time.Second)
		if got := s.Stats().Oldest; got != 5 {
			t.Errorf("the oldest record of an earlier run is %g s old, want 5", got)
		}
		mustClose(t, s)
	})
}

// TestOneSyncATime: records that come while the disk is taking others wait for the next time.
func TestOneSyncATime(t *testing.T) {
	m := newMachine()
	m.open(t, "r")
	mustAppend(t, m.spool, "x")
	syncs := 0
	m.disk.fail = func(op, _ string) error {
		if op == "sync" {
			if syncs++; syncs > 10 {
				return unix.EIO
			}
			mustAppend(t, m.spool, "x")
			m.spool.Reader("r").Ack(1)
		}
		return nil
	}
	if err := m.spool.flush(false); err != nil || syncs != 1 {
		t.Errorf("%d syncs for one record, %v", syncs, err)
	}
}

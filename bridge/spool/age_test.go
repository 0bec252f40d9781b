package spool

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// settable is a system clock that is set while time passes.
type settable struct{ off time.Duration }

func (c *settable) now() time.Time { return time.Now().Add(c.off) }

func (c *settable) set(to time.Time) { c.off = time.Until(to) }

var (
	unset = time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC)
	right = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

// TestAgeWhileTheClockIsSet sets it forward by half a century, back, and a little at a time.
func TestAgeWhileTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c settable
		c.set(unset)
		s := mustOpen(t, Options{wall: c.now})
		want := func(when string, seconds float64) {
			t.Helper()
			if got := s.Stats().Oldest; got != seconds {
				t.Errorf("%s: the oldest record is %g s old, want %g", when, got, seconds)
			}
		}
		mustAppend(t, s, "1")
		time.Sleep(10 * time.Second)
		c.set(right)
		want("clock set", 10)
		mustAppend(t, s, "2")
		time.Sleep(5 * time.Second)
		want("and gone on", 15)
		s.Reader("r").Ack(1)
		want("stamped by the clock that was set", 5)
		c.set(unset)
		want("clock set back", 5)
		mustAppend(t, s, "3")
		for i := range 10 * maxSettings {
			time.Sleep(time.Second)
			c.off += step + time.Duration(i)*time.Millisecond
			mustAppend(t, s, "more")
		}
		s.Reader("r").Ack(2)
		want("often", 10*maxSettings)
		if n := len(s.clock.settings); n > maxSettings {
			t.Errorf("%d settings are remembered, want %d at the most", n, maxSettings)
		}
	})
}

// TestAgeOfAnEarlierRun opens what was written by a right clock or one that was not set.
func TestAgeOfAnEarlierRun(t *testing.T) {
	for name, test := range map[string]struct {
		stamped, now time.Time
		want         float64
	}{
		"both right":            {right, right.Add(time.Hour), 3605},
		"stamp not set":         {unset, right, 5},
		"clock not set":         {right, unset, 5},
		"neither":               {unset, unset.Add(time.Hour), 5},
		"stamped in the future": {right, right.Add(-time.Hour), 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c settable
				c.set(test.stamped)
				o := Options{Dir: t.TempDir(), wall: c.now}
				s := mustOpen(t, o)
				mustAppend(t, s, "x")
				mustClose(t, s)
				c.set(test.now)
				s = mustOpen(t, o)
				time.Sleep(5 * time.Second)
				if got := s.Stats().Oldest; got != test.want {
					t.Errorf("the oldest record is %g s old, want %g", got, test.want)
				}
				mustClose(t, s)
			})
		})
	}
}

// TestClockSetBackDelaysNothing: what waits for the disk waits by the time that passes.
func TestClockSetBackDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := settable{}
		disk := newSimFolder()
		s := runWith(t, Options{Readers: []string{"r"}, Log: slog.New(slog.DiscardHandler), wall: c.now}, disk, newSimFolder())
		synctest.Wait()
		begin := disk.written.Load()
		mustAppend(t, s, "x")
		c.off -= DefaultSync * 9 / 10
		time.Sleep(DefaultSync)
		synctest.Wait()
		if disk.written.Load() == begin {
			t.Errorf("not on the disk after %s", DefaultSync)
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

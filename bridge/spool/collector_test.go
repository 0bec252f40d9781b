package spool

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestCollector holds when records are shown: all that is held back at once, a batch after the first of it came, or with one that
// is not to wait.
func TestCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const batch = 10 * time.Second
		s := mustOpen(t, Options{Readers: []string{"r"}})
		mustAppend(t, s, "before")
		may := true
		c := NewCollector(s.Reader("r"), func() bool { return may }, batch)
		shows := func(when string, want uint64) {
			t.Helper()
			if got := c.Last(); got != want {
				t.Errorf("%s: records up to %d are shown, want %d", when, got, want)
			}
			if held, _ := c.Held(); held != s.Reader("r").Last()-want {
				t.Errorf("%s: %d records are held back, want %d", when, held, s.Reader("r").Last()-want)
			}
			pos, _, err := c.Next(want - 1)
			next, _, nextErr := c.Next(want)
			if pos != want || next != 0 || err != nil || nextErr != nil {
				t.Errorf("%s: the last two are %d, %d: %v, %v", when, pos, next, err, nextErr)
			}
		}
		keep := func(atOnce bool) {
			mustAppend(t, s, "a fix")
			c.Kept(atOnce)
		}
		shows("at the start", 1)
		keep(false)
		for range 9 {
			time.Sleep(time.Second)
			keep(false)
			shows("before the batch is over", 1)
		}
		arrival := c.Arrival()
		time.Sleep(batch - 9*time.Second - 1)
		shows("just before", 1)
		<-arrival // closed when it is over
		shows("when it is over", 11)
		time.Sleep(time.Minute)
		keep(false)
		shows("the first of the next one", 11)
		keep(true)
		shows("with one that is not to wait", 13)
		time.Sleep(batch - time.Second)
		keep(false)
		time.Sleep(2 * time.Second)
		shows("a batch after that, which was not begun then", 13)
		time.Sleep(batch - 2*time.Second + 1)
		shows("a batch after the first", 14)
		keep(false)
		c.Release()
		shows("released", 15)
		may = false
		keep(false)
		shows("while none is to wait", 16)
		may = true
		keep(false)
		c.Collect(0)
		shows("without a batch", 17)
		keep(false)
		shows("without a batch", 18)
		c.Collect(batch)
		keep(false)
		shows("with one again", 18)
		if got := c.Waiting(); got != 19 {
			t.Errorf("%d records wait for their acknowledgement, want 19", got)
		}
		c.Release()
		mustClose(t, s)
	})
}

// TestCollectedWritesNothingToDisk runs an hour with a batch of ten seconds, whose acknowledgements come within a second; what
// is missing then is on the disk as without a batch.
func TestCollectedWritesNothingToDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const batch = 10 * time.Second
		disk := newSimDirectory()
		s := runOn(t, disk, newSimDirectory(), slog.DiscardHandler, "r")
		c := NewCollector(s.Reader("r"), func() bool { return true }, batch)
		begin := disk.written.Load()
		acknowledge := func() {
			time.Sleep(900 * time.Millisecond)
			for pos := c.Acked() + 1; pos <= c.Last(); pos++ {
				c.Ack(pos)
			}
			time.Sleep(100 * time.Millisecond)
		}
		for range 3600 {
			mustAppend(t, s, "a fix")
			c.Kept(false)
			acknowledge()
		}
		if n := disk.written.Load() - begin; n != 0 {
			t.Errorf("%d bytes were written", n)
		}
		c.Release()
		acknowledge()
		for range 20 { // the connection is dead, and that is not known
			mustAppend(t, s, "a fix")
			c.Kept(false)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		power := &machine{disk: onlySynced(disk), tmpfs: newSimDirectory(), boot: 2}
		power.open(t, "r")
		if got := len(contents(t, power.spool.Reader("r"))); got < 18 {
			t.Errorf("%d of 20 records are on the disk, want all but those of the last second", got)
		}
		mustClose(t, s)
	})
}

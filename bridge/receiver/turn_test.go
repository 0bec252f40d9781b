package receiver

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheLoopKeepsItsPromises has a port that sends, falls silent, is reopened and is gone, for some minutes.
func TestTheLoopKeepsItsPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns, late atomic.Int32
		var due, last atomic.Int64 // nanoseconds, since the start and from the call
		var ending atomic.Bool
		start := time.Now()
		turn := func(within time.Duration) {
			if now := int64(time.Since(start)); turns.Add(1) > 1 && now > due.Load() {
				late.Add(1)
			}
			if within < 0 || within == 0 && !ending.Load() {
				t.Errorf("a promise of %v by a port", within)
			}
			due.Store(int64(time.Since(start) + within))
			last.Store(int64(within))
		}
		src, others := piped()
		opened := src.try
		src.try = func(n int) (conn, error) {
			if n > 2 {
				return nil, errFake
			}
			return opened(n)
		}
		r := run(t, Config{Turn: turn}, src)
		other := <-others
		for range 5 {
			write(t, other, "a")
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Minute)
		if late.Load() > 0 || turns.Load() < 50 || time.Since(start) > time.Duration(due.Load()) {
			t.Errorf("%d turns in five minutes, %d of them late; the last promise was for %v", turns.Load(), late.Load(), time.Duration(due.Load()))
		}
		ending.Store(true)
		r.stop(t)
		if last.Load() != 0 {
			t.Errorf("a receiver that has ended promises to be back within %v", time.Duration(last.Load()))
		}
	})
}

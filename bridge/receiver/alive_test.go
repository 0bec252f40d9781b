package receiver_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"
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
		src, others := receivertest.Piped()
		opened := src.Try
		src.Try = func(n int) (source.Conn, error) {
			if n > 2 {
				return nil, receivertest.ErrFake
			}
			return opened(n)
		}
		r := receivertest.Run(t, src, receiver.Config{Alive: turn})
		other := <-others
		for range 5 {
			receivertest.Write(t, other, "a")
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Minute)
		if late.Load() > 0 || turns.Load() < 50 || time.Since(start) > time.Duration(due.Load()) {
			t.Errorf("%d turns in five minutes, %d of them late; the last promise was for %v", turns.Load(), late.Load(), time.Duration(due.Load()))
		}
		ending.Store(true)
		r.Stop(t)
		if last.Load() != 0 {
			t.Errorf("a receiver that has ended promises to be back within %v", time.Duration(last.Load()))
		}
	})
}

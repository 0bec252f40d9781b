package bridge

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestNetworkChangesAreToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var routes atomic.Value
		routes.Store("eth0")
		var up atomic.Bool
		one, other := make(chan struct{}, 1), make(chan struct{}, 1)
		ended := make(chan error, 1)
		go func() {
			ended <- watchNetwork(ctx, func() string { return routes.Load().(string) }, up.Load, one, other)
		}()
		for _, step := range []struct {
			routes    string
			signalled int
		}{{"eth0", 0}, {"", 1}, {"", 0}, {"wwan0", 1}, {"wwan0", 0}} {
			routes.Store(step.routes)
			time.Sleep(networkPoll) // the bubble's clock
			synctest.Wait()
			if len(one) != step.signalled || len(other) != step.signalled {
				t.Errorf("with routes %q signalled %d and %d times, want %d", step.routes, len(one), len(other), step.signalled)
			}
			for len(one) > 0 {
				<-one
				<-other
			}
		}
		up.Store(true) // a change is noticed in the poll that is under way, and in 5 s after it
		time.Sleep(networkPoll)
		synctest.Wait()
		for _, step := range []struct {
			after     time.Duration
			signalled int
		}{{networkPollIdle - 1, 0}, {1, 1}} {
			routes.Store("eth0")
			time.Sleep(step.after)
			synctest.Wait()
			if len(one) != step.signalled {
				t.Errorf("while all links are up: signalled %d times after another %v, want %d", len(one), step.after, step.signalled)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestNobodyToTellOfTheNetwork(t *testing.T) {
	t.Parallel()
	look := func() string { t.Error("looked without a channel"); return "" }
	if err := watchNetwork(t.Context(), look, func() bool { return true }); err != nil {
		t.Error(err)
	}
}

func TestCountersAreNoChange(t *testing.T) {
	t.Parallel()
	for _, lines := range [][3]string{
		{
			"eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n",
			"eth0 00000000 010200C0 0003 2 77 0 00000000 0 0 0\n",
			"eth0 00000000 010200C1 0003 0 0 0 00000000 0 0 0\n",
		},
		{
			"fd00 40 0000 00 0000 00000100 00000001 00000000 00000001 eth0\n",
			"fd00 40 0000 00 0000 00000100 00000009 00000123 00000001 eth0\n",
			"fd01 40 0000 00 0000 00000100 00000001 00000000 00000001 eth0\n",
		},
	} {
		line := func(i int) string { return string(withoutCounters([]byte(lines[i]))) }
		if line(0) != line(1) {
			t.Errorf("%q and %q differ in counters alone", lines[0], lines[1])
		}
		if line(0) == line(2) {
			t.Errorf("%q and %q are different routes", lines[0], lines[2])
		}
	}
}

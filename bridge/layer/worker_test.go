package layer

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestWorkerKeepsOrder(t *testing.T) {
	w := newWorker()
	w.put(arrival{wire: "1"})
	w.put(arrival{wire: "2"})
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	w.run(ctx, func(a arrival) {
		got = append(got, a.wire)
		switch len(got) {
		case 2: // what comes meanwhile is handled after it
			w.put(arrival{wire: "3"})
		case 3:
			cancel()
		}
	})
	if !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("handled %v", got)
	}
}

// TestWorkerThatIsLate refuses what it has no room for, and takes more when it has handled that.
func TestWorkerThatIsLate(t *testing.T) {
	w := newWorker()
	large := arrival{wire: strings.Repeat("x", queueBytes/4)}
	taken := 0
	for w.put(large) {
		taken++
	}
	if taken != 4 {
		t.Errorf("%d quarters of the queue were taken", taken)
	}
	ctx, cancel := context.WithCancel(t.Context())
	handled := 0
	w.run(ctx, func(arrival) {
		if handled++; handled == taken {
			if !w.put(large) {
				t.Error("an empty queue takes nothing")
			}
			cancel()
		}
	})
}

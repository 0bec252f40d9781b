package delivery

import (
	"flag"
	"fmt"
	"testing"
)

var withOpen = flag.Bool("open", false, "simulate worlds that show faults which are still open too")

// openFault names a fault of the code that the simulation has found, that is not fixed, and that this world may show; "" for
// none. Such worlds are left out unless -open asks for them.
func openFault(w *world) string {
	for _, f := range w.faults {
		if f.kind == kindFlapping {
			return "a server that ends each connection after some fixes is taken for one that refuses the mark of the backlog, and good fixes are quarantined (seeds 25, 32, 43, 64)"
		}
	}
	switch {
	case w.server.which == whichNewer || w.server.which == whichLive:
		return "a fix that the server processes and does not echo is isolated for its silence: live fixes wait, or it is quarantined (seeds 26, 49)"
	case w.server.refusesMark != refusalNone:
		return "a stall counts as evidence against a fix that is refused for its mark alone, and it is quarantined (seed 17)"
	case w.server.which == whichNone && w.ends() > 1:
		return "restarts of a server that never echoes start an isolation, because the oldest fix is the same for retain: live fixes wait (seed 64)"
	}
	return ""
}

// found are seeds that have shown a fault. Each must find it again when it comes back.
var found = []struct {
	seed  uint64
	fault string
}{
	{1, "uplink: a lost fix that was due and had no room kept two goroutines waking each other"},
}

// TestFoundBefore simulates the worlds that have shown a fault.
func TestFoundBefore(t *testing.T) {
	for _, f := range found {
		t.Run(fmt.Sprint(f.seed), func(t *testing.T) {
			t.Parallel()
			t.Log(f.fault)
			report(t, f.seed, false)
		})
	}
}

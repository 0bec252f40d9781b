package delivery

import (
	"fmt"
	"testing"
)

// found are seeds whose worlds have shown a fault, which is fixed. Each is simulated in every run.
var found = []struct {
	seed  uint64
	fault string
}{
	{13, "uplink: restarts of a server that never echoes started an isolation, and live fixes waited"},
	{16, "uplink: a server that ended each connection after some fixes had the mark of the backlog refused, and fixes went unmarked out of order"},
	{26, "uplink: silence after a fix that the server processes and does not echo started an isolation, and live fixes waited for hours"},
	{49, "uplink: the same had good fixes quarantined"},
}

// TestFoundBefore simulates the worlds that have shown a fault.
func TestFoundBefore(t *testing.T) {
	for _, f := range found {
		t.Run(fmt.Sprint(f.seed), func(t *testing.T) {
			t.Parallel()
			if report(t, f.seed, false); t.Failed() {
				t.Log(f.fault)
			}
		})
	}
}

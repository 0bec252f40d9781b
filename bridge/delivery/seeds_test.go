package delivery

import (
	"fmt"
	"testing"
)

// found are seeds whose worlds have shown a fault of the code, or find one when it is put back. Each is simulated in every run.
var found = []struct {
	seed    uint64
	batched bool
	fault   string // and, where it was put back by hand, the change that does so and what is found then
}{
	// Faults that the simulation found first.
	{16, false, "a server that ended each connection after some fixes had the mark of the backlog refused: fixes went unmarked, out of order"},
	{26, false, "silence after a fix that the server processes and does not echo started an isolation: live fixes waited for hours"},
	{49, false, "the same had good fixes quarantined"},
	{218, false, "several echoes in one frame were taken by seq and not in the order of sending: live first, each such frame halved the window"},
	{1, false, "a server that does not echo late fixes and ended each connection after some: live fixes waited for hours"},
	{144, false, "the same had late fixes quarantined"},
	{128, false, "and taken for ones with a refused mark: they went unmarked, out of order"},
	{247, false, "a server that never echoes and breaks on a fix: all that is kept for retain was sent before it each time, and it was not isolated"},
	{141, false, "the same, where pongs are far ahead of what the application processes"},
	{484, false, "a server that ends each connection after two fixes was taken for one that refuses the mark: they went unmarked, out of order"},
	{365, false, "a server that ended each connection after five fixes was tried without the mark: a fix went unmarked, out of order"},
	{565, false, "the same, after three"},
	{359, false, "a server that does not echo late fixes: those of an earlier device_id, with no live one after them, waited for hours"},
	{569, false, "a server that refuses the mark got nothing but late fixes: each experiment had another one of them as its control"},
	{196, true, "a stall that the round trip was measured on had each experiment last for minutes: live fixes waited for that"},
	{384, true, "a server that ended each connection after three fixes: one failed as the third with the mark and passed as the second without it"},
	{700774, true, "with ack pong each connection acknowledged one fix with a refused mark that the server had not broken on yet: half were not delivered"},
	{700228, true, "a fix was quarantined for its refused mark after a server that ended each connection: it was not tried without the mark"},

	// Faults put back.
	{13, false, "a pong acknowledges while no echo was seen (ponged acknowledges what it should hold): 'acknowledged', 'lost'"},
	{34, false, "the same"},
	{4, false, "an echo is found at the top level only (Keys): 'echo', the server is taken for one that never echoes"},
	{26, false, "a server that echoes some fixes is not recognised (echoes.some is false): 'drain', 'live'"},
	{42, false, "any acknowledgement resets the back-off (provedUseful is acked > 0, and no pause for a brief connection): 'connections', 167 in a minute"},
	{32, false, "the same: 35"},
	{2909, false, "a changed device_id takes the spool of the earlier one (one directory for all IDs): 'group'"},
	{1018, false, "the same"},
	{16, false, "the isolation never ends (acked does not count left down): 'live'"},
	{3500, false, "the same"},
}

// TestFoundBefore simulates the worlds that have shown a fault.
func TestFoundBefore(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	for _, f := range found {
		t.Run(fmt.Sprint(f.seed), func(t *testing.T) {
			t.Parallel()
			w := echoing(f.seed)
			w.collects(f.batched)
			if report(t, w, false); t.Failed() {
				t.Log(f.fault)
			}
		})
	}
}

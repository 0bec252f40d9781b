package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"gpsbridge/bridge/realtest"
)

// judge compares what the server processed with what the daemon took.
func (r *faultRun) judge() {
	r.t.Helper()
	a := account{course: r.feeder.course, must: r.feeder.must}
	a.processed = journalled(r.t, r.server)
	for _, m := range r.viewer.Messages() {
		got, err := unpack(m.Text)
		if err != nil {
			r.t.Fatal(err)
		}
		a.seen = append(a.seen, got)
	}

	const enough = 20 // to see what is wrong
	wrongs := a.wrongs()
	for _, wrong := range wrongs[:min(len(wrongs), enough)] {
		r.t.Error(wrong)
	}
	if len(wrongs) > enough {
		r.t.Errorf("%d wrongs in all", len(wrongs))
	}
	if st := r.look(); st.Spool.Dropped+st.Spool.Damaged+st.Uplinks[0].Quarantined+st.Uplinks[0].Skipped > 0 {
		r.t.Errorf("%d dropped by the spool, %d damaged, %d set aside and %d skipped by the uplink, want none",
			st.Spool.Dropped, st.Spool.Damaged, st.Uplinks[0].Quarantined, st.Uplinks[0].Skipped)
	}
	r.report(a)
}

// journalled returns all that a server has processed.
func journalled(t *testing.T, server *realtest.Server) []delivered {
	t.Helper()
	taken, err := server.Taken()
	if err != nil {
		t.Fatal(err)
	}
	messages := make([]delivered, len(taken))
	for i, m := range taken {
		if messages[i], err = unpack(m.Message); err != nil {
			t.Fatal(err)
		}
		messages[i].Connection = m.Connection
	}
	return messages
}

// report prints the figures of the run.
func (r *faultRun) report(a account) {
	fixes, late := 0, 0
	runs := first(a.processed)
	for _, got := range runs {
		fixes += len(got)
		for _, m := range got {
			if m.Backlog {
				late++
			}
		}
	}
	excused := len(a.must)
	for _, must := range a.must {
		if must {
			excused--
		}
	}
	var kinds []string
	n := 0
	for _, name := range slices.Sorted(maps.Keys(r.faults)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", r.faults[name], name))
		n += r.faults[name]
	}
	r.t.Logf("%d epochs, %d of them under way in an unplugging or kill; %d fixes processed in %d runs, %d of them late; %d repeats, %d overtaken",
		len(a.must), excused, fixes, len(runs), late, len(a.processed)-fixes, a.overtaken())
	r.t.Logf("%d faults: %s", n, strings.Join(kinds, ", "))
	r.t.Logf("longest time without an acknowledgement: %.1f s", r.longest.Seconds())
}

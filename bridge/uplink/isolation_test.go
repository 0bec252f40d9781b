package uplink

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// event is one step of a table.
type event struct {
	broke   []uint64 // outstanding; nil: passed
	first   bool
	behind  bool
	silent  bool
	passed  uint64
	next    []uint64 // wanted after it: records of the experiment
	quarant bool     // wanted of it
}

func TestIsolation(t *testing.T) {
	broke := func(next []uint64, outstanding ...uint64) event { return event{broke: outstanding, next: next} }
	four := []uint64{4}
	first := event{broke: four, first: true, next: four}
	behind := event{broke: four, behind: true, next: four}
	start := []event{broke(nil, 4), broke(nil, 4), broke(four, 4)}
	quarantined := func(e event) event { e.quarant = true; return e }
	silently := func(e event) event { e.silent = true; return e }
	for name, events := range map[string][]event{
		"breaks with different records": {
			broke(nil, 1, 2), broke(nil, 3), broke(nil, 4, 5), broke(nil, 6), broke(nil, 7),
		},
		"each with one of the last, but none with all": {
			broke(nil, 1, 2), broke(nil, 2, 3), broke(nil, 3, 4), broke(nil, 4, 5), broke(nil, 5, 6),
		},
		"one, and twice as many each time, until all have passed": {
			broke(nil, 1, 4, 5, 6, 7), broke(nil, 4, 5, 6, 7), broke(four, 3, 4, 5, 6, 7),
			{passed: 4, next: []uint64{5, 6}}, {passed: 5, next: []uint64{6, 7}}, {passed: 6, next: []uint64{7}}, {passed: 7}, broke(nil, 4),
		},
		"a group that breaks is searched, and the others after it": {
			broke(nil, 4, 5, 6, 7), broke(nil, 4, 5, 6, 7), broke(four, 4, 5, 6, 7), {passed: 4, next: []uint64{5, 6}}, broke([]uint64{5}, 5, 6),
			{passed: 5, next: []uint64{6}}, broke([]uint64{6}, 6), {passed: 6, next: []uint64{7}}, {passed: 7},
		},
		"what is left of a group is not sent whole": {
			broke(nil, 4, 5, 6, 7, 8), broke(nil, 4, 5, 6, 7, 8), broke(four, 4, 5, 6, 7, 8), {passed: 4, next: []uint64{5, 6}}, broke([]uint64{5}, 5, 6, 7),
			{passed: 5, next: []uint64{6}}, {passed: 6, next: []uint64{7}}, {passed: 7, next: []uint64{8}}, {passed: 8},
		},
		"all passed between": {
			broke(nil, 4), broke(nil, 4), {passed: 4}, broke(nil, 4), broke(nil, 4), {passed: 4},
		},
		"failures as the first are no evidence alone":     {start[0], start[1], start[2], first, first, first, first, first, first, first},
		"failures after another are no evidence alone":    {start[0], start[1], start[2], behind, behind, behind, behind, behind, behind},
		"failures after a candidate that passed, neither": {start[0], start[1], start[2], broke(four, 4), broke(four, 4), broke(four, 4), broke(four, 4), broke(four, 4), broke(four, 4)},
		"three failures of each kind":                     {start[0], start[1], start[2], first, behind, first, behind, first, quarantined(behind)},
		"what passes beside the candidate says nothing about it": {
			broke(nil, 4, 5), broke(nil, 4, 5), broke(four, 4, 5), first, behind, first, behind, {passed: 5, next: four}, first, quarantined(behind),
		},
		"another that fails becomes the candidate":          {start[0], start[1], start[2], first, behind, first, behind, broke([]uint64{7}, 7), broke(four, 4), first, behind, {passed: 4, next: []uint64{7}}},
		"without a close frame it takes five":               {start[0], start[1], start[2], silently(first), behind, first, behind, first, behind, first, behind, first, quarantined(behind)},
		"one that passed begins without evidence next time": {start[0], start[1], start[2], first, behind, first, behind, first, {passed: 4}, start[0], start[1], start[2], first, behind},
	} {
		t.Run(name, func(t *testing.T) {
			var i isolation
			for n, e := range events {
				quarantine := false
				if e.broke != nil {
					blame := blameStated
					if e.silent {
						blame = blamePossible
					}
					_, quarantine = i.broke(failure{outstanding: e.broke, first: e.first, behind: e.behind, blame: blame})
				} else {
					i.passed(e.passed)
				}
				if experiment, _ := i.next(maxWindow); quarantine != e.quarant || !slices.Equal(experiment.records, e.next) {
					t.Errorf("event %d: quarantine %t, next %v; want %t, %v: %+v", n, quarantine, experiment.records, e.quarant, e.next, i)
				}
			}
		})
	}
}

// One break is no search yet.
func TestIsolationSearchesFromTheSecondBreak(t *testing.T) {
	var i isolation
	for n, want := range []bool{false, true, true, true} {
		if i.broke(failure{outstanding: []uint64{4}, blame: blameStated}); i.searching() != want {
			t.Errorf("break %d: searching %t", n+1, i.searching())
		}
	}
	if i.passed(4); i.searching() {
		t.Error("searching after the candidate passed")
	}
}

// Experiments take turns, and are bounded by the window.
func TestIsolationExperiments(t *testing.T) {
	var i isolation
	many := make([]uint64, 100)
	for pos := range many {
		many[pos] = uint64(pos + 1)
	}
	for range breaksToIsolate {
		i.broke(failure{outstanding: many, blame: blameStated})
	}
	for _, want := range []int{1, 2, 4, 8, 8} {
		if experiment, _ := i.next(8); len(experiment.records) != want || experiment.behind {
			t.Errorf("%+v, want %d records", experiment, want)
		}
	}
	i.broke(failure{outstanding: []uint64{4}, blame: blameStated})
	for n := range 2 * failuresNeeded {
		experiment, _ := i.next(8)
		if experiment.behind != (n%2 == 1) {
			t.Errorf("experiment %d: %+v", n, experiment)
		}
		i.broke(failure{outstanding: []uint64{4}, first: !experiment.behind, behind: experiment.behind, blame: blameStated})
	}
}

// A server that breaks the connection on everything for a day does not make everything a candidate.
func TestIsolationIsBounded(t *testing.T) {
	var i isolation
	for n := range uint64(10_000) {
		i.broke(failure{outstanding: []uint64{3 * n, 3*n + 1, 3*n + 2, 7}, blame: blameStated})
	}
	if n := len(i.candidates); n > candidatesAdded || i.candidates[0] != 3*9999 {
		t.Errorf("%d candidates, the first is %d", n, i.candidates[0])
	}
}

// A record that fails with the mark of the backlog and passes without it is not bad: the server refuses the mark.
func TestIsolationFindsARefusedMark(t *testing.T) {
	var i isolation
	for pos := uint64(1); pos <= marksNeeded; pos++ {
		with := failure{outstanding: []uint64{pos}, marked: true, blame: blameStated}
		for range breaksToIsolate + 1 {
			i.broke(with)
		}
		if experiment, ok := i.next(8); !ok || !experiment.behind || !experiment.fresh || experiment.unmarked != (unmarked{}) {
			t.Fatalf("experiment %+v, %t", experiment, ok)
		}
		with.behind, with.place = true, 2
		i.broke(with)
		if experiment, ok := i.next(8); !ok || !experiment.behind || experiment.unmarked != (unmarked{behind: 2}) || i.marksRefused() {
			t.Fatalf("experiment %+v, %t; refused %t", experiment, ok, i.marksRefused())
		}
		i.tryUnmarked()
		if experiment, _ := i.next(8); experiment.unmarked != (unmarked{}) {
			t.Error("sent without the mark twice")
		}
		i.passed(pos)
		i.acceptedUnmarked()
	}
	if !i.marksRefused() || i.active {
		t.Errorf("%+v", i)
	}
	if i.markAccepted(); i.marksRefused() {
		t.Error("a record with the mark was echoed, and the mark counts as refused")
	}
}

// A server that breaks the connection on records without the mark as well has to do so more often on one with it.
func TestIsolationComparesTheMark(t *testing.T) {
	const plain = 2
	var i isolation
	for n := range breaksToIsolate + plain {
		i.broke(failure{outstanding: []uint64{9, 10}, plain: n >= breaksToIsolate, blame: blameStated})
	}
	with := failure{outstanding: []uint64{4}, marked: true, blame: blameStated}
	i.broke(with)
	with.behind = true
	for n := range plain + 1 {
		if experiment, _ := i.next(8); experiment.unmarked.behind > 0 {
			t.Errorf("without the mark after %d failures", n)
		}
		with.place = 5 - n
		i.broke(with)
	}
	with.place = 9
	i.broke(with)
	if experiment, _ := i.next(8); experiment.unmarked != (unmarked{behind: 5 - plain}) {
		t.Errorf("%+v, want as it failed with the mark, or later on the connection", experiment)
	}
}

// A record that always failed with the mark is not quarantined before it has failed without it, though that takes more failures than a
// quarantine where the server broke the connection on records without the mark as well.
func TestIsolationQuarantinesNoUntriedMark(t *testing.T) {
	const plain = 2 * failuresNeeded
	var i isolation
	for n := range breaksToIsolate + plain {
		i.broke(failure{outstanding: []uint64{9, 10}, plain: n >= breaksToIsolate, blame: blameStated})
	}
	with := failure{outstanding: []uint64{4}, marked: true, blame: blameStated}
	i.broke(with)
	for range failuresNeeded {
		with.first = true
		i.broke(with)
	}
	with.first, with.behind, with.place = false, true, 2
	for n := range plain + 1 {
		if _, quarantine := i.broke(with); quarantine {
			t.Fatalf("quarantined after %d failures with the mark, and none without it", n+1)
		}
	}
	if experiment, _ := i.next(8); experiment.unmarked.behind != 2 {
		t.Errorf("%+v, want without the mark", experiment)
	}
	i.tryUnmarked()
	with.marked, with.plain = false, true
	if _, quarantine := i.broke(with); !quarantine {
		t.Error("not quarantined after it failed without the mark as well")
	}
}

// Where there is no other record to compare with, one that fails as the first is sent so without the mark.
func TestIsolationTriesTheMarkAlone(t *testing.T) {
	var i isolation
	for n := range breaksToIsolate + failuresNeeded {
		if experiment, _ := i.next(8); experiment.unmarked.first {
			t.Errorf("without the mark after %d failures", n-breaksToIsolate)
		}
		i.broke(failure{outstanding: []uint64{4}, first: n >= breaksToIsolate, marked: true, blame: blameStated})
	}
	if experiment, _ := i.next(8); experiment.unmarked != (unmarked{first: true}) {
		t.Errorf("%+v", experiment)
	}
}

// Whatever happened, when the evidence ends sending is back at full speed, and no record that passed is quarantined.
func TestIsolationEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var i isolation
		next := uint64(1)
		var waiting []uint64 // not acknowledged
		take := func(n int) (out []uint64) {
			for len(waiting) < n {
				waiting = append(waiting, next)
				next++
			}
			return slices.Clone(waiting[:n])
		}
		remove := func(pos uint64) { waiting = slices.DeleteFunc(waiting, func(p uint64) bool { return p == pos }) }
		for range rapid.IntRange(0, 100).Draw(t, "events") {
			experiment, isExperiment := i.next(maxWindow)
			switch what := rapid.IntRange(0, 9).Draw(t, "event"); {
			case what < 6:
				f := failure{blame: rapid.SampledFrom([]blame{blamePossible, blameStated}).Draw(t, "blame"), marked: rapid.Bool().Draw(t, "marked"),
					outstanding: take(rapid.IntRange(1, 32).Draw(t, "window"))}
				if isExperiment && rapid.Bool().Draw(t, "candidate") {
					f.outstanding, f.behind, f.first = experiment.records, experiment.behind, !experiment.behind
				}
				if _, quarantine := i.broke(f); quarantine {
					if !slices.Contains(waiting, f.outstanding[0]) {
						t.Fatalf("record %d was acknowledged and is quarantined", f.outstanding[0])
					}
					i.passed(f.outstanding[0])
					remove(f.outstanding[0])
				}
			default:
				acked := rapid.SampledFrom(take(8)).Draw(t, "acked")
				i.passed(acked)
				remove(acked)
			}
		}
		// The evidence ends: experiments pass.
		for n := 0; i.active; n++ {
			experiment, ok := i.next(maxWindow)
			if !ok || n > 2*capacity {
				t.Fatalf("isolating after %d experiments that passed: %+v", n, i)
			}
			for _, pos := range experiment.records {
				i.passed(pos)
			}
		}
	})
}

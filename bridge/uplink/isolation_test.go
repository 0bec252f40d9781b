package uplink

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// event is one step of a table.
type event struct {
	broke   []uint64 // outstanding; nil: acked
	alone   bool
	behind  bool
	silent  bool
	acked   uint64
	single  bool // wanted after it
	quarant bool // wanted of it
}

func TestIsolation(t *testing.T) {
	alone := func(pos uint64, behind bool) event {
		return event{broke: []uint64{pos}, alone: true, behind: behind, single: true}
	}
	quarantined := func(e event) event { e.quarant = true; return e }
	silently := func(e event) event { e.silent = true; return e }
	for name, events := range map[string][]event{
		"breaks with different oldest records": {
			{broke: []uint64{1, 2}}, {broke: []uint64{2, 3}}, {broke: []uint64{3, 4}}, {broke: []uint64{4, 5}},
		},
		"the same oldest starts it, acknowledgements end it": {
			{broke: []uint64{9, 4}}, {broke: []uint64{4, 9}}, {broke: []uint64{4, 10}, single: true},
			{acked: 4, single: true}, {acked: 9, single: true}, {acked: 10, single: true}, {acked: 11},
		},
		"an acknowledgement of the oldest between": {
			{broke: []uint64{4, 5}}, {broke: []uint64{4, 5}}, {acked: 4}, {broke: []uint64{5}}, {broke: []uint64{5}},
		},
		"failures as the first alone are no evidence": {
			alone(4, false), alone(4, false), alone(4, false), alone(4, false), alone(4, false), alone(4, false), alone(4, false),
		},
		"three failures of each kind": {
			alone(4, false), alone(4, false), alone(4, true), alone(4, false), alone(4, true), alone(4, false), quarantined(alone(4, true)),
		},
		"another that fails becomes the candidate": {
			alone(4, false), alone(4, false), alone(4, true), alone(4, false), alone(4, true), alone(7, false), alone(4, true), alone(4, false), {acked: 4},
		},
		"without a close frame it takes five": {
			silently(alone(4, false)), alone(4, false), alone(4, true), alone(4, false), alone(4, true), alone(4, false), alone(4, true),
			alone(4, false), alone(4, true), alone(4, false), quarantined(alone(4, true)),
		},
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
					_, quarantine = i.broke(failure{outstanding: e.broke, alone: e.alone, behind: e.behind, blame: blame})
				} else {
					i.acked(e.acked)
				}
				if quarantine != e.quarant || i.oneAtATime() != e.single {
					t.Errorf("event %d: quarantine %t, one at a time %t; want %t, %t: %+v", n, quarantine, i.oneAtATime(), e.quarant, e.single, i)
				}
			}
		})
	}
}

// A record that fails with the mark of the backlog and passes without it is not bad: the server refuses the mark.
func TestIsolationFindsARefusedMark(t *testing.T) {
	var i isolation
	for pos := uint64(1); pos <= marksNeeded; pos++ {
		with := failure{outstanding: []uint64{pos}, alone: true, marked: true, blame: blameStated}
		i.broke(with)
		if got, behind, unmarked, ok := i.experiment(); !ok || got != pos || behind || unmarked {
			t.Fatalf("experiment %d, behind %t, unmarked %t, %t", got, behind, unmarked, ok)
		}
		i.broke(with) // as the first of a connection too
		if got, _, unmarked, ok := i.experiment(); !ok || got != pos || !unmarked || i.marksRefused() {
			t.Fatalf("trial %d, unmarked %t, %t; refused %t", got, unmarked, ok, i.marksRefused())
		}
		i.passedWithoutMark(pos)
		i.acked(pos)
	}
	if !i.marksRefused() || i.oneAtATime() {
		t.Errorf("%+v", i)
	}
	if i.markAccepted(); i.marksRefused() {
		t.Error("a record with the mark was echoed, and the mark counts as refused")
	}
}

// Whatever happened, when the evidence ends sending is back at full speed, and no acknowledged record is quarantined.
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
			pos, behind, _, trial := i.experiment()
			switch what := rapid.IntRange(0, 9).Draw(t, "event"); {
			case what < 6:
				f := failure{blame: rapid.SampledFrom([]blame{blamePossible, blameStated}).Draw(t, "blame"), marked: rapid.Bool().Draw(t, "marked")}
				if i.oneAtATime() {
					f.alone, f.outstanding = true, take(1)
					if trial && rapid.Bool().Draw(t, "candidate") {
						f.outstanding, f.behind = []uint64{pos}, behind
					}
				} else {
					f.outstanding = take(rapid.IntRange(1, 32).Draw(t, "window"))
				}
				if _, quarantine := i.broke(f); quarantine {
					if !slices.Contains(waiting, f.outstanding[0]) {
						t.Fatalf("record %d was acknowledged and is quarantined", f.outstanding[0])
					}
					i.gone(f.outstanding[0])
					remove(f.outstanding[0])
				}
			case trial && what == 6:
				i.gone(pos)
				remove(pos)
			default:
				acked := rapid.SampledFrom(take(8)).Draw(t, "acked")
				i.acked(acked)
				remove(acked)
			}
		}
		// The evidence ends: the candidate of a trial passes, and so does everything else.
		for n := 0; i.oneAtATime(); n++ {
			pos, _, _, trial := i.experiment()
			if !trial {
				pos = take(1)[0]
			}
			i.acked(pos)
			remove(pos)
			if n > 2*capacity {
				t.Fatalf("one record at a time after %d acknowledgements in a row: %+v", n, i)
			}
		}
	})
}

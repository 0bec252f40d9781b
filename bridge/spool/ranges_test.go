package spool

import (
	"testing"

	"pgregory.net/rapid"
)

// TestRangesAgreeWithASet compares with the plainest set of positions, of which every reader's holds 0.
func TestRangesAgreeWithASet(t *testing.T) {
	const most = 24
	position := rapid.Uint64Range(0, most)
	draw := func(t *rapid.T, name string) (r ranges, set [most + 2]bool) {
		r.add(0, 0)
		set[0] = true
		for range rapid.IntRange(0, 8).Draw(t, name+" spans") {
			from := position.Draw(t, name+" from")
			to := rapid.Uint64Range(from, most).Draw(t, name+" to")
			r.add(from, to)
			for pos := from; pos <= to; pos++ {
				set[pos] = true
			}
		}
		return r, set
	}
	agree := func(t *rapid.T, what string, r ranges, set [most + 2]bool) {
		missing := uint64(most + 1)
		for pos := uint64(most + 1); ; pos-- {
			if !set[pos] {
				missing = pos
			}
			want := pos
			if set[pos] {
				want = missing
			}
			if r.has(pos) != set[pos] || r.missing(pos) != want {
				t.Fatalf("%s %v: has(%d) is %t, missing %d; want %t, %d", what, r, pos, r.has(pos), r.missing(pos), set[pos], want)
			}
			if pos == 0 {
				break
			}
		}
		if r.low() != missing-1 {
			t.Fatalf("%s %v: low is %d, want %d", what, r, r.low(), missing-1)
		}
		for i := 1; i < len(r); i++ {
			if r[i].from <= r[i-1].to+1 {
				t.Fatalf("%s %v: spans touch", what, r)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, inA := draw(t, "a")
		b, inB := draw(t, "b")
		c, inC := draw(t, "c")
		agree(t, "a", a, inA)
		for range rapid.IntRange(0, 4).Draw(t, "removed") {
			pos := rapid.Uint64Range(1, most+1).Draw(t, "remove")
			a.remove(pos)
			inA[pos] = false
			agree(t, "a, of which some were removed", a, inA)
		}
		var all, any [most + 2]bool
		overlaps := false
		from := position.Draw(t, "from")
		to := rapid.Uint64Range(from, most).Draw(t, "to")
		for pos := range all {
			all[pos], any[pos] = inA[pos] && inB[pos] && inC[pos], inA[pos] || inB[pos]
			overlaps = overlaps || inA[pos] && uint64(pos) >= from && uint64(pos) <= to
		}
		if a.overlaps(from, to) != overlaps {
			t.Fatalf("%v overlaps %d..%d: %t", a, from, to, !overlaps)
		}
		agree(t, "intersection", intersect(a, b, c), all)
		agree(t, "itself", intersect(a), inA)
		a.union(b)
		agree(t, "union", a, any)
	})
	if got := intersect(); len(got) != 0 {
		t.Errorf("of no sets: %v", got)
	}
}

package spool

import (
	"slices"
	"sort"
)

// span is the positions from..to, both included.
type span struct{ from, to uint64 }

// ranges is a set of positions as spans that are sorted and neither overlap nor touch. What a reader acknowledges is
// nearly one span, so the set stays small however long the backlog: one more span for each record that was
// acknowledged ahead of an older one.
type ranges []span

// find returns the index of the first span that ends at pos or later.
func (r ranges) find(pos uint64) int {
	return sort.Search(len(r), func(i int) bool { return r[i].to >= pos })
}

func (r ranges) has(pos uint64) bool { return r.overlaps(pos, pos) }

func (r ranges) overlaps(from, to uint64) bool {
	i := r.find(from)
	return i < len(r) && r[i].from <= to
}

// missing returns the first position from pos on that is not in the set.
func (r ranges) missing(pos uint64) uint64 {
	if i := r.find(pos); i < len(r) && r[i].from <= pos {
		return r[i].to + 1
	}
	return pos
}

// low is the end of the span that begins at 0, with which every reader's set begins.
func (r ranges) low() uint64 { return r.missing(0) - 1 }

// add puts from..to into the set, and merges what it touches.
func (r *ranges) add(from, to uint64) {
	s := *r
	first := 0 // the first span that touches from..to or lies after it
	if from > 0 {
		first = s.find(from - 1)
	}
	end := first
	for ; end < len(s) && s[end].from <= to+1; end++ {
		from, to = min(from, s[end].from), max(to, s[end].to)
	}
	if end > first { // the usual case moves nothing and allocates nothing
		s[first] = span{from, to}
		*r = append(s[:first+1], s[end:]...)
		return
	}
	s = append(s, span{})
	copy(s[first+1:], s[first:])
	s[first] = span{from, to}
	*r = s
}

// remove takes one position out of the set.
func (r *ranges) remove(pos uint64) {
	s, i := *r, r.find(pos)
	if i == len(s) || s[i].from > pos {
		return
	}
	var left []span
	if s[i].from < pos {
		left = append(left, span{s[i].from, pos - 1})
	}
	if s[i].to > pos {
		left = append(left, span{pos + 1, s[i].to})
	}
	*r = slices.Replace(s, i, i+1, left...)
}

func (r *ranges) union(other ranges) {
	for _, s := range other {
		r.add(s.from, s.to)
	}
}

// intersect returns what is in all sets; in none of no sets.
func intersect(sets ...ranges) ranges {
	if len(sets) == 0 {
		return nil
	}
	both := sets[0]
	for _, other := range sets[1:] {
		var next ranges
		for i, j := 0, 0; i < len(both) && j < len(other); {
			from, to := max(both[i].from, other[j].from), min(both[i].to, other[j].to)
			if from <= to {
				next = append(next, span{from, to})
			}
			if both[i].to < other[j].to {
				i++
			} else {
				j++
			}
		}
		both = next
	}
	return append(ranges(nil), both...)
}

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// delivered is what the verdict on a fault run looks at in a message.
type delivered struct {
	Run     string    `json:"run"`
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Lat     *float64  `json:"lat"`
	Backlog bool      `json:"backlog"`

	Connection int64 `json:"-"` // over which the server got it, later ones being greater
}

// account is a fault run as it is judged: all that the server took up, in its order and with repeats, and what the daemon
// is known to have taken from its receiver.
type account struct {
	course    course
	must      []bool // by epoch
	processed []delivered
	seen      []delivered // by a viewer at the daemon itself
}

func unpack(text []byte) (delivered, error) {
	var m delivered
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s: %w", text, err)
	}
	if m.Run == "" || m.Seq == 0 {
		return m, fmt.Errorf("%s: no run and seq", text)
	}
	return m, nil
}

// first returns messages without repeats, by run, in the order of their first time.
func first(messages []delivered) map[string][]delivered {
	runs := make(map[string][]delivered)
	type key struct {
		run string
		seq uint64
	}
	seen := make(map[key]bool)
	for _, m := range messages {
		if k := (key{m.Run, m.Seq}); !seen[k] {
			seen[k] = true
			runs[m.Run] = append(runs[m.Run], m)
		}
	}
	return runs
}

// asSent returns what was processed in the order in which it was sent. A server may still be working off what it got over
// a connection that has broken while it takes what comes over the next one, and so mix the two; it cannot be kept from
// that. Within a connection its order holds.
func (a account) asSent() []delivered {
	return slices.SortedStableFunc(slices.Values(a.processed), func(a, b delivered) int { return cmp.Compare(a.Connection, b.Connection) })
}

// overtaken counts the messages that were processed late for that reason.
func (a account) overtaken() (n int) {
	for run, got := range first(a.processed) {
		n += len(order(run, got))
	}
	return n
}

// wrongs returns everything that is not as it was promised, one line each.
func (a account) wrongs() []string {
	runs, sent := first(a.processed), first(a.asSent())
	last := make(map[string]uint64)
	for _, m := range slices.Concat(a.processed, a.seen) {
		last[m.Run] = max(last[m.Run], m.Seq)
	}
	var wrongs []string
	for run, seq := range last {
		wrongs = append(wrongs, a.gaps(run, seq, runs[run])...)
		wrongs = append(wrongs, order(run, sent[run])...)
		wrongs = append(wrongs, a.misplaced(run, runs[run])...)
	}
	return append(wrongs, a.missing(runs)...)
}

// gaps finds what was lost after the spool: it had a number, and the server never got it.
func (a account) gaps(run string, last uint64, got []delivered) (wrongs []string) {
	have := make(map[uint64]bool)
	for _, m := range got {
		have[m.Seq] = true
	}
	for _, s := range stretches(1, last, func(seq uint64) bool { return !have[seq] }) {
		wrongs = append(wrongs, fmt.Sprintf("lost: seq %s of run %s, whose last is %d", s, run, last))
	}
	return wrongs
}

// missing finds what was lost before it had a number.
func (a account) missing(runs map[string][]delivered) (wrongs []string) {
	have := make(map[uint64]bool)
	for _, got := range runs {
		for _, m := range got {
			if i, ok := a.course.index(m.Time); ok {
				have[uint64(i)] = true
			}
		}
	}
	if len(a.must) == 0 {
		return nil
	}
	for _, s := range stretches(0, uint64(len(a.must)-1), func(i uint64) bool { return a.must[i] && !have[i] }) {
		wrongs = append(wrongs, fmt.Sprintf("lost: epoch %s of the receiver, read by the daemon", s))
	}
	return wrongs
}

// stretches returns the numbers from first to last for which is returns true, neighbours together.
func stretches(first, last uint64, is func(uint64) bool) (found []string) {
	for i := first; i <= last; i++ {
		if !is(i) {
			continue
		}
		from := i
		for i < last && is(i+1) {
			i++
		}
		if from == i {
			found = append(found, fmt.Sprint(i))
		} else {
			found = append(found, fmt.Sprintf("%d to %d", from, i))
		}
	}
	return found
}

// order checks that live messages come in the order of their seq, and those of the backlog in theirs.
func order(run string, got []delivered) (wrongs []string) {
	last := make(map[bool]uint64)
	for i, m := range got {
		if m.Seq < last[m.Backlog] {
			wrongs = append(wrongs, fmt.Sprintf("out of order: seq %d after %d of run %s, backlog %t: %s",
				m.Seq, last[m.Backlog], run, m.Backlog, neighbours(got, i)))
		}
		last[m.Backlog] = m.Seq
	}
	return wrongs
}

// neighbours shows what was processed around a message, in brackets what is of the backlog.
func neighbours(got []delivered, i int) string {
	const around = 6
	var shown []string
	for _, m := range got[max(i-around, 0):min(i+around, len(got))] {
		if m.Backlog {
			shown = append(shown, fmt.Sprintf("(%d)", m.Seq))
		} else {
			shown = append(shown, fmt.Sprint(m.Seq))
		}
	}
	return strings.Join(shown, " ")
}

// misplaced finds messages that are no epoch of the receiver's, or not the one that should have their number. An epoch of
// which only the end came, to a daemon that was new, has no date and so no time.
func (a account) misplaced(run string, got []delivered) (wrongs []string) {
	const tolerance = 1e-8 // degrees; 1 mm, a tenth of what the sentences resolve
	bySeq := slices.SortedFunc(slices.Values(got), func(a, b delivered) int { return cmp.Compare(a.Seq, b.Seq) })
	before := -1
	for _, m := range bySeq {
		if m.Time.IsZero() && m.Seq == 1 {
			continue
		}
		i, ok := a.course.index(m.Time)
		switch {
		case !ok || i >= len(a.must):
			wrongs = append(wrongs, fmt.Sprintf("wrong: seq %d of run %s has time %v, at which there was no epoch", m.Seq, run, m.Time))
		case i <= before:
			wrongs = append(wrongs, fmt.Sprintf("wrong: seq %d of run %s is epoch %d, the one before it was %d", m.Seq, run, i, before))
		case m.Lat != nil && abs(*m.Lat-a.course.lat(i)) > tolerance:
			wrongs = append(wrongs, fmt.Sprintf("wrong: seq %d of run %s, epoch %d, has latitude %v, want %v", m.Seq, run, i, *m.Lat, a.course.lat(i)))
		}
		before = i
	}
	return wrongs
}

// TestAccountFindsWrongs holds that the verdict on a fault run can be guilty.
func TestAccountFindsWrongs(t *testing.T) {
	drive := course{start: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), step: faultStep}
	fix := func(run string, seq uint64, epoch int) delivered {
		lat := drive.lat(epoch)
		return delivered{Run: run, Seq: seq, Time: drive.time(epoch), Lat: &lat}
	}
	late := func(m delivered) delivered {
		m.Backlog = true
		return m
	}
	over := func(connection int64, m delivered) delivered {
		m.Connection = connection
		return m
	}
	elsewhere := fix("a", 1, 0)
	elsewhere.Lat = new(float64)
	all := []bool{true, true, true, true}
	for _, test := range []struct {
		name      string
		must      []bool
		processed []delivered
		seen      []delivered
		want      string // of each wrong, in order; "" none
	}{
		{name: "everything", must: all, processed: []delivered{fix("a", 1, 0), fix("a", 2, 1), fix("b", 1, 2), fix("b", 2, 3)}},
		{name: "repeats", must: all[:2], processed: []delivered{fix("a", 1, 0), fix("a", 2, 1), fix("a", 1, 0)}},
		{name: "newest first, then the backlog", must: all,
			processed: []delivered{fix("a", 4, 3), late(fix("a", 1, 0)), late(fix("a", 2, 1)), late(fix("a", 3, 2))}},
		{name: "an epoch that was under way", must: []bool{true, false, true}, processed: []delivered{fix("a", 1, 0), fix("b", 1, 2)}},
		{name: "gap", processed: []delivered{fix("a", 1, 0), fix("a", 4, 3)}, must: make([]bool, 4), want: "lost: seq 2 to 3 of run a"},
		{name: "the last, seen by a viewer", must: make([]bool, 2), processed: []delivered{fix("a", 1, 0)},
			seen: []delivered{fix("a", 2, 1)}, want: "lost: seq 2 of run a"},
		{name: "a whole run", must: make([]bool, 1), seen: []delivered{fix("a", 1, 0)}, want: "lost: seq 1 of run a"},
		{name: "no number", must: all[:3], processed: []delivered{fix("a", 1, 0), fix("a", 2, 2)}, want: "lost: epoch 1"},
		{name: "live out of order", must: all[:2], processed: []delivered{fix("a", 2, 1), fix("a", 1, 0)}, want: "out of order: seq 1 after 2"},
		{name: "backlog out of order", must: all[:3],
			processed: []delivered{fix("a", 3, 2), late(fix("a", 2, 1)), late(fix("a", 1, 0))}, want: "out of order: seq 1 after 2"},
		{name: "two connections mixed", must: all[:3], processed: []delivered{over(1, fix("a", 1, 0)), over(2, fix("a", 3, 2)), over(1, fix("a", 2, 1))}},
		{name: "live out of order over two connections", must: all[:2],
			processed: []delivered{over(1, fix("a", 2, 1)), over(2, fix("a", 1, 0))}, want: "out of order: seq 1 after 2"},
		{name: "an epoch twice", must: all[:1], processed: []delivered{fix("a", 1, 0), fix("a", 2, 0)}, want: "seq 2 of run a is epoch 0"},
		{name: "another place", must: all[:1], processed: []delivered{elsewhere}, want: "has latitude 0"},
		{name: "another time", must: all[:1], processed: []delivered{fix("a", 1, 0), fix("a", 2, 7)}, want: "no epoch"},
	} {
		got := account{course: drive, must: test.must, processed: test.processed, seen: test.seen}.wrongs()
		if len(got) > 1 || (len(got) == 0) != (test.want == "") || !strings.Contains(strings.Join(got, ""), test.want) {
			t.Errorf("%s: found %q, want %q", test.name, got, test.want)
		}
	}
}

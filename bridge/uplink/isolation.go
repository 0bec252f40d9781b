package uplink

import (
	"cmp"
	"slices"
)

// One bad record must not stop the rest: a server that breaks the connection on it, and would again each time, never gets to
// what follows it. But a broken connection is weak evidence. It costs every record that was on its way, so that all of them
// look alike; and a server whose channel layer is down breaks it on any record. A record is therefore quarantined only after
// experiments in which nothing but the record differs:
//
//  1. Connections that break in a row with some of the same records outstanding: those are the candidates. Each new connection
//     begins with them: the first one alone, because a server that echoes has echoed what was before the bad one, and after
//     each group that passed one of twice the size. When one breaks the connection, it is searched in the same way, until one
//     record is left.
//  2. That one is sent, once, as the first record of one connection, and after another record of the next, alternately. The
//     other one must have been acknowledged, and the connection must have stood for a while, so that the break is not about
//     the other one, nor that of a server that ends every connection after some records. As the first one it fails on no
//     server that merely ends connections later. If the other one fails, it becomes the candidate, with no evidence yet.
//  3. After enough failures of both kinds, none of which may be followed by its acknowledgement, the record is quarantined: not
//     before it was sent without the mark of the backlog, where it had that.
//
// A server that breaks the connection on half of what it gets, at random, does all that by chance to one candidate in five
// hundred (half to the power of six failures and three others that pass), and a quarantined record is kept in a file. Links
// that die are no evidence.
//
// A candidate that failed after another one with the mark of the backlog is sent so without it once: a server with a strict
// schema refuses the mark and not the record. Two such records in a row show that, if none with the mark was acknowledged. A
// server that ends every connection after some records does so without the mark as well: it has to fail more often with it, and the
// record without it must come as late on its connection.
const (
	// breaksToIsolate is the number of breaks in a row that start the isolation.
	breaksToIsolate = 3
	// failuresNeeded is the number of failures of each kind that quarantine, where a close frame stated that the server
	// failed.
	failuresNeeded = 3
	// failuresNeededSilent is the same where the connection just ended, or was closed as if nothing were wrong. Uvicorn ends
	// it so when an application fails, but a killed server and a proxy do too.
	failuresNeededSilent = 5
	// candidatesAdded is up to how many candidates the experiments may make: a server that breaks the connection on
	// everything would add a window of new records each time.
	candidatesAdded = 4 * maxWindow
	// marksNeeded is the number of records that pass without the mark of the backlog, each after a failure with it, that
	// show that the server refuses the mark.
	marksNeeded = 2
)

// isolation is the search for a record on which the server breaks the connection. It learns by events and knows neither
// window, connection nor clock: what it decides is asked for by active, next and marksRefused. Records are named by their
// positions.
type isolation struct {
	candidates []uint64 // outstanding at each of the last breaks, the likely ones first
	breaks     int      // in a row that have them in common
	active     bool     // connections begin with experiments
	group      int      // the first so many of them broke the connection in an experiment
	size       int      // of the last experiment; 0: none since a break

	evidence evidence // against the first candidate, where it is the group

	plain          int // breaks in experiments with no record outstanding that had the mark of the backlog
	passedUnmarked int
}

// evidence is what the experiments of one record have shown.
type evidence struct {
	first, behind int  // its failures of each kind
	silent        bool // one of them came without a close frame that states a failure
	marked        bool // it failed with the mark of the backlog
	place         int  // so behind another one, as which record of its connection at the earliest; 0: not yet
	tried         bool // it was sent without the mark
}

// experiment is what a connection begins with.
type experiment struct {
	records  []uint64 // the first of the candidates
	behind   bool     // after another record, and some time
	fresh    bool     // that one must be new: one sent late would have the mark too
	unmarked unmarked
}

// unmarked is when to send without the mark of the backlog: as it failed with it, so that nothing but the mark differs.
type unmarked struct {
	first  bool
	behind int // as this record of the connection or a later one; 0: not
}

// failure is the end of a connection that a record may have caused.
type failure struct {
	outstanding []uint64 // records without an acknowledgement, the likely ones first
	first       bool     // nothing else was sent on this connection
	behind      bool     // another one passed before, as an experiment has it
	marked      bool     // the first of them was sent with the mark of the backlog
	place       int      // as which record of the connection it was sent, from 1
	plain       bool     // none of them was
	blame       blame    // of blamePossible or blameStated
}

// broke takes a failure. It reports whether that starts the isolation, or completes the evidence against the one record that
// was outstanding.
func (i *isolation) broke(f failure) (starts, quarantine bool) {
	if len(f.outstanding) == 0 {
		return false, false
	}
	i.size = 0
	if !i.active {
		i.breaks++
		if i.candidates = common(i.candidates, f.outstanding); len(i.candidates) == 0 {
			i.candidates, i.breaks = slices.Clone(f.outstanding), 1
		}
		i.active = i.breaks >= breaksToIsolate
		return i.active, false
	}
	if f.plain {
		i.plain++
	}
	if i.group != 1 || len(f.outstanding) != 1 || f.outstanding[0] != i.candidates[0] {
		others := slices.DeleteFunc(i.candidates, func(pos uint64) bool { return slices.Contains(f.outstanding, pos) })
		most := max(len(i.candidates), candidatesAdded)
		all := slices.Concat(f.outstanding, others)
		i.candidates = all[:min(len(all), most)]
		i.group, i.evidence = len(f.outstanding), evidence{}
	}
	return false, i.group == 1 && i.evidence.add(f)
}

// common are the values of a that are in b.
func common(a, b []uint64) []uint64 {
	in := map[uint64]bool{}
	for _, v := range b {
		in[v] = true
	}
	return slices.DeleteFunc(a, func(v uint64) bool { return !in[v] })
}

// add takes a failure, and reports whether the evidence is complete.
func (e *evidence) add(f failure) bool {
	if f.first {
		e.first++
	}
	if f.behind {
		e.behind++
	}
	if f.behind && f.marked {
		e.place = min(cmp.Or(e.place, f.place), f.place)
	}
	e.silent, e.marked = e.silent || f.blame == blamePossible, e.marked || f.marked
	needed := failuresNeeded
	if e.silent {
		needed = failuresNeededSilent
	}
	return min(e.first, e.behind) >= needed && (e.tried || !e.marked)
}

// passed takes note that the server accepts a record, or that it is not in the queue any more: evidence against it is void.
func (i *isolation) passed(pos uint64) {
	at := slices.Index(i.candidates, pos)
	if at < 0 {
		return
	}
	i.candidates = slices.Delete(i.candidates, at, at+1)
	if at < i.group {
		i.group--
		i.evidence = evidence{}
	}
	if len(i.candidates) == 0 {
		i.active, i.breaks, i.plain = false, 0, 0
	}
}

// searching reports whether connections break in a row with some of the same records outstanding.
func (i *isolation) searching() bool { return i.active || i.breaks > 1 }

// mayFail reports whether the server may break the connection on a record, as far as is known. What is quicker than its failure
// does not show that it has accepted the record.
func (i *isolation) mayFail(pos uint64) bool { return i.active || slices.Contains(i.candidates, pos) }

// tryUnmarked takes note that the only candidate is sent without the mark.
func (i *isolation) tryUnmarked() { i.evidence.tried = true }

// acceptedUnmarked takes note that a record passed without the mark of the backlog, after it failed with it, and that the
// connection stood for a while after it.
func (i *isolation) acceptedUnmarked() { i.passedUnmarked++ }

// markAccepted takes the echo of a record with the mark of the backlog: evidence against the mark is void.
func (i *isolation) markAccepted() { i.passedUnmarked = 0 }

// next decides what is to be sent next, alone, of at most so many records. Not ok: nothing in particular.
func (i *isolation) next(most int) (t experiment, ok bool) {
	if !i.active {
		return t, false
	}
	if i.group == 1 {
		e := &i.evidence
		t.records, t.behind = slices.Clone(i.candidates[:1]), e.first > e.behind
		if e.marked && !e.tried {
			t.behind, t.fresh = true, true
			t.unmarked.first = e.first >= failuresNeeded
			if e.behind > i.plain {
				t.unmarked.behind = e.place
			}
		}
		return t, true
	}
	if i.group > 1 { // the whole group would show nothing new
		most = min(most, i.group-1)
	}
	i.size = min(max(1, 2*i.size), most, len(i.candidates))
	t.records = slices.Clone(i.candidates[:i.size])
	return t, true
}

// marksRefused decides whether records are to be sent without the mark of the backlog.
func (i *isolation) marksRefused() bool { return i.passedUnmarked >= marksNeeded }

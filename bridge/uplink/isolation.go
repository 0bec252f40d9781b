package uplink

import "slices"

// One bad record must not stop the rest: a server that breaks the connection on it, and would again each time, never gets to
// what follows it. But a broken connection is weak evidence. It costs every record that was on its way, so that all of them
// look alike; and a server whose channel layer is down breaks it on any record. A record is therefore quarantined only after
// an experiment in which nothing but the record differs:
//
//  1. Connections that break in a row with the same oldest record outstanding: from then on one record goes at a time, so
//     that the next break names one. That one is the candidate.
//  2. The candidate is sent alone on new connections, as the first record of one, and after another record of the next,
//     alternately. As the first it fails on no server that merely breaks connections after a record or two; the other one
//     must have been acknowledged on the same connection a moment before, so it fails on no server that accepts nothing. If
//     the other one fails, it becomes the candidate, with no evidence yet.
//  3. After enough failures of both kinds, none of which may be followed by its acknowledgement, the record is quarantined.
//
// A server that breaks the connection on half of what it gets, at random, does all that by chance to one candidate in five
// hundred (half to the power of six failures and three others that pass), and a quarantined record is kept in a file. Links
// that die are no evidence.
//
// A candidate that fails with the mark of the backlog, also as the first record of a connection, is sent without it once: a
// server with a strict schema refuses the mark and not the record. Two such records in a row show that, if none with the mark was acknowledged.
const (
	// breaksToIsolate is the number of breaks in a row that start the isolation.
	breaksToIsolate = 3
	// failuresNeeded is the number of failures of each kind that quarantine, where a close frame stated that the server
	// failed.
	failuresNeeded = 3
	// failuresNeededSilent is the same where the connection just ended, or was closed as if nothing were wrong. Uvicorn ends
	// it so when an application fails, but a killed server and a proxy do too.
	failuresNeededSilent = 5
	// leftMost bounds the number of records that go one at a time without a failure: two windows at their largest, twice.
	leftMost = 4 * maxWindow
	// marksNeeded is the number of records that pass without the mark of the backlog, each after a failure with it, that
	// show that the server refuses the mark.
	marksNeeded = 2
)

// isolation is the search for a record on which the server breaks the connection. It learns by events and knows neither
// window, connection nor clock: what it decides is asked for by oneAtATime, experiment and marksRefused. Records are named by their
// positions.
type isolation struct {
	oldest uint64 // outstanding at the last break; 0: none
	breaks int    // in a row with the same oldest
	left   int    // acknowledgements to go, one record at a time

	candidate uint64 // 0: none
	first     int    // its failures as the first record of a connection
	behind    int    // its failures after another that was acknowledged
	silent    bool   // one of them came without a close frame that states a failure
	marked    bool   // it failed with the mark of the backlog
	tried     bool   // it was tried without the mark
	unmarked  bool   // it is being tried without the mark

	passedUnmarked int
}

// failure is the end of a connection that a record may have caused.
type failure struct {
	outstanding []uint64 // records without an acknowledgement, in the order of sending
	alone       bool     // they were sent one at a time
	behind      bool     // the last one was sent after another that was acknowledged on this connection
	marked      bool     // it was sent with the mark of the backlog
	blame       blame    // of blamePossible or blameStated
}

// broke takes a failure. It reports whether that starts the isolation, or completes the evidence against the one record that
// was outstanding.
func (i *isolation) broke(f failure) (starts, quarantine bool) {
	switch {
	case len(f.outstanding) == 0:
		return false, false
	case f.alone:
		return false, i.failedAlone(f)
	}
	if oldest := slices.Min(f.outstanding); oldest != i.oldest {
		i.oldest, i.breaks = oldest, 0
	}
	i.breaks++
	if i.breaks < breaksToIsolate {
		return false, false
	}
	starts = i.left == 0
	i.left = min(2*len(f.outstanding), leftMost) // half of what is sent meanwhile are live records
	return starts, false
}

func (i *isolation) failedAlone(f failure) (quarantine bool) {
	pos := f.outstanding[0]
	if pos != i.candidate {
		i.candidate, i.first, i.behind = pos, 0, 0
		i.silent, i.marked, i.tried, i.unmarked = f.blame == blamePossible, f.marked, false, false
		return false
	}
	i.unmarked = false
	if f.behind {
		i.behind++
	} else {
		i.first++
	}
	i.silent, i.marked = i.silent || f.blame == blamePossible, i.marked || f.marked
	needed := failuresNeeded
	if i.silent {
		needed = failuresNeededSilent
	}
	return min(i.first, i.behind) >= needed
}

// passedWithoutMark takes the echo of a record that was sent without the mark of the backlog: where it failed with it, that is
// evidence against the mark. It comes before acked.
func (i *isolation) passedWithoutMark(pos uint64) {
	if pos == i.candidate && i.unmarked {
		i.passedUnmarked++
	}
}

// markAccepted takes the echo of a record with the mark of the backlog: evidence against the mark is void.
func (i *isolation) markAccepted() { i.passedUnmarked = 0 }

// acked takes the acknowledgement of a record: evidence against it is void.
func (i *isolation) acked(pos uint64) {
	if pos == i.candidate {
		i.candidate, i.unmarked = 0, false
	}
	ends := i.left == 1
	i.left = max(i.left-1, 0)
	if pos == i.oldest || ends {
		i.oldest, i.breaks = 0, 0
	}
}

// gone takes note that a record is not in the queue any more.
func (i *isolation) gone(pos uint64) {
	if pos == i.candidate {
		i.candidate = 0
	}
}

// oneAtATime decides whether one record is to be sent at a time.
func (i *isolation) oneAtATime() bool { return i.left > 0 || i.candidate != 0 }

// experiment decides what the next connection is to begin with: the candidate alone, after another record or not, with the mark of
// the backlog or not. Not ok: nothing in particular.
func (i *isolation) experiment() (pos uint64, behind, unmarked, ok bool) {
	if i.candidate == 0 {
		return 0, false, false, false
	}
	if i.marked && !i.tried && i.first > 0 { // a server that ends every connection after some records accepts the first
		i.tried, i.unmarked = true, true
		return i.candidate, false, true, true
	}
	return i.candidate, i.first > i.behind, false, true
}

// marksRefused decides whether records are to be sent without the mark of the backlog.
func (i *isolation) marksRefused() bool { return i.passedUnmarked >= marksNeeded }

package uplink

import (
	"slices"
	"time"
)

const (
	// startWindow is where every connection begins. A fleet comes back at once
	// after a restart of its server, and shares one channel capacity (100 by
	// default on Django Channels) per server process.
	startWindow = 8
	// maxWindow is the default upper limit: on a loopback link more bought
	// nothing but latency, and a third of the shared capacity is enough for
	// 300 records a second at a round trip of 100 ms.
	maxWindow = 32
	// capacity is what a server process with default settings holds for all
	// its clients together: no window may reach it.
	capacity = 100
	// minWindow is where halving stops. With two, a record that the server
	// never echoes does not stop the rest, and the next one shows its loss.
	minWindow = 2
	// maxUnsure bounds what is remembered of earlier connections, newest first.
	// What is forgotten costs a repeat that nobody counts.
	maxUnsure = 4 * capacity
)

// flight is one record on its way.
type flight struct {
	pos   uint64
	data  []byte
	key   string // of the record, if keyed
	keyed bool
	again bool // sent before: its round trip says nothing

	backlog bool // taken from the backlog
	repeat  bool // sent again while it is still on its way

	losses int       // that make it a suspect
	counts int       // that prove something against it
	lostAt time.Time // when it was seen to be lost the last time
	hold   time.Time // not to be sent again before that

	n  uint64    // ordinal of its last sending, across all connections
	at time.Time // of its last sending
}

// window keeps the records that were sent and not acknowledged. It has no lock
// and no clock. It outlives connections: restart begins the next one.
type window struct {
	limit int // of size; set once

	size    int
	single  bool     // one record at a time, whatever size says
	flights []flight // on their way, in the order of sending
	lost    []flight // to be sent again, before anything new
	unsure  []flight // outstanding when an earlier connection ended; not sent on this one yet

	n        uint64    // sendings so far
	progress time.Time // of the last acknowledgement, or of the sending that ended an idle time

	round     uint64    // growth: a round trip ends with the first acknowledgement behind this sending
	limited   bool      // growth: the window was full in this round trip
	firstLoss time.Time // of any record, the last one seen

	recover uint64 // losses of sendings up to this one belong to a halving already done

	srtt, rttvar time.Duration // smoothed as RFC 6298 says; 0 until measured
	doubt        doubt
}

// doubt is the time from the first sending of a repeated record to its echo,
// which may be the echo of either. A second echo proves that both arrived, and
// the first of them told the round trip. Without it a server that has become
// slow would be taken for a fast one for ever, and each record be repeated.
type doubt struct {
	key string
	rtt time.Duration
}

func newWindow(limit int) window {
	w := window{limit: limit}
	w.restart(0)
	return w
}

// restart begins a connection: everything outstanding becomes unsure and will
// come from the queue again. Records up to acked are done with.
func (w *window) restart(acked uint64) {
	left := append(append(w.lost, w.flights...), w.unsure...)
	w.unsure = nil
	for _, f := range left {
		if f.pos > acked && len(w.unsure) < maxUnsure {
			f.data, f.hold = nil, time.Time{}
			w.unsure = append(w.unsure, f)
		}
	}
	w.flights, w.lost, w.doubt = nil, nil, doubt{}
	w.size = min(startWindow, w.limit)
	w.round, w.recover, w.limited = w.n, w.n, false
}

// room reports whether one more record may be on its way.
func (w *window) room() bool { return len(w.flights) < w.open() }

// open is how many records may be on their way.
func (w *window) open() int {
	if w.single {
		return 1
	}
	return w.size
}

// backlogRoom reports whether one more record of the backlog may be on its way.
// A quarter of the window is kept for live records, so that one can go at once;
// not at the very bottom, where the backlog needs two to show a loss.
func (w *window) backlogRoom() bool {
	return len(w.flights) < max(w.open()-max(w.size/4, 1), min(w.open(), minWindow))
}

// has reports whether a record is on its way, or waits to be sent again.
func (w *window) has(pos uint64) bool {
	at := func(f flight) bool { return f.pos == pos }
	return slices.ContainsFunc(w.flights, at) || slices.ContainsFunc(w.lost, at)
}

// busy reports whether anything is on its way.
func (w *window) busy() bool { return len(w.flights) > 0 }

// outstanding is the number of records sent and not acknowledged.
func (w *window) outstanding() int { return len(w.flights) + len(w.lost) }

// oldest is the time of the oldest sending still outstanding.
func (w *window) oldest() (at time.Time, ok bool) {
	if len(w.flights) == 0 {
		return at, false
	}
	return w.flights[0].at, true
}

// all are the records sent and not acknowledged.
func (w *window) all() []flight { return append(slices.Clone(w.flights), w.lost...) }

// forget drops a record that needs no acknowledgement any more.
func (w *window) forget(pos uint64) {
	for _, list := range []*[]flight{&w.flights, &w.lost, &w.unsure} {
		*list = slices.DeleteFunc(*list, func(f flight) bool { return f.pos == pos })
	}
}

// tail is the record that was sent last, if it is still on its way.
func (w *window) tail() (f flight, ok bool) {
	if len(w.flights) == 0 {
		return f, false
	}
	return w.flights[len(w.flights)-1], true
}

// keyless returns the oldest record on its way that can have no echo.
func (w *window) keyless() (f flight, ok bool) {
	for _, f := range w.flights {
		if !f.keyed {
			return f, true
		}
	}
	return f, false
}

// takeLost removes and returns the first record to be sent again now, if there
// is room for it.
func (w *window) takeLost(now time.Time) (f flight, ok bool) {
	suspects := w.suspects() < max(w.open()/2, 1)
	i := slices.IndexFunc(w.lost, func(f flight) bool { return !now.Before(f.hold) && (suspects || !f.suspect()) })
	if i < 0 || !w.room() {
		return f, false
	}
	f = w.lost[i]
	w.lost = slices.Delete(w.lost, i, i+1)
	return f, true
}

// sending enters a record that is about to be written, and reports whether it
// was sent before.
func (w *window) sending(f flight, now time.Time) (again bool) {
	for i := range w.unsure {
		if w.unsure[i].pos == f.pos {
			was := w.unsure[i]
			f.losses, f.counts, f.lostAt = was.losses, was.counts, was.lostAt
			w.unsure = append(w.unsure[:i], w.unsure[i+1:]...)
			f.again = true
			break
		}
	}
	if !w.busy() {
		w.progress = now
	}
	w.n++
	f.n, f.at = w.n, now
	w.flights = append(w.flights, f)
	w.limited = w.limited || !w.room() || (f.backlog && !w.backlogRoom())
	return f.again
}

// repeated takes note that a record on its way is sent once more.
func (w *window) repeated(pos uint64) {
	for i := range w.flights {
		if w.flights[i].pos == pos {
			w.flights[i].again, w.flights[i].repeat = true, true
		}
	}
}

// echoed takes the echo of a key: done are the positions that it acknowledges,
// lost the number of records whose loss it shows. Nothing of both: not ours.
//
// Records without a key can have no echo. The echo of a later one is the best
// that can be known about them: the server had read that far. Where the later one
// was sent before, its echo may be that of the earlier sending, and they wait.
func (w *window) echoed(key string, now time.Time) (done []uint64, lost int) {
	at := find(w.flights, key)
	if at < 0 {
		if w.doubt.key == key && w.doubt.rtt > 0 {
			w.measure(w.doubt.rtt)
			w.doubt = doubt{}
		}
		return w.echoedLate(key, now), 0
	}
	f := w.flights[at]
	var gap, kept []flight
	for _, earlier := range w.flights[:at] {
		switch {
		case earlier.keyed:
			gap = append(gap, earlier)
		case f.again:
			kept = append(kept, earlier)
		default:
			done = append(done, earlier.pos)
		}
	}
	w.flights = w.flights[at+1-len(kept):]
	copy(w.flights, kept)
	if w.missed(gap, f, now) {
		w.size = max(w.size/2, min(minWindow, w.limit))
		w.recover = w.n
	}
	w.acknowledged(f, now, true)
	return append(done, f.pos), len(gap)
}

// echoedLate takes an echo of a record that is not on its way: it was taken for
// lost too early, or is the work of an earlier connection. It says nothing
// about other records.
func (w *window) echoedLate(key string, now time.Time) (done []uint64) {
	for _, list := range []*[]flight{&w.lost, &w.unsure} {
		if i := find(*list, key); i >= 0 {
			done = append(done, (*list)[i].pos)
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			w.progress = now
		}
	}
	return done
}

// ponged takes the answer to a ping that was sent behind sending n: done are
// the positions that it acknowledges. With keyless, only records without a key
// are taken, because echoes acknowledge the others.
func (w *window) ponged(n uint64, keyless bool, now time.Time) (done []uint64) {
	keep := w.flights[:0]
	for _, f := range w.flights {
		if f.n > n || (keyless && f.keyed) {
			keep = append(keep, f)
			continue
		}
		done = append(done, f.pos)
		w.acknowledged(f, now, false) // the ping has its own round trip
	}
	w.flights = keep
	return done
}

// acknowledged counts the acknowledgement of one record: one more in the window
// for each round trip in which the window was the limit.
func (w *window) acknowledged(f flight, now time.Time, timed bool) {
	w.progress = now
	if timed && !f.again {
		w.measure(now.Sub(f.at))
	}
	if timed && f.repeat {
		w.doubt = doubt{f.key, now.Sub(f.at)}
	}
	if f.n <= w.round {
		return
	}
	if w.limited && f.n > w.recover && !w.single {
		w.size = min(w.size+1, w.limit)
	}
	w.round, w.limited = w.n, false
}

// measure smooths one round trip into the estimate (RFC 6298, section 2).
func (w *window) measure(rtt time.Duration) {
	rtt = max(rtt, 1) // 0 means not measured
	if w.srtt == 0 {
		w.srtt, w.rttvar = rtt, rtt/2
		return
	}
	w.rttvar += ((w.srtt - rtt).Abs() - w.rttvar) / 4
	w.srtt += (rtt - w.srtt) / 8
}

// timeout is how long a round trip may take by all that is known (RFC 6298).
func (w *window) timeout() time.Duration { return w.srtt + 4*w.rttvar }

func (w *window) forgetRTT() { w.srtt, w.rttvar = 0, 0 }

func find(list []flight, key string) int {
	for i := range list {
		if list[i].keyed && list[i].key == key {
			return i
		}
	}
	return -1
}

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
	// What is forgotten costs a repeat that is not counted.
	maxUnsure = 4 * capacity
)

// flight is one record on its way.
type flight struct {
	pos   uint64
	data  []byte
	key   Key // of the record, if keyed
	keyed bool
	again bool // sent before: its round trip is not measured

	backlog  bool // taken from the backlog
	repeat   bool // sent again while it is still on its way
	late     bool // sent after a newer record
	marked   bool // sent with the mark of the backlog
	unmarked bool // not to be

	losses int       // without an echo so far
	counts int       // of them that are not a shortage of the server
	lostAt time.Time // when its echo was missed the last time
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

	round     uint64    // growth: a round trip ends with the first acknowledgement after this sending
	limited   bool      // growth: the window was full in this round trip
	firstLoss time.Time // of any record, the last one seen

	recover uint64 // losses of sendings up to this one belong to a halving already done

	srtt, rttvar time.Duration // smoothed as RFC 6298 says; 0 until measured
	doubt        doubt
}

// doubt is the time from the first sending of a repeated record to its echo,
// which may be the echo of either. A second echo proves that both arrived, and
// the first of them measured the round trip. Without it a server that has become
// slow would count as a fast one permanently, and each record be repeated.
type doubt struct {
	key Key
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
	i := w.lostDue(now)
	if i < 0 {
		return f, false
	}
	f = w.lost[i]
	w.lost = slices.Delete(w.lost, i, i+1)
	return f, true
}

// lostDue is the index in lost of the first record to be sent again now for
// which there is room, -1 for none.
func (w *window) lostDue(now time.Time) int {
	if !w.room() {
		return -1
	}
	roomForRare := w.rare() < max(w.open()/2, 1)
	return slices.IndexFunc(w.lost, func(f flight) bool { return !now.Before(f.hold) && (roomForRare || !f.rare()) })
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

// echoed takes the echo of a key: done are the positions that it acknowledges, gap the records sent before it that have no
// echo. They are not on their way any more: see missed. Not found: it is not on its way.
//
// Records without a key can have no echo. The echo of a later one is the best that can be known about them: the server had
// read that far. Where the later one was sent before, its echo may be that of the earlier sending, and they wait.
func (w *window) echoed(key Key, now time.Time) (f flight, done []uint64, gap []flight, found bool) {
	at := find(w.flights, key)
	if at < 0 {
		if w.doubt.key == key && w.doubt.rtt > 0 {
			w.measure(w.doubt.rtt)
			w.doubt = doubt{}
		}
		return f, nil, nil, false
	}
	f = w.flights[at]
	var kept []flight
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
	w.acknowledged(f, now, true)
	return f, append(done, f.pos), gap, true
}

// halve shrinks the window for a loss.
func (w *window) halve() {
	w.size = max(w.size/2, min(minWindow, w.limit))
	w.recover = w.n
}

// echoedLate takes an echo of a record that is not on its way: it counted
// as lost too early, or belongs to an earlier connection. It shows nothing
// about other records.
func (w *window) echoedLate(key Key, now time.Time) (done []uint64) {
	for _, list := range []*[]flight{&w.lost, &w.unsure} {
		if i := find(*list, key); i >= 0 {
			done = append(done, (*list)[i].pos)
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			w.progress = now
		}
	}
	return done
}

// ponged takes the answer to a ping that was sent after sending n, and returns the records that it covers: they are not on
// their way any more. With keyless, only records without a key are taken, because echoes acknowledge the others.
func (w *window) ponged(n uint64, keyless bool, now time.Time) (covered []flight) {
	keep := w.flights[:0]
	for _, f := range w.flights {
		if f.n > n || (keyless && f.keyed) {
			keep = append(keep, f)
			continue
		}
		covered = append(covered, f)
		w.acknowledged(f, now, false) // the ping has its own round trip
	}
	w.flights = keep
	return covered
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

func find(list []flight, key Key) int {
	for i := range list {
		if list[i].keyed && list[i].key == key {
			return i
		}
	}
	return -1
}

// A server may leave one record without an echo permanently and echo all others. Sent again at once each time, it would halve the
// window each time too, and hold it at the bottom. So a record that is lost again and again is sent more and more rarely, and
// the window ignores it. After enough of that it counts as accepted without an echo: the echoes of later records on the same
// connection prove that the application has read it.
//
// A loss counts when it was shown by the echo of a record after it on the same connection, one that had not been sent before,
// and when no record at all was lost for the first time since it was lost the last time. So an outage does not count, because
// it has no echoes; nor does a server that is overrun, because it loses new records too; nor what happens among records that
// are all being sent again.
const (
	// lossesToRare is the number of losses, the first and those without a first loss of another record beside them, after
	// which a record is no more sent again at once.
	lossesToRare = 4
	// countsToAccept losses that count end the repeats. Most of them are holdMost apart.
	countsToAccept = 8
	// holdFirst and holdMost are the pauses before a record that was lost again is sent again; they double. All together are
	// some minutes, so that no short trouble of a server makes up the whole number.
	holdFirst = time.Second
	holdMost  = 30 * time.Second
)

// class is what the echo of a record is judged with.
func (f flight) class() class {
	if f.late {
		return late
	}
	return live
}

// judged reports whether a sending counts for the judgement of its class. Repeats of one live record would count as many;
// those sent late may be few, and repeated on each connection.
func (f flight) judged() bool { return !f.again || f.late }

// rare reports whether a record is sent rarely because it was lost so often.
func (f flight) rare() bool { return f.losses > lossesToRare }

// rare is how many of them are on their way. They get half of the window: a window full of them would have no echo.
func (w *window) rare() (n int) {
	for _, f := range w.flights {
		if f.rare() {
			n++
		}
	}
	return n
}

// missed enters records without an echo before that of a later one, the witness, to be sent again, and returns those that were
// missed often enough. The window shrinks where that is news.
func (w *window) missed(gap []flight, witness flight, now time.Time) (accepted []flight) {
	first := slices.ContainsFunc(gap, func(f flight) bool { return f.losses == 0 })
	if first {
		w.firstLoss = now
	}
	news := false
	for _, f := range gap {
		if f.losses > 0 && !witness.again && !w.firstLoss.After(f.lostAt) {
			f.counts++
		}
		if f.losses == 0 || !first {
			f.losses++ // beside a first loss it may be one burst
		}
		f.lostAt = now
		if f.counts >= countsToAccept {
			accepted = append(accepted, f)
			continue
		}
		if f.rare() {
			f.hold = now.Add(min(holdFirst<<min(f.losses-lossesToRare-1, 10), holdMost))
		} else if f.n > w.recover {
			news = true
		}
		f.again, f.repeat = true, false
		w.lost = append(w.lost, f)
	}
	if news {
		w.halve()
	}
	return accepted
}

// held is when the first record that is held back may be sent again, and whether one can be sent by now: for one that has no
// room yet the writer has nothing to do.
func (w *window) held(now time.Time) (next time.Time, due bool) {
	for _, f := range w.lost {
		if now.Before(f.hold) && (next.IsZero() || f.hold.Before(next)) {
			next = f.hold
		}
	}
	return next, w.lostDue(now) >= 0
}

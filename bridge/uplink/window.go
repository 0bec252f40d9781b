package uplink

import (
	"cmp"
	"maps"
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
	// maxHeld bounds what is held of a backlog on a server that never echoes, and what is remembered of earlier connections:
	// 5 MB at the worst. Live records are not bounded: at 10 Hz they are 6,000 in ten minutes.
	maxHeld = 1 << 15
)

// flight is one record that was sent and is not done with.
type flight struct {
	pos      uint64
	data     []byte // nil while it is held, and on the next connection
	key      Key    // of the record, if keyed
	keyed    bool
	again    bool // sent before: its echo may be that of the earlier sending
	backlog  bool // taken from the backlog
	late     bool // sent after a newer record
	marked   bool // sent with the mark of the backlog
	unmarked bool // not to be

	losses int       // without an echo so far
	hold   time.Time // not to be sent again before that

	n     uint64    // ordinal of its last sending, across all connections
	first uint64    // of its first on this connection
	at    time.Time // of its last sending; of the pong that covers it
}

// window keeps the records that were sent and are not done with. It has no lock and no clock. It outlives connections:
// restart begins the next one.
//
//	sent:  held ... held │ on their way          what waits: lost
//	       [0]     covered by a pong └ [held]
type window struct {
	limit int // of size; set once

	size  int                // how many may be on their way
	sent  []*flight          // on this connection, in the order of sending
	held  int                // of sent, from the front: a pong covers them, and there is no proof yet; the others are on their way
	lost  []*flight          // their echo is missing: to be sent again, before anything new
	known map[uint64]*flight // by position: all of these, and what an earlier connection left
	begin uint64             // n when this connection began

	n        uint64    // sendings so far
	progress time.Time // of the last acknowledgement, or of the sending that ended an idle time

	round   uint64 // growth: a round trip ends with the first acknowledgement after this sending
	limited bool   // growth: the window was full in this round trip
	recover uint64 // losses of sendings up to this one belong to a halving already done

	srtt, rttvar time.Duration // smoothed as in RFC 6298; 0 until measured
	delay        time.Duration // by how much the server may hold back its short acknowledgements on this connection; 0: it echoes
}

func newWindow(limit int) window {
	w := window{limit: limit, known: map[uint64]*flight{}}
	w.restart(0)
	return w
}

// restart begins a connection: everything outstanding will come from the queue again. Records up to acked are done with.
func (w *window) restart(acked uint64) {
	for pos, f := range w.known {
		f.data, f.hold = nil, time.Time{}
		if pos <= acked {
			delete(w.known, pos)
		}
	}
	if more := len(w.known) - maxHeld; more > 0 { // what is forgotten costs a repeat that is not counted
		byAge := func(a, b *flight) int { return cmp.Compare(a.n, b.n) }
		for _, f := range slices.SortedFunc(maps.Values(w.known), byAge)[:more] {
			delete(w.known, f.pos)
		}
	}
	w.sent, w.held, w.lost = nil, 0, nil
	w.size = min(startWindow, w.limit)
	w.begin, w.round, w.recover, w.limited = w.n, w.n, w.n, false
}

// flying are the records on their way, in the order of sending.
func (w *window) flying() []*flight { return w.sent[w.held:] }

// room reports whether one more record may be on its way.
func (w *window) room() bool { return len(w.flying()) < w.size }

// backlogRoom reports whether one more record of the backlog may be on its way.
// A quarter of the window is kept for live records, so that one can go at once;
// not at the very bottom, where the backlog needs two to show a loss.
func (w *window) backlogRoom() bool {
	return len(w.flying()) < max(w.size-max(w.size/4, 1), min(w.size, minWindow))
}

// has reports whether a record was sent on this connection and is not done with.
func (w *window) has(pos uint64) bool {
	f := w.known[pos]
	return f != nil && f.n > w.begin
}

// place is as which record of this connection a sending went out, from 1.
func (w *window) place(n uint64) int { return int(n - w.begin) }

// outstanding is the number of records sent and not acknowledged, held ones included.
func (w *window) outstanding() int { return len(w.sent) + len(w.lost) }

// tail is the record that was sent last, nil if it is not on its way any more.
func (w *window) tail() *flight {
	if len(w.flying()) == 0 {
		return nil
	}
	return w.sent[len(w.sent)-1]
}

// keyless returns the oldest record on its way that can have no echo, nil for none.
func (w *window) keyless() *flight {
	for _, f := range w.flying() {
		if !f.keyed {
			return f
		}
	}
	return nil
}

// takeLost removes and returns the first record to be sent again now, if there
// is room for it.
func (w *window) takeLost(now time.Time) (f *flight, ok bool) {
	i := w.lostDue(now)
	if i < 0 {
		return nil, false
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
	rare := 0 // they get half of the window: a window full of them would have no echo
	for _, f := range w.flying() {
		if f.rare() {
			rare++
		}
	}
	roomForRare := rare < max(w.size/2, 1)
	return slices.IndexFunc(w.lost, func(f *flight) bool { return !now.Before(f.hold) && (roomForRare || !f.rare()) })
}

// heldBack is when the first record that is held back may be sent again, and whether one can be sent by now: for one that has
// no room yet the writer has nothing to do.
func (w *window) heldBack(now time.Time) (next time.Time, due bool) {
	for _, f := range w.lost {
		if now.Before(f.hold) && (next.IsZero() || f.hold.Before(next)) {
			next = f.hold
		}
	}
	return next, w.lostDue(now) >= 0
}

// sending enters a record that is about to be written, and reports whether it was sent before.
func (w *window) sending(f *flight, now time.Time) (again bool) {
	w.n++
	if f == w.tail() {
		f.n = w.n // nothing came between, so the order of sending is as before, and the round trip counts from the first sending
		return true
	}
	if was := w.known[f.pos]; was != nil {
		f.again, f.losses = true, was.losses
	}
	if len(w.flying()) == 0 {
		w.progress = now
	}
	f.n, f.at, f.first = w.n, now, cmp.Or(f.first, w.n)
	w.known[f.pos] = f
	w.sent = append(w.sent, f)
	w.limited = w.limited || !w.room() || (f.backlog && !w.backlogRoom())
	return f.again
}

// find returns the record with a key, nil for none.
func (w *window) find(key Key) *flight {
	is := func(f *flight) bool { return f.keyed && f.key == key }
	for _, list := range [][]*flight{w.flying(), w.sent[:w.held]} { // an echo is mostly that of the oldest on its way
		if i := slices.IndexFunc(list, is); i >= 0 {
			return list[i]
		}
	}
	for _, f := range w.known {
		if is(f) {
			return f
		}
	}
	return nil
}

// echoed takes the echo of a record. done are the positions that it acknowledges, its own first; gap are the records sent
// before it that were on their way and have no echo: they are taken out, see missed.
//
// The server processes a connection in order, so it has had what was sent before: what is held, and records without a key,
// which can have no echo. Where the record was sent before, its echo may be that of the earlier sending, and they wait. The
// echo of one that counted as lost too early, or that an earlier connection left, shows nothing about others.
func (w *window) echoed(f *flight, now time.Time) (done []uint64, gap []*flight) {
	w.progress = now
	done = []uint64{f.pos}
	at := slices.Index(w.sent, f)
	if at < 0 {
		w.forget(f)
		return done, nil
	}
	var kept []*flight
	held := max(w.held-at-1, 0)
	for i, g := range w.sent[:at] {
		isHeld := i < w.held
		switch {
		case g.keyed && !isHeld:
			gap = append(gap, g)
		case f.again:
			kept = append(kept, g)
			if isHeld {
				held++
			}
		default:
			done = append(done, g.pos)
			delete(w.known, g.pos)
		}
	}
	if at >= w.held {
		w.acknowledged(f, now, true)
	}
	w.held = held
	copy(w.sent[at+1-len(kept):], kept)
	w.drop(at + 1 - len(kept))
	delete(w.known, f.pos)
	return done, gap
}

// through takes a short acknowledgement: the server has had everything that was sent on this connection up to a record, which
// is what done are. Where that was sent again later on, its first sending counts.
//
// The round trip is at most the time since the record was sent. It is at least the time since the oldest was, less what the server
// may hold back. In between the estimate stays.
func (w *window) through(f *flight, now time.Time) (done []*flight) {
	held := w.held
	for i, g := range w.sent {
		if g.first > f.first {
			continue
		}
		done = append(done, g)
		if i < w.held {
			held--
		}
	}
	for _, g := range w.lost {
		if g.first <= f.first {
			done = append(done, g)
		}
	}
	if len(done) == 0 { // it is about to be sent again
		return nil
	}
	if oldest := done[0]; !f.again && !oldest.again {
		least, most := now.Sub(oldest.at)-w.delay, now.Sub(f.at)
		w.measure(min(max(cmp.Or(w.srtt, most), least), most))
	}
	w.acknowledged(f, now, false)
	isDone := func(g *flight) bool { return g.first <= f.first }
	w.sent, w.lost, w.held = slices.DeleteFunc(w.sent, isDone), slices.DeleteFunc(w.lost, isDone), held
	for _, g := range done {
		delete(w.known, g.pos)
	}
	return done
}

// drop takes the first records out of sent.
func (w *window) drop(n int) {
	clear(w.sent[:n])
	w.sent = w.sent[n:]
}

// forget removes a record that needs no acknowledgement any more.
func (w *window) forget(f *flight) {
	if i := slices.Index(w.sent, f); i >= 0 {
		w.sent = slices.Delete(w.sent, i, i+1)
		if i < w.held {
			w.held--
		}
	}
	if i := slices.Index(w.lost, f); i >= 0 {
		w.lost = slices.Delete(w.lost, i, i+1)
	}
	delete(w.known, f.pos)
}

// covered are the records on their way up to a sending: what the answer to a ping that was sent after it covers.
func (w *window) covered(n uint64) []*flight {
	i := slices.IndexFunc(w.flying(), func(f *flight) bool { return f.n > n })
	if i < 0 {
		i = len(w.flying())
	}
	return slices.Clone(w.flying()[:i])
}

// hold keeps the first records on their way until there is proof.
func (w *window) hold(records int, now time.Time) {
	for _, f := range w.flying()[:records] {
		w.acknowledged(f, now, false)
		f.at, f.data = now, nil
	}
	w.held += records
}

// unproven are the records sent on this connection that may have broken it, the likely ones first: those on their way, lost,
// and held since a time.
func (w *window) unproven(since time.Time) []*flight {
	list := slices.Concat(w.flying(), w.lost)
	for i := w.held - 1; i >= 0 && w.sent[i].at.After(since); i-- {
		list = append(list, w.sent[i])
	}
	return list
}

// matured removes what is held since a time, and returns the positions.
func (w *window) matured(since time.Time) (done []uint64) {
	for _, f := range w.sent[:w.held] {
		if f.at.After(since) {
			break
		}
		done = append(done, f.pos)
		delete(w.known, f.pos)
	}
	w.drop(len(done))
	w.held -= len(done)
	return done
}

// acknowledged counts the acknowledgement of one record: one more in the window
// for each round trip in which the window was the limit.
func (w *window) acknowledged(f *flight, now time.Time, timed bool) {
	w.progress = now
	if timed && !f.again {
		w.measure(now.Sub(f.at))
	}
	if f.n <= w.round {
		return
	}
	if w.limited && f.n > w.recover {
		w.size = min(w.size+1, w.limit)
	}
	w.round, w.limited = w.n, false
}

// measure smooths one round trip into the estimate (RFC 6298, section 2). That of a record that was sent once more meanwhile
// counts from its first sending: too long, where that was lost, is better than to take a slow server for a fast one.
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

// A server may leave one record without an echo permanently and echo all others. Sent again at once each time, it would halve the
// window each time too, and hold it at the bottom. So a record that is lost again and again is sent more and more rarely, and
// the window ignores it. After enough of that it counts as accepted without an echo: the echoes of later records on the same
// connection prove that the application has read it.
const (
	// lossesToRare is the number of losses after which a record is no more sent again at once.
	lossesToRare = 4
	// lossesToAccept is the number of losses that end the repeats, the last of them shown by the echo of a record that was
	// sent once. Most of them are holdMost apart.
	lossesToAccept = 12
	// holdFirst and holdMost are the pauses before a record that was lost again is sent again; they double. All together are
	// some minutes, so that no short trouble of a server makes up the whole number.
	holdFirst = time.Second
	holdMost  = 30 * time.Second
)

// class is what the echo of a record is judged with.
func (f *flight) class() class {
	if f.late {
		return late
	}
	return live
}

// rare reports whether a record is sent rarely because it was lost so often.
func (f *flight) rare() bool { return f.losses > lossesToRare }

// missed enters records without an echo before that of a later one, the witness, to be sent again, and returns the positions
// of those that were missed often enough. The window shrinks where that is news.
func (w *window) missed(gap []*flight, witness *flight, now time.Time) (accepted []uint64) {
	news := false
	for _, f := range gap {
		if f.losses++; f.losses >= lossesToAccept && !witness.again {
			delete(w.known, f.pos)
			accepted = append(accepted, f.pos)
			continue
		}
		if f.rare() {
			f.hold = now.Add(min(holdFirst<<min(f.losses-lossesToRare-1, 10), holdMost))
		} else if f.n > w.recover {
			news = true
		}
		f.again = true
		w.lost = append(w.lost, f)
	}
	if news {
		w.size = max(w.size/2, min(minWindow, w.limit))
		w.recover = w.n
	}
	return accepted
}

package delivery

import (
	"fmt"
	"sync"
	"time"
)

// ledger knows of each fix when the receiver gave it, when the server's application had it, and what became of it on the way.
// It is what the invariants are checked on.
type ledger struct {
	start time.Time

	mu       sync.Mutex
	runs     map[string]*run
	order    []*run
	process  time.Duration // when the device's process began
	findings []string
	found    map[string]int // findings of a kind
	repeats  int
}

// run is what one start of the device has given.
type run struct {
	id      string
	device  string // ID
	fixes   []fix  // that with seq 1 first
	strict  bool   // the order of what is not marked is checked
	ackable bool   // an acknowledgement without the application is what the configuration asks for

	connection int // the newest on which a fix came that is not marked
	newest     int // seq of those fixes
}

// fix is the life of one message. Times are since the start of the simulation, and 0 is never.
type fix struct {
	given    time.Duration
	received time.Duration // by the server, into its memory; the first time
	seen     time.Duration // by its application, the first time
	stored   time.Duration // the same, the last time
	acked    bool
	ackedAt  time.Duration
	gone     bool   // the application has lost it since, and has not seen it again
	excused  string // why it may be lost
}

func newLedger() *ledger {
	return &ledger{start: time.Now(), runs: map[string]*run{}, found: map[string]int{}}
}

func (l *ledger) now() time.Duration { return time.Since(l.start) + 1 } // never 0

// eachKind bounds the findings of one kind that are shown.
const eachKind = 5

// find notes that an invariant is broken. mu is held.
func (l *ledger) find(kind, format string, args ...any) {
	l.found[kind]++
	if l.found[kind] <= eachKind {
		l.findings = append(l.findings, fmt.Sprintf("%s  %s: %s", clock(l.now()), kind, fmt.Sprintf(format, args...)))
	}
}

// finding is find for others.
func (l *ledger) finding(kind, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.find(kind, format, args...)
}

// begin enters a run.
func (l *ledger) begin(id, device string, strict, ackable bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &run{id: id, device: device, strict: strict, ackable: ackable}
	l.runs[id] = r
	l.order = append(l.order, r)
}

// gave enters the next fix of a run.
func (l *ledger) gave(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.runs[id]
	r.fixes = append(r.fixes, fix{given: l.now()})
}

// get returns a fix, nil for one that was never given. mu is held.
func (l *ledger) get(k key) *fix {
	r := l.runs[k.Run]
	if r == nil || k.Seq < 1 || k.Seq > len(r.fixes) {
		return nil
	}
	return &r.fixes[k.Seq-1]
}

// received takes a message into the server's memory. It checks that it is in the right group, and that what is not marked as
// late only moves forward: within a connection, and from one to the next.
func (l *ledger) received(m message, group string, connection int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, r := l.get(m.key), l.runs[m.Run]
	if f == nil {
		l.find("unknown", "the server got %v, which no receiver gave", m.key)
		return
	}
	repeat := f.received > 0
	if repeat {
		l.repeats++
	} else {
		f.received = l.now()
	}
	if group != r.device || m.Device != r.device {
		l.find("group", "%v of device %s came to the group of %s, as of %s", m.key, r.device, group, m.Device)
	}
	if m.Backlog || repeat || !r.strict { // a repeat is dropped by its key, wherever it comes
		return
	}
	switch {
	case connection < r.connection: // what an earlier connection still had on its way
		return
	case connection > r.connection:
		r.connection = connection
	}
	if m.Seq < r.newest {
		l.find("order", "%v came unmarked on connection %d after %d", m.key, connection, r.newest)
	}
	r.newest = max(r.newest, m.Seq)
}

// saw is the application of the server having processed a message.
func (l *ledger) saw(k key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.get(k)
	if f == nil {
		return
	}
	f.gone = false
	if f.seen == 0 {
		f.seen = l.now()
	}
	f.stored = l.now()
}

// storeLost is the application losing what it has stored for some time. It may lose for good what was acknowledged to an earlier process of the
// device, or longer ago.
func (l *ledger) storeLost(lately time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.order {
		for i := range r.fixes {
			f := &r.fixes[i]
			if f.stored == 0 || l.now()-f.stored > lately {
				continue
			}
			f.gone = true
			if f.acked && (f.ackedAt < l.process || l.now()-f.ackedAt > lately) {
				f.excused = "acknowledged to an earlier process, or long ago"
			}
		}
	}
}

// restarted is another process of the device: what was acknowledged to those before does not come again.
func (l *ledger) restarted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.process = l.now()
	for _, r := range l.order {
		for i := range r.fixes {
			if f := &r.fixes[i]; f.gone && f.acked {
				f.excused = "acknowledged to an earlier process, and lost by the server then"
			}
		}
	}
}

// acked is the device giving a fix up as delivered. retain is how long it may have relied on a pong.
func (l *ledger) acked(k key, retain time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.get(k)
	if f == nil {
		return
	}
	f.acked, f.ackedAt = true, l.now()
	switch {
	case f.seen > 0, f.excused != "", l.runs[k.Run].ackable:
	case f.received > 0 && l.now()-f.received >= retain:
		f.excused = "the server kept it unprocessed for longer than retain"
	default:
		l.find("acknowledged", "%v was acknowledged, and the application never saw it", k)
	}
}

// excuse states why a fix may be lost.
func (l *ledger) excuse(k key, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.get(k); f != nil {
		f.excused = why
	}
}

// powerCut excuses what was given last and is not acknowledged.
func (l *ledger) powerCut(within time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.order {
		for i := range r.fixes {
			if f := &r.fixes[i]; !f.acked && l.now()-f.given <= within {
				f.excused = "given just before a power cut"
			}
		}
	}
}

// checkLost counts what the application never saw, beyond what a full spool has dropped.
func (l *ledger) checkLost(dropped uint64) (given, lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := key{}
	for _, r := range l.order {
		given += len(r.fixes)
		for i, f := range r.fixes {
			if (f.seen == 0 || f.gone) && f.excused == "" && !(r.ackable && f.acked) {
				if lost++; lost == 1 {
					first = key{r.id, i + 1}
				}
			}
		}
	}
	if uint64(lost) > dropped {
		f := l.get(first)
		l.find("lost", "%d of %d fixes, %d of them dropped by a full spool; the first is %v of %s (received %s, acknowledged %v)",
			lost, given, dropped, first, clock(f.given), clock(f.received), f.acked)
	}
	return given, lost
}

// checkLive compares the delay of fixes that were given outside of troubles with a limit.
func (l *ledger) checkLive(troubles []interval, limit time.Duration) (expected, late int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var firstLate key
	for _, r := range l.order {
		for i, f := range r.fixes {
			if f.excused != "" || within(troubles, f.given, f.given+limit) {
				continue
			}
			expected++
			if f.seen == 0 || f.seen-f.given > limit {
				if late++; late == 1 {
					firstLate = key{r.id, i + 1}
				}
			}
		}
	}
	if late > liveLeast && float64(late) > liveShare*float64(expected) {
		f := l.get(firstLate)
		l.find("live", "%d of %d fixes came later than %s while the server accepted; the first is %v, given at %s, processed at %s",
			late, expected, limit, firstLate, clock(f.given), clock(f.seen))
	}
	return expected, late
}

// Of the live fixes 95 % must be in time, and in a short world all but a few.
const (
	liveShare = 0.05
	liveLeast = 5
)

// interval is a time since the start.
type interval struct{ from, to time.Duration }

func within(all []interval, from, to time.Duration) bool {
	for _, i := range all {
		if from < i.to && to > i.from {
			return true
		}
	}
	return false
}

// checkRate reports more than most events in any minute, and returns the largest number.
func (l *ledger) checkRate(kind string, at []time.Time, most int) (largest int) {
	first := 0
	for i, t := range at {
		for t.Sub(at[first]) >= time.Minute {
			first++
		}
		n := i - first + 1
		if n > most && largest <= most {
			l.finding(kind, "%d within the minute to %s, at most %d should be", n, clock(t.Sub(l.start)), most)
		}
		largest = max(largest, n)
	}
	return largest
}

// clock is a time since the start for people.
func clock(d time.Duration) string {
	if d == 0 {
		return "never"
	}
	d = d.Round(10 * time.Millisecond)
	return fmt.Sprintf("%d:%02d:%05.2f", int(d.Hours()), int(d.Minutes())%60, (d % time.Minute).Seconds())
}

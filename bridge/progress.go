package bridge

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gpsbridge/bridge/uplink"
)

// loop is one of those that do the daemon's work. At each turn it says within which time it will be back.
type loop struct {
	name  string
	start time.Time    // with the monotonic clock: a board without a clock of its own sets its time by decades
	due   atomic.Int64 // nanoseconds from start; 0: nothing was promised
}

// turn is called by the loop; within 0 is no promise.
func (l *loop) turn(within time.Duration) {
	if within == 0 {
		l.due.Store(0)
		return
	}
	l.due.Store(int64(time.Since(l.start) + within))
}

// overdue is for how long the loop has not kept its word.
func (l *loop) overdue() time.Duration {
	due := l.due.Load()
	if due == 0 {
		return 0
	}
	return max(0, time.Since(l.start)-time.Duration(due))
}

// loops are those of a daemon.
type loops struct {
	mu  sync.Mutex
	all []*loop
}

func (ls *loops) add(name string) *loop {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := &loop{name: name, start: time.Now()}
	ls.all = append(ls.all, l)
	return l
}

// loopGrace is what a loop may be late by: a machine under load, and a burst that waits up to 10 s for a slow card.
const loopGrace = 20 * time.Second

// hung says which loops do not turn any more.
func (ls *loops) hung() error {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var errs []error
	for _, l := range ls.all {
		if late := l.overdue(); late > loopGrace {
			errs = append(errs, fmt.Errorf("%s hangs for %v", l.name, late.Round(time.Second)))
		}
	}
	return errors.Join(errs...)
}

// idleSender is how long an uplink may hold nothing on the way while something waits: a record that the server swallowed is
// held back for 30 s at the most.
const idleSender = 2 * time.Minute

// Progress tells for the watchdog whether the daemon still does its work. It is not safe for use by several goroutines.
type Progress struct {
	d     *Daemon
	said  string
	sent  []uint64    // of each uplink
	since []time.Time // when it last sent, or had no reason to
}

// Progress returns what watches the daemon.
func (d *Daemon) Progress() *Progress { return &Progress{d: d} }

// Made says whether every part made progress, and logs which did not. It does not return while a lock is held for ever,
// which says the same as false. A receiver or a server that is missing is no lack of progress: looking for it is the work.
func (p *Progress) Made() bool {
	err := errors.Join(p.d.loops.hung(), p.sending(p.d.Status(), time.Now()))
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && p.said == "" {
		p.d.log.Error("no progress, systemd is to start the daemon anew", "err", err)
	}
	p.said = text
	return err == nil
}

// sending finds an uplink that is connected, has something to send, and sends nothing.
func (p *Progress) sending(st Status, now time.Time) error {
	if len(p.sent) != len(st.Uplinks) {
		p.sent, p.since = make([]uint64, len(st.Uplinks)), slices.Repeat([]time.Time{now}, len(st.Uplinks))
	}
	var errs []error
	for i, u := range st.Uplinks {
		idle := u.State == uplink.Connected && u.Behind > 0 && u.Outstanding == 0 && u.Sent == p.sent[i]
		if !idle {
			p.sent[i], p.since[i] = u.Sent, now
		} else if stuck := now.Sub(p.since[i]); stuck > idleSender {
			errs = append(errs, fmt.Errorf("uplink %s sends nothing of %d for %v", u.Name, u.Behind, stuck.Round(time.Second)))
		}
	}
	return errors.Join(errs...)
}

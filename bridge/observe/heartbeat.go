package observe

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/uplink"
)

// loop is one of the loops that do the daemon's work. At each beat it states within which time the next one comes.
type loop struct {
	name  string
	start time.Time    // with the monotonic clock: a board without a battery sets its system time forward by decades
	due   atomic.Int64 // of the next beat, in nanoseconds from start; 0: none is expected
}

// beat is called by the loop; with 0 no further beat is expected.
func (l *loop) beat(within time.Duration) {
	if within == 0 {
		l.due.Store(0)
		return
	}
	l.due.Store(int64(time.Since(l.start) + within))
}

// overdue is for how long a beat has been missing.
func (l *loop) overdue() time.Duration {
	due := l.due.Load()
	if due == 0 {
		return 0
	}
	return max(0, time.Since(l.start)-time.Duration(due))
}

// Beats are the heartbeats of a daemon's loops. The zero value is ready.
type Beats struct {
	mu  sync.Mutex
	all []*loop
}

// Add returns what a loop calls at each iteration, with the time within which it will call again; 0 for none.
func (b *Beats) Add(name string) func(within time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &loop{name: name, start: time.Now()}
	b.all = append(b.all, l)
	return l.beat
}

// loopGrace is how late a beat may be: a machine under load, and a burst that waits up to 10 s for a slow SD card.
const loopGrace = 20 * time.Second

// hung names the loops whose beat is missing.
func (b *Beats) hung() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, l := range b.all {
		if late := l.overdue(); late > loopGrace {
			errs = append(errs, fmt.Errorf("%s hangs for %v", l.name, late.Round(time.Second)))
		}
	}
	return errors.Join(errs...)
}

// idleSender is how long an uplink may have nothing on the way while something waits: a record that the server did not echo
// is held back for 30 s at the most.
const idleSender = 2 * time.Minute

// Progress reports to the watchdog whether the daemon still does its work. It is not safe for use by several goroutines.
type Progress struct {
	beats   *Beats
	status  func() Status
	log     *slog.Logger
	changes problem.Changes
	sent    []uint64    // of each uplink
	since   []time.Time // when it last sent, or had no reason to
}

// NewProgress returns what watches a daemon.
func NewProgress(beats *Beats, status func() Status, log *slog.Logger) *Progress {
	return &Progress{beats: beats, status: status, log: log}
}

// Made reports whether every part made progress, and logs which did not. It does not return while a lock is held for good,
// which means the same as false. A missing receiver or server is not a lack of progress: looking for it is the work.
func (p *Progress) Made() bool {
	now := time.Now()
	err := errors.Join(p.beats.hung(), p.sending(p.status(), now))
	if worth, _ := p.changes.Report(problem.Of(err), now); worth && err != nil {
		p.log.Error("no progress, systemd is to restart the daemon", "err", err)
	}
	return err == nil
}

// sending finds an uplink that is connected, has something to send, and sends nothing.
func (p *Progress) sending(st Status, now time.Time) error {
	if len(p.sent) != len(st.Uplinks) {
		p.sent, p.since = make([]uint64, len(st.Uplinks)), slices.Repeat([]time.Time{now}, len(st.Uplinks))
	}
	var errs []error
	for i, u := range st.Uplinks {
		idle := u.State == uplink.Connected && u.Behind > u.HeldBack && u.Outstanding == 0 && u.Sent == p.sent[i]
		if !idle {
			p.sent[i], p.since[i] = u.Sent, now
		} else if stuck := now.Sub(p.since[i]); stuck > idleSender {
			errs = append(errs, fmt.Errorf("uplink %s sends nothing of %d for %v", u.Name, u.Behind, stuck.Round(time.Second)))
		}
	}
	return errors.Join(errs...)
}

package pipeline

import (
	"slices"
	"time"

	"gpsbridge/nmea"
)

const (
	// gapShare, of its own interval, is how late the feeding receiver may be before another one that has an epoch takes
	// over: one missing epoch is noticed, the jitter of a full line is not.
	gapShare = 1.5
	// minGap and maxGap bound the interval that is assumed: 25 Hz with a margin for a machine under load, and a receiver
	// that has just begun. firstGap is assumed until there are two epochs.
	minGap, maxGap, firstGap = 200 * time.Millisecond, 5 * time.Second, time.Second
	// betterFor is how long another receiver's fix must have been the better one. Receivers under trees change
	// between differential and plain every few seconds, and each change of receiver is a jump of some metres.
	betterFor = 10 * time.Second
	// rhythmEpochs is the number of epochs in which a slower rate is learned. A receiver that leaves out every other one by chance makes
	// number of gaps noted long gaps in a row once in 65536 times.
	rhythmEpochs = 16
	// heldEpochs bounds what is kept of a receiver that does not feed: for as long as one at maxGap may be late, of 10 Hz.
	heldEpochs = 75
	// sameClock is how far two receivers' times may differ and still be compared. One that is 1024 weeks off is not.
	sameClock = time.Hour
)

// candidate is what a failover knows of one receiver.
type candidate struct {
	grade  int
	last   epoch
	gaps   [rhythmEpochs]time.Duration // between the last epochs
	epochs int                         // number of gaps noted
	better time.Time                   // since when its fix has been better than the feeding receiver's; zero while it is not
	held   []epoch                     // those that came since the last one that was forwarded
}

type epoch struct {
	fix nmea.Fix
	at  time.Time
}

// failover decides which of several receivers feeds a device ID: the one with the best fix, and among equals the one that
// is configured first. Every epoch is forwarded at most once, whichever receiver sent it: one that takes over begins with what
// came from it since the last forwarded epoch. It has no clock; make one with newFailover.
type failover struct {
	receivers []candidate
	begun     time.Time // the first epoch of any came
	feeding   int
	last      epoch // the last that was forwarded
	others    bool  // another receiver than the one that feeds may have sent it
	takeovers int   // times that another receiver took over
}

func newFailover(receivers int) *failover {
	o := &failover{}
	for range receivers {
		o.add()
	}
	return o
}

// add takes one more receiver into account; none may have sent an epoch yet.
func (o *failover) add() {
	var r candidate
	for k := range r.gaps {
		r.gaps[k] = firstGap
	}
	o.receivers = append(o.receivers, r)
}

// epoch notes an epoch of receiver i, which came now, and calls forward with each epoch that is to be forwarded. It returns why
// another receiver feeds from here on, "" while it is the same.
func (o *failover) epoch(i int, f *nmea.Fix, now time.Time, forward func(*nmea.Fix)) (why string) {
	if len(o.receivers) == 1 {
		forward(f)
		return ""
	}
	r, e := &o.receivers[i], epoch{*f, now}
	if o.begun.IsZero() {
		o.begun = now
	}
	r.note(e)
	if i != o.feeding {
		o.hold(r, e)
		if why = o.reason(r, i, now); why != "" {
			o.switchTo(i, forward)
		}
		return why
	}
	if r.grade == 0 {
		if other, found := o.substitute(now); found {
			o.switchTo(other, forward)
			o.hold(r, e) // in case the other leaves it out
			return "the fix was lost"
		}
	}
	if o.last.at.IsZero() || e.since(&o.last) > r.overdueAfter() {
		o.catchUp(&e, forward)
	}
	if o.others && !e.after(&o.last, r.interval()) {
		return ""
	}
	o.last, o.others = e, false
	forward(f)
	return ""
}

// reason returns why receiver i, which has just sent an epoch, is to take over; "" if it is not.
func (o *failover) reason(r *candidate, i int, now time.Time) string {
	feeding := &o.receivers[o.feeding]
	switch {
	case o.late(feeding, now):
		return "it is silent"
	case r.grade > 0 && feeding.grade == 0 && !feeding.last.at.IsZero():
		return "it has no fix"
	case r.grade < feeding.grade || r.grade == feeding.grade && (r.grade == 0 || i > o.feeding):
		r.better = time.Time{}
	case r.better.IsZero():
		r.better = now
	case now.Sub(r.better) >= betterFor:
		return "the other's fix is better"
	}
	return ""
}

// substitute is the receiver with the best fix among those that are not late.
func (o *failover) substitute(now time.Time) (best int, found bool) {
	for i := range o.receivers {
		r := &o.receivers[i]
		if i == o.feeding || r.grade == 0 || o.late(r, now) {
			continue
		}
		if !found || r.grade > o.receivers[best].grade {
			best, found = i, true
		}
	}
	return best, found
}

// switchTo makes receiver i the one that feeds and forwards what came since the last forwarded epoch.
func (o *failover) switchTo(i int, forward func(*nmea.Fix)) {
	o.feeding = i
	o.takeovers++
	o.catchUp(nil, forward)
	for k := range o.receivers {
		o.receivers[k].better = time.Time{}
	}
	o.receivers[i].held = o.receivers[i].held[:0]
}

// catchUp forwards the held epochs between the last forwarded one and end, oldest first; of several that are the same epoch,
// the best. With nil there is no end.
func (o *failover) catchUp(end *epoch, forward func(*nmea.Fix)) {
	for {
		var next *epoch
		interval := firstGap
		for i := range o.receivers {
			r := &o.receivers[i]
			for k := range r.held {
				h := &r.held[k]
				if !h.after(&o.last, r.interval()) || end != nil && !end.after(h, r.interval()) {
					continue
				}
				sooner := next == nil || next.after(h, interval)
				same := next != nil && !h.after(next, interval)
				if sooner || same && grade(&h.fix) > grade(&next.fix) {
					next, interval = h, r.interval()
				}
			}
		}
		if next == nil {
			return
		}
		o.last, o.others = *next, true
		forward(&o.last.fix)
	}
}

// hold keeps an epoch of a receiver that does not feed, and forgets those that another receiver's were forwarded for.
func (o *failover) hold(r *candidate, e epoch) {
	kept := r.held[:0]
	for _, h := range r.held {
		if h.after(&o.last, r.interval()) {
			kept = append(kept, h)
		}
	}
	if len(kept) == heldEpochs {
		kept = append(kept[:0], kept[1:]...)
	}
	r.held = append(kept, e)
}

// since is the time from epoch b to e by the receivers' times, or, where these cannot be compared, by their arrival.
func (e *epoch) since(b *epoch) time.Duration {
	if d := e.fix.Time.Sub(b.fix.Time); !e.fix.Time.IsZero() && !b.fix.Time.IsZero() && d.Abs() < sameClock {
		return d
	}
	return e.at.Sub(b.at)
}

// after reports whether e is a later epoch than b: two receivers state one epoch within half of their interval.
func (e *epoch) after(b *epoch, interval time.Duration) bool {
	return b.at.IsZero() || e.since(b) > interval/2
}

// note takes an epoch of the receiver into account.
func (r *candidate) note(e epoch) {
	if !r.last.at.IsZero() {
		if gap := e.since(&r.last); gap > 0 {
			r.gaps[r.epochs%rhythmEpochs] = gap
			r.epochs++
		}
	}
	r.last, r.grade = e, grade(&e.fix)
}

// interval is the time between two epochs: the shortest of the last ones, so that a receiver that leaves some out does not
// count as a slower one.
func (r *candidate) interval() time.Duration {
	return min(max(slices.Min(r.gaps[:]), minGap), maxGap)
}

// overdueAfter is how long after an epoch the next one is late.
func (r *candidate) overdueAfter() time.Duration {
	return time.Duration(gapShare * float64(r.interval()))
}

// late reports whether the next epoch of a receiver is overdue.
func (o *failover) late(r *candidate, now time.Time) bool {
	since := r.last.at
	if since.IsZero() {
		since = o.begun
	}
	return now.Sub(since) > r.overdueAfter()
}

// grade orders fixes by what is known of their quality: 0 without a position.
func grade(f *nmea.Fix) int {
	if f.Mode < nmea.Mode2D {
		return 0
	}
	g := 10 // estimated, simulated, or not stated
	switch f.Status {
	case nmea.StatusGPS, nmea.StatusPPS, nmea.StatusGNSSDR:
		g = 20
	case nmea.StatusDGPS:
		g = 30
	case nmea.StatusRTKFloat:
		g = 40
	case nmea.StatusRTKFixed, nmea.StatusSurveyed:
		g = 50
	}
	if f.Mode == nmea.Mode3D {
		g++
	}
	return g
}

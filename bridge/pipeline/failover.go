package pipeline

import (
	"slices"
	"time"

	"gpsbridge/nmea"
)

const (
	// gapShare of its own rhythm is how long the feeding receiver may be late before another one that has an epoch takes
	// over: one missing epoch is noticed, the jitter of a full line is not.
	gapShare = 1.5
	// minGap and maxGap bound the rhythm that is believed: 25 Hz with a margin for a machine under load, and a receiver
	// that has just begun. firstGap is assumed until there are two epochs.
	minGap, maxGap, firstGap = 200 * time.Millisecond, 5 * time.Second, time.Second
	// patienceForBetter is how long another receiver's fix must have been the better one. Receivers under trees change
	// between differential and plain every few seconds, and each change of receiver is a jump of some metres.
	patienceForBetter = 10 * time.Second
	// rhythmEpochs is in how many epochs a slower rate is learned. A receiver that leaves out every other one by chance makes
	// so many long gaps in a row once in 65536 times.
	rhythmEpochs = 16
	// heldEpochs bounds what is kept of a receiver that stands by: for as long as one at maxGap may be late, of 10 Hz.
	heldEpochs = 75
	// sameClock is how far two receivers' times may differ and still be compared. One that is 1024 weeks off is not.
	sameClock = time.Hour
)

// standing is what a failover knows of one receiver.
type standing struct {
	grade  int
	last   epoch
	gaps   [rhythmEpochs]time.Duration // between the last epochs
	epochs int                         // so many
	better time.Time                   // since when its fix has been better than that of the one that feeds; zero while it is not
	held   []epoch                     // those that came since the last one that went on
}

type epoch struct {
	fix nmea.Fix
	at  time.Time
}

// failover decides which of several receivers feeds a device ID: the one with the best fix, and among equals the one that
// is named first. Every epoch goes on at most once, whichever receiver tells of it: one that takes over begins with what
// it had heard since the last epoch that went on. It has no clock; the zero value is not ready, see newFailover.
type failover struct {
	receivers []standing
	begun     time.Time // the first epoch of any came
	feeding   int
	last      epoch // the last that went on
	others    bool  // another than the one that feeds may have told of it
	taken     int   // times that another receiver took over
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
	var r standing
	for k := range r.gaps {
		r.gaps[k] = firstGap
	}
	o.receivers = append(o.receivers, r)
}

// epoch takes an epoch of receiver i, which came now, and calls forward with each epoch that is to go on. It says why the
// receiver that feeds is another one from here on, "" while it is the same.
func (o *failover) epoch(i int, f *nmea.Fix, now time.Time, forward func(*nmea.Fix)) (why string) {
	if len(o.receivers) == 1 {
		forward(f)
		return ""
	}
	r, e := &o.receivers[i], epoch{*f, now}
	if o.begun.IsZero() {
		o.begun = now
	}
	r.tell(e)
	if i != o.feeding {
		o.hold(r, e)
		if why = o.reason(r, i, now); why != "" {
			o.take(i, forward)
		}
		return why
	}
	if r.grade == 0 {
		if other, found := o.substitute(now); found {
			o.take(other, forward)
			o.hold(r, e) // should the other leave it out
			return "the fix was lost"
		}
	}
	if o.last.at.IsZero() || e.since(&o.last) > r.patience() {
		o.catchUp(&e, forward)
	}
	if o.others && !e.after(&o.last, r.rhythm()) {
		return ""
	}
	o.last, o.others = e, false
	forward(f)
	return ""
}

// reason says why receiver i, which has just told of an epoch, is to take over; "" if it is not.
func (o *failover) reason(r *standing, i int, now time.Time) string {
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
	case now.Sub(r.better) >= patienceForBetter:
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

// take makes receiver i the one that feeds and forwards what was told since the last epoch that went on.
func (o *failover) take(i int, forward func(*nmea.Fix)) {
	o.feeding = i
	o.taken++
	o.catchUp(nil, forward)
	for k := range o.receivers {
		o.receivers[k].better = time.Time{}
	}
	o.receivers[i].held = o.receivers[i].held[:0]
}

// catchUp forwards the held epochs between the last one that went on and end, oldest first, of several that are the same
// the best; nil is no end.
func (o *failover) catchUp(end *epoch, forward func(*nmea.Fix)) {
	for {
		var next *epoch
		rhythm := firstGap
		for i := range o.receivers {
			r := &o.receivers[i]
			for k := range r.held {
				h := &r.held[k]
				if !h.after(&o.last, r.rhythm()) || end != nil && !end.after(h, r.rhythm()) {
					continue
				}
				sooner := next == nil || next.after(h, rhythm)
				same := next != nil && !h.after(next, rhythm)
				if sooner || same && grade(&h.fix) > grade(&next.fix) {
					next, rhythm = h, r.rhythm()
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

// hold keeps an epoch of a receiver that stands by, and forgets those that went on by another.
func (o *failover) hold(r *standing, e epoch) {
	kept := r.held[:0]
	for _, h := range r.held {
		if h.after(&o.last, r.rhythm()) {
			kept = append(kept, h)
		}
	}
	if len(kept) == heldEpochs {
		kept = append(kept[:0], kept[1:]...)
	}
	r.held = append(kept, e)
}

// since is the time from epoch b to e, by the receivers' times, and where these cannot be compared by when they came.
func (e *epoch) since(b *epoch) time.Duration {
	if d := e.fix.Time.Sub(b.fix.Time); !e.fix.Time.IsZero() && !b.fix.Time.IsZero() && d.Abs() < sameClock {
		return d
	}
	return e.at.Sub(b.at)
}

// after says whether e is a later epoch than b: two receivers tell of one within half of their rhythm.
func (e *epoch) after(b *epoch, rhythm time.Duration) bool {
	return b.at.IsZero() || e.since(b) > rhythm/2
}

// tell notes an epoch.
func (r *standing) tell(e epoch) {
	if !r.last.at.IsZero() {
		if gap := e.since(&r.last); gap > 0 {
			r.gaps[r.epochs%rhythmEpochs] = gap
			r.epochs++
		}
	}
	r.last, r.grade = e, grade(&e.fix)
}

// rhythm is the time between two epochs: the least of late, so that a receiver that leaves some out is not taken for a
// slower one.
func (r *standing) rhythm() time.Duration {
	return min(max(slices.Min(r.gaps[:]), minGap), maxGap)
}

// patience is how long after an epoch the next one is late.
func (r *standing) patience() time.Duration { return time.Duration(gapShare * float64(r.rhythm())) }

// late says that the next epoch of a receiver ought to have come.
func (o *failover) late(r *standing, now time.Time) bool {
	since := r.last.at
	if since.IsZero() {
		since = o.begun
	}
	return now.Sub(since) > r.patience()
}

// grade orders fixes by what is known of their quality: 0 without a position.
func grade(f *nmea.Fix) int {
	if f.Mode < nmea.Mode2D {
		return 0
	}
	g := 10 // estimated, simulated, or nobody says how
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

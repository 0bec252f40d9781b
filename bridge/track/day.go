package track

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"sync"
	"time"
)

// Day keeps the track of one device over the 24 hours before its newest fix: every fix of the last ten minutes, then one for each
// 2 s, and after an hour one for each 10 s, the one that shows best where the way turns. It knows no clock: times are those of the
// fixes. Its memory is bounded whatever the receiver's rate is: 18,500 points of 35 bytes. It may be used from any goroutine, and
// no Day (nil) keeps nothing.
type Day struct {
	mu     sync.Mutex
	points []packed // each is later than the one before
	way    way      // to the next fix
	room   int      // how many points there may be until they are thinned
	fresh  bool     // there are points that no file has
}

// The points of a Day.
const (
	dayLength  = 24 * time.Hour
	fullFor    = 10 * time.Minute // age up to which every fix is kept, while it is among the fullPoints newest
	fullPoints = 6000             // of fullFor at 10 Hz
	hourStep   = 2 * time.Second  // between points up to an hour old: half a pixel of a chart of an hour
	dayStep    = 10 * time.Second // between older ones: 8640 in 24 h
	thinEvery  = 2000             // points are added until all are thinned again
	mostPoints = 18_500           // fullPoints, 1800 of an hour and 8640 of a day, thinEvery, and one for each bound between them
	// late is how much older than the newest a fix may be that is only late, as of a second receiver. It is left out. With one that is
	// older still another calendar begins: the receiver has corrected its date, or a recording starts over.
	late = time.Minute
)

// NewDay returns a track without fixes.
func NewDay() *Day { return &Day{points: make([]packed, 0, mostPoints), room: thinEvery} }

// Len is how many points are kept.
func (d *Day) Len() int {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.points)
}

// Add adds a fix, and keeps nothing that it points to. A fix without a position breaks the track. One without a time is left out.
func (d *Day) Add(p Point) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.placed() && p.Time.IsZero() {
		return
	}
	if n := len(d.points); n > 0 && p.placed() {
		newest := d.points[n-1].time()
		if at := p.Time.UnixMilli(); at < newest-late.Milliseconds() {
			d.points, d.way, d.room = d.points[:0], way{}, thinEvery
		} else if at <= newest {
			return
		}
	}
	known := d.way.to(&p)
	if !p.placed() {
		return
	}
	d.points = append(d.points, pack(&p, known))
	d.fresh = true
	if len(d.points) >= d.room {
		d.thin()
		d.room = len(d.points) + thinEvery
	}
}

// Points are the fixes from one time on and before another, zero for no bound, oldest first. Reading them holds neither a lock nor
// a copy of them all, however slow the reader is.
func (d *Day) Points(from, to time.Time) iter.Seq[Point] {
	// A time of a point is in whole milliseconds, so that the bounds can be the next ones.
	next, end := int64(math.MinInt64), int64(math.MaxInt64)
	if !from.IsZero() {
		next = from.Add(time.Millisecond - 1).UnixMilli()
	}
	if !to.IsZero() {
		end = to.Add(time.Millisecond - 1).UnixMilli()
	}
	return func(yield func(Point) bool) {
		for page := range d.pages(next, end) {
			for _, k := range page {
				if !yield(k.point()) {
					return
				}
			}
		}
	}
}

// pages are the points from a time on, and before another, in milliseconds since 1970. A page is valid until the next one.
func (d *Day) pages(next, end int64) iter.Seq[[]packed] {
	return func(yield func([]packed) bool) {
		page := make([]packed, 256)
		for n := len(page); n == len(page); {
			n = d.page(page, next, end)
			if n == 0 || !yield(page[:n]) {
				return
			}
			next = page[n-1].time() + 1
		}
	}
}

// page copies points from a time on, and before another, and returns how many.
func (d *Day) page(to []packed, next, end int64) int {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.points) == 0 {
		return 0
	}
	next = max(next, d.points[len(d.points)-1].time()-dayLength.Milliseconds())
	first := from(d.points, next)
	return copy(to, d.points[first:max(first, from(d.points, end))])
}

// from is the place of the first point at a time or after it.
func from(points []packed, at int64) int {
	i, _ := slices.BinarySearchFunc(points, at, func(k packed, at int64) int { return cmp.Compare(k.time(), at) })
	return i
}

// thin leaves as many points as their age allows. Where points go the next one knows whether all ways up to it are known. Steps
// are multiples of the time since 1970, so that points that were thinned before stay. d.mu is held.
func (d *Day) thin() {
	all, kept, known := d.points, d.points[:0], true
	newest := all[len(all)-1].time()
	for i := from(all, newest-dayLength.Milliseconds()); i < len(all); {
		end, at := i+1, all[i].time()
		if step := stepAt(newest-at, len(all)-i); step > 0 {
			for next := at - at%step + step; end < len(all) && all[end].time() < next; {
				end++
			}
		}
		best := 0
		if end > i+1 {
			best = outermost(kept, all[i:end], all[end:])
		}
		for j, k := range all[i:end] { // kept grows into what was read
			known = known && k.known()
			if j == best {
				kept = append(kept, k.reached(known))
				known = true
			}
		}
		i = end
	}
	d.points = kept
}

// stepAt is how much time there is for one point of an age, in milliseconds as the age, and 0 for each fix; it is the place of the
// point among the newest.
func stepAt(age int64, place int) int64 {
	switch {
	case age < fullFor.Milliseconds() && place <= fullPoints:
		return 0
	case age < time.Hour.Milliseconds():
		return hourStep.Milliseconds()
	}
	return dayStep.Milliseconds()
}

// outermost returns which of the points between others makes the largest triangle with the last one before and the first one after
// them: of those on a straight way any, of a turn its corner. A degree of longitude is shorter than one of latitude, for all
// triangles alike.
func outermost(before, points, after []packed) (best int) {
	a, c := points[0], points[len(points)-1]
	if len(before) > 0 {
		a = before[len(before)-1]
	}
	if len(after) > 0 {
		c = after[0]
	}
	largest := -1.0
	aLat, aLon := a.position()
	cLat, cLon := c.position()
	for i, b := range points {
		lat, lon := b.position()
		area := math.Abs((cLon-aLon)*(lat-aLat) - (lon-aLon)*(cLat-aLat))
		if area > largest {
			best, largest = i, area
		}
	}
	return best
}

package serial

import (
	"math"
	"slices"
)

// speeds are those of receivers, the likely first: most come with 9600; newer ones with 115200 or 38400, old ones with 4800.
var speeds = []int{9600, 115200, 38400, 4800, 57600, 19200, 230400, 460800, 921600}

// search decides at which speed to listen next. It never ends: when all speeds were tried, it begins again.
type search struct {
	order  []int   // of all speeds, the likely first
	tried  []int   // in this pass
	passes int     // completed
	guess  float64 // what the last one showed: the speed is near it; 0 where that is not known
}

// newSearch begins with the speed that worked last, 0 for none.
func newSearch(last int) *search {
	s := &search{order: slices.Clone(speeds)}
	if last > 0 {
		s.order = slices.DeleteFunc(s.order, func(b int) bool { return b == last })
		s.order = slices.Insert(s.order, 0, last)
	}
	return s
}

// next is the speed to try now. It counts as tried.
func (s *search) next() int {
	if len(s.tried) == len(s.order) {
		s.passes, s.tried = s.passes+1, nil
	}
	best, least := 0, math.Inf(1)
	for i, baud := range s.order {
		if c := s.cost(i, baud); c < least && !slices.Contains(s.tried, baud) {
			best, least = baud, c
		}
	}
	s.tried = append(s.tried, best)
	return best
}

// cost weighs how far a speed is from the guess, in octaves, against how rare it is.
func (s *search) cost(place, baud int) float64 {
	rare := 0.2 * float64(place)
	if s.guess == 0 {
		return rare
	}
	return math.Abs(math.Log2(float64(baud)/s.guess)) + rare
}

// learn uses what a line showed at a speed.
func (s *search) learn(baud int, e *evidence) {
	s.guess = 0
	if factor := e.factor(); factor > 0 {
		s.guess = float64(baud) / factor
	}
}

// evidence is what a line shows that is heard at a wrong speed.
type evidence struct {
	bytes     int
	printable int
	ended     bool    // the burst has
	runs      [10]int // of equal bits of a byte that end before it does, by length; 9 is a whole byte without one
}

func (e *evidence) add(p []byte) {
	e.bytes += len(p)
	for _, b := range p {
		if b >= ' ' && b < 0x7f || b == '\r' || b == '\n' {
			e.printable++
		}
		e.count(b)
	}
}

// count counts the runs of a byte in the order in which its bits come: the start bit is low and comes before bit 0.
func (e *evidence) count(b byte) {
	from, last := -1, byte(0)
	for i := range 8 {
		if bit := b >> i & 1; bit != last {
			e.runs[i-from]++
			from, last = i, bit
		}
	}
	if from < 0 {
		e.runs[9]++
	}
}

// text reports whether the line is heard as it was sent: what receivers send is text. Random bytes are printable in 97 of 256 cases.
func (e *evidence) text() bool { return e.bytes >= 16 && e.printable >= e.bytes*9/10 }

// Numbers of bytes that decide.
const (
	enoughFast = 16  // to see that runs are long
	enoughSlow = 256 // of a line that never pauses
	usualBurst = 500 // that receivers send at once
)

// decided reports whether more of the same would show nothing new.
func (e *evidence) decided() bool {
	if e.text() {
		return false
	}
	return e.ended || e.bytes >= enoughSlow || e.bytes >= enoughFast && e.shortest() > 1
}

// factor is how many times faster than the line it is listened to, about; 0 is unknown.
func (e *evidence) factor() float64 {
	if e.text() || e.bytes == 0 {
		return 0
	}
	if k := e.shortest(); k > 1 && e.bytes >= enoughFast/2 {
		return float64(k)
	}
	if !e.ended {
		return 0.5 // a line that never pauses: of how many bytes these are the traces cannot be known
	}
	// Too slow: of the bytes of a burst only as many are seen as fit into its time.
	return min(float64(e.bytes)/usualBurst, 0.5)
}

// shortest is the length of the shortest runs that are not exceptions, an eighth of them: 1 at the right speed and below it, and while
// there are too few; at a speed k times too high each bit is seen k times, and no run is shorter.
func (e *evidence) shortest() int {
	total, below := 0, 0
	for _, n := range e.runs {
		total += n
	}
	if total < max(e.bytes/4, 1) {
		return 1
	}
	for length, n := range e.runs {
		if below += n; below > total/8 {
			return length
		}
	}
	return 1
}

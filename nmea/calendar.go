package nmea

import "time"

const (
	day      = 24 * time.Hour
	rollover = 1024 * 7 // days after which the week number of GPS starts again

	// wrap is how far the time of day falls when a day has passed.
	wrap = 12 * time.Hour
	// leap is how far the clock of a receiver without a fix may move at once.
	// More, and it was set, or counted in its sleep: the date is then unknown.
	leap = time.Hour
	// midnight is how far from it a receiver may change its date: some do with
	// the next epoch, and receivers set to one fix in 5 s are the slowest.
	midnight = 5 * time.Second
)

// calendar turns times of day into times. It learns the date from the sentences
// that state one and carries it over midnight.
type calendar struct {
	known bool
	day   int64         // days since 1970
	tod   time.Duration // latest time of day
	moved int           // weeks added to the last date that was stated

	floor, system int64 // days since 1970; 0 for none
}

// newCalendar takes the options that bound a date.
func newCalendar(o Options) calendar {
	var c calendar
	if !o.Floor.IsZero() {
		c.floor = o.Floor.Unix() / 86400
	}
	if !o.System.IsZero() {
		c.system = o.System.Unix() / 86400
	}
	return c
}

// advance moves on to the time of day tod. A jump without a fix makes the date
// unknown.
func (c *calendar) advance(tod time.Duration, fix bool) {
	step := tod - c.tod
	if step < -wrap {
		step += day
		c.day++
	}
	if !fix && (step > leap || step < -leap) {
		c.known = false
	}
	c.tod = tod
}

// set takes the date that a receiver with a fix stated for the latest time of
// day, and undoes the week rollover. Around midnight the date that was carried
// there is trusted more than one beside it.
func (c *calendar) set(d date) {
	n := time.Date(d.year, time.Month(d.month), d.day, 0, 0, 0, 0, time.UTC).Unix() / 86400
	was := n
	if c.system != 0 {
		for n+rollover/2 < c.system {
			n += rollover
		}
	}
	for n < c.floor {
		n += rollover
	}
	if c.known && (n == c.day-1 && c.tod < midnight || n == c.day+1 && c.tod >= day-midnight) {
		return
	}
	c.known, c.day, c.moved = true, n, int(n-was)/7
}

// time returns the time of the latest time of day, zero when the date is
// unknown, and whether it is a leap second. Receivers state no more than
// milliseconds that mean anything.
func (c *calendar) time() (t time.Time, leapSecond bool) {
	if !c.known {
		return time.Time{}, false
	}
	return time.Unix(c.day*86400, 0).UTC().Add(c.tod.Round(time.Millisecond)), c.tod >= day
}

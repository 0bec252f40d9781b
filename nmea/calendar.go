package nmea

import (
	"time"

	"gpsbridge/bridge/problem"
)

// The codes of AssemblerStats.Date.
const (
	DateOld         problem.Code = "date-before-build"
	DateImplausible problem.Code = "date-implausible"
)

const (
	day      = 24 * time.Hour
	rollover = 1024 * 7 // days after which the week number of GPS starts again

	// leap is how far the clock of a receiver without a fix may move at once. More, and it was set, or went on while the
	// receiver slept: the date is then unknown.
	leap = time.Hour
	// midnight is how far from it a receiver may change its date: some do with the next epoch, and receivers set to one fix in 5 s
	// are the slowest.
	midnight = 5 * time.Second

	// aheadDays is how many days a date may be after the system's: clocks are wrong by hours, and time zones once in a while.
	aheadDays = 3
	// plausible is the first day that a receiver with a fix may mean, 1 January 2000: what they state before they know the date is
	// the first day of GPS, 6 January 1980, or that of its first rollover, 22 August 1999.
	plausible = 10957
)

// calendar turns times of day into times. It learns the date from the sentences that state one and carries it over midnight.
type calendar struct {
	known   bool
	day     int64         // days since 1970
	tod     time.Duration // latest time of day
	stated  int64         // the last day that was stated
	moved   int           // days added to it
	refused bool          // it cannot be

	floor  int64 // days since 1970; 0 for none
	system func() (now time.Time, behind time.Duration)
}

// newCalendar takes the options that bound a date.
func newCalendar(o Options) calendar {
	c := calendar{system: o.System}
	if !o.Floor.IsZero() {
		c.floor = o.Floor.Unix() / 86400
	}
	return c
}

// advance moves on to the time of day tod. A jump without a fix makes the date unknown.
func (c *calendar) advance(tod time.Duration, fix bool) {
	step := tod - c.tod
	if step < -day/2 { // a day has passed
		step += day
		c.day++
	}
	if !fix && (step > leap || step < -leap) {
		c.known = false
	}
	c.tod = tod
}

// set takes the date that a receiver with a fix stated for the latest time of day, and undoes the week rollover. Around
// midnight the date that was carried there is trusted more than one beside it.
func (c *calendar) set(d date) {
	stated := time.Date(d.year, time.Month(d.month), d.day, 0, 0, 0, 0, time.UTC).Unix() / 86400
	n, ok := c.correct(stated)
	if ok && c.known && (n == c.day-1 && c.tod < midnight || n == c.day+1 && c.tod >= day-midnight) {
		return
	}
	c.known, c.day, c.stated, c.moved, c.refused = ok, n, stated, int(n-stated), !ok
}

// correct returns the day that a receiver means by the one that it states. Without bounds every day is right as it is.
//
// It is the latest one, whole rollovers later, that is not after the system's (and a few days), if that is not before the
// floor; without a system's time, the first that is not before the floor. When there is none, the receiver may be a simulator, a
// replay, or cold: its day stays when it is plausible as it is, and is refused otherwise.
func (c *calendar) correct(stated int64) (n int64, ok bool) {
	today, off := c.today()
	n = stated
	if today == 0 {
		for n < c.floor {
			n += rollover
		}
		return n, true
	}
	for n+rollover <= today+aheadDays {
		n += rollover
	}
	if n >= c.floor && n <= today+aheadDays {
		return n, true
	}
	return stated, stated >= plausible && stated <= today+aheadDays+off
}

// problem is what is wrong with the last date that was stated, nil when it was good or could be corrected.
func (c *calendar) problem() *problem.Problem {
	date := time.Unix(c.stated*86400, 0).UTC().Format(time.DateOnly)
	if c.refused {
		return &problem.Problem{
			Code: DateImplausible, Key: "rollover",
			Cause: "the receiver states the date " + date + ", which cannot be: its fixes have no time",
			Fix:   `let it see the sky for some minutes, or set rollover = "keep" if it plays a recording`,
		}
	}
	if c.known && c.day < c.floor {
		return &problem.Problem{
			Code: DateOld, Key: "rollover",
			Cause: "the receiver states the date " + date + ", before this program was built",
			Fix:   `check the receiver, or set rollover = "keep" if it plays a recording`,
		}
	}
	return nil
}

// today returns the system's day, 0 when it is not known, and by how many days it may be behind.
func (c *calendar) today() (n, behind int64) {
	if c.system == nil {
		return 0, 0
	}
	now, off := c.system()
	if now.IsZero() || now.Unix()/86400 < c.floor {
		return 0, 0
	}
	return now.Unix() / 86400, int64(off / day)
}

// time returns the time of the latest time of day, zero when the date is unknown, and whether it is a leap second. What
// receivers state beyond milliseconds means nothing.
func (c *calendar) time() (t time.Time, leapSecond bool) {
	if !c.known {
		return time.Time{}, false
	}
	return time.Unix(c.day*86400, 0).UTC().Add(c.tod.Round(time.Millisecond)), c.tod >= day
}

package doctor

import (
	"fmt"
	"time"

	"gpsbridge/bridge"
	"gpsbridge/bridge/problem"
)

// clockTolerance is how far the system's clock may be from the receiver's: fixes reach the program up to a second late.
const clockTolerance = 3 * time.Second

// receiverClock is the time that a receiver has stated.
type receiverClock struct {
	time time.Time // zero while it is not known
	at   time.Time // when it was stated
}

// state takes the time that a receiver states now; the latest of several counts.
func (c *receiverClock) state(t time.Time) {
	if !t.IsZero() && t.After(c.time) {
		c.time, c.at = t, time.Now()
	}
}

// now is the receiver's time now, zero while it is not known.
func (c receiverClock) now() time.Time {
	if c.time.IsZero() {
		return time.Time{}
	}
	return c.time.Add(time.Since(c.at))
}

// examineClock examines the system's. A wrong one breaks nothing by itself: certificates are verified at the receiver's time until
// the clock is synchronised, and where they cannot be verified, the tls link has the reason.
func examineClock(receiver time.Time) Link {
	const name, synchronise = "clock", "let the machine reach a time server (timedatectl)"
	now := time.Now()
	shows := now.UTC().Format("2006-01-02 15:04:05 UTC")
	synchronised := bridge.ClockSynchronised()
	if synchronised {
		shows += ", synchronised"
	}
	off := now.Sub(receiver).Abs()
	switch {
	case now.Before(bridge.BuiltAfter()):
		return warning(name, &problem.Problem{Code: ClockNotSet, Cause: shows + " is before this program was built: it was never set",
			Fix: "let the machine reach a time server (timedatectl), or set it from the receiver with gpsd and chrony"})
	case !receiver.IsZero() && off > clockTolerance:
		return warning(name, &problem.Problem{Code: ClockOff, Cause: fmt.Sprintf("%s, %v off the receiver's", shows, off.Round(time.Second)), Fix: synchronise})
	case !receiver.IsZero():
		return ok(name, shows+", and the receiver agrees")
	case synchronised:
		return ok(name, shows)
	}
	return warning(name, &problem.Problem{Code: ClockFree, Cause: shows + ", not synchronised", Fix: synchronise})
}

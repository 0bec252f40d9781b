package bridge

import (
	"runtime/debug"
	"time"

	"gpsbridge/nmea"
)

// sourceDate is a day before which no build of this source can run. It moves on with releases; a build that knows its
// commit has a later one.
const sourceDate = "2026-11-23"

// How [[receiver]] rollover is written.
const (
	rolloverAuto = "auto" // mend the dates of a receiver, keep those of a recording
	rolloverMend = "mend"
	rolloverKeep = "keep"
)

// calendar says what the nmea package may take for certain of the date, to undo the rollover of the 10-bit GPS week
// (every 1024 weeks, IS-GPS-200): no receiver sends a date from before this build, and one that is far from the system's
// is wrong too, if the system's is sane. A board without a clock boots before its build, and is not asked then.
func calendar(rollover string, recorded bool, now time.Time) nmea.Options {
	if rollover == rolloverKeep || rollover == rolloverAuto && recorded {
		return nmea.Options{}
	}
	o := nmea.Options{Floor: builtAfter()}
	if now.After(o.Floor) {
		o.System = now
	}
	return o
}

// builtAfter is the time of the commit that was built, else sourceDate.
func builtAfter() time.Time {
	floor, err := time.Parse(time.DateOnly, sourceDate)
	if err != nil {
		panic(err) // a constant
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return floor
	}
	for _, s := range info.Settings {
		if commit, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil && commit.After(floor) {
			return commit
		}
	}
	return floor
}

package bridge

import (
	"runtime/debug"
	"sync"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/nmea"
)

// sourceDate is a day before which no build of this source can run. It is raised with releases; a build that knows its
// commit has a later one.
const sourceDate = "2026-11-23"

// BuiltAfter returns a time before which this build cannot run, so that an earlier clock is wrong: the time of the commit that
// was built, or else sourceDate.
func BuiltAfter() time.Time {
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

// calendar is what the nmea package may assume of the date, to correct the rollover of the 10-bit GPS week (every 1024 weeks,
// IS-GPS-200): no receiver sends a date from before this build, and none one that is after the system's, if that is sane.
func calendar(rollover config.Rollover, recorded bool, system func() (now time.Time, behind time.Duration)) nmea.Options {
	if rollover == config.RolloverKeep || rollover == config.RolloverAuto && recorded {
		return nmea.Options{}
	}
	return nmea.Options{Floor: BuiltAfter(), System: system}
}

// longestOff is how long a board without a clock of its own may have been switched off, and its time stood: years, in a store.
const longestOff = 5 * 365 * 24 * time.Hour

// SystemTime returns the system's time, and how far it may be behind the true time.
func SystemTime() (now time.Time, behind time.Duration) { return systemTime(ClockSynchronised()) }

// seldom asks f at most once a minute. A system call between two sentences wakes up the Go runtime's monitor thread, which costs
// more CPU time than the sentences: 6 ms a second at 10 Hz in place of 3.5.
func seldom(f func() bool) func() bool {
	var mu sync.Mutex
	var asked time.Time
	var last bool
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		if asked.IsZero() || time.Since(asked) > time.Minute {
			last, asked = f(), time.Now()
		}
		return last
	}
}

func systemTime(synchronised bool) (now time.Time, behind time.Duration) {
	if synchronised {
		return time.Now(), 0
	}
	return time.Now(), longestOff
}

// CertificateTime returns the time at which the daemon verifies certificates, and its source. The system's clock is used while
// it is synchronised. A board without a battery boots with the time of its last shutdown, or of its making: then the
// receiver's is used, and while that is zero the system's. None is used from before the build, so a receiver that is
// spoofed can bring back no certificate that had expired by then.
func CertificateTime(system time.Time, synchronised bool, receiver time.Time) (t time.Time, source string) {
	built := BuiltAfter()
	switch {
	case synchronised && !system.Before(built):
		return system, "system"
	case !receiver.Before(built):
		return receiver, "receiver"
	case !system.Before(built):
		return system, "system, not synchronised"
	}
	return built, "build"
}

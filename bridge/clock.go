package bridge

import (
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/config"
	"gpsbridge/nmea"
)

// sourceDate is a day before which no build of this source can run. It moves on with releases; a build that knows its
// commit has a later one.
const sourceDate = "2026-11-23"

// calendar is what the nmea package may assume of the date, to undo the rollover of the 10-bit GPS week (every 1024 weeks,
// IS-GPS-200): no receiver sends a date from before this build, and none one that is after the system's, if that is sane.
func calendar(rollover config.Rollover, recorded bool) nmea.Options {
	if rollover == config.RolloverKeep || rollover == config.RolloverAuto && recorded {
		return nmea.Options{}
	}
	return nmea.Options{Floor: builtAfter(), System: SystemTime}
}

// longestOff is how long a board without a clock of its own may have been switched off, and its time stood: years, in a store.
const longestOff = 5 * 365 * 24 * time.Hour

// SystemTime is the system's time, and how far it may be behind the true time.
func SystemTime() (now time.Time, behind time.Duration) {
	if synchronised() {
		return time.Now(), 0
	}
	return time.Now(), longestOff
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

// certificateTime is the time at which certificates are verified, and whose it is. The system's clock is believed while
// it is synchronised. A board without a battery boots with the time of its last shutdown, or of its making: then the
// receiver's counts, and until it tells one the system's. None of them counts from before the build, so a receiver that is
// made to lie can bring back no certificate that had expired by then.
func certificateTime(system time.Time, synchronised bool, receiver, built time.Time) (t time.Time, source string) {
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

// certificateTime asks the daemon's own clocks. A recording tells when it was made, not what time it is.
func (d *Daemon) certificateTime() (time.Time, string) {
	now := time.Now()
	var receiver time.Time
	for _, dv := range d.devices {
		for _, in := range dv.intakes {
			if clock := in.Clock(now); clock.After(receiver) {
				receiver = clock
			}
		}
	}
	return certificateTime(now, synchronised(), receiver, builtAfter())
}

// timesyncd leaves this file when it has set the clock (systemd-timesyncd.service(8)).
const timesyncd = "/run/systemd/timesync/synchronized"

// synchronised is clockSynchronised, or what a test has put in its place.
var synchronised = clockSynchronised

// clockSynchronised says whether somebody keeps the system's clock right: the kernel's word (adjtimex(2)), or where a
// service may not ask it, that of systemd-timesyncd.
func clockSynchronised() bool {
	state, err := unix.Adjtimex(&unix.Timex{})
	if err != nil {
		_, err = os.Stat(timesyncd)
		return err == nil
	}
	return state != unix.TIME_ERROR
}

// CertificateTime is the time at which the daemon verifies certificates, and whose it is, when the receiver says now;
// zero stands for a receiver that has not said the time.
func CertificateTime(receiver time.Time) (t time.Time, source string) {
	return certificateTime(time.Now(), synchronised(), receiver, builtAfter())
}

// ClockSynchronised says whether somebody keeps the system's clock right.
func ClockSynchronised() bool { return synchronised() }

// BuiltAfter is a time before which this build cannot run: a clock that says an earlier one is wrong.
func BuiltAfter() time.Time { return builtAfter() }

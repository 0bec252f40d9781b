package bridge

import (
	"os"

	"golang.org/x/sys/unix"
)

// timesyncd creates this file when it has set the clock (systemd-timesyncd.service(8)).
const timesyncd = "/run/systemd/timesync/synchronized"

// ClockSynchronised reports whether the system's clock is kept right: by what the kernel states (adjtimex(2)), or where a
// service may not ask it, by systemd-timesyncd.
func ClockSynchronised() bool {
	state, err := unix.Adjtimex(&unix.Timex{})
	if err != nil {
		_, err = os.Stat(timesyncd)
		return err == nil
	}
	return state != unix.TIME_ERROR
}

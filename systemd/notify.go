// Package systemd is what the daemon says to the service manager that started it: READY, one line of status,
// that it still works, STOPPING, as sd_notify(3) describes. Outside systemd it says nothing. And it makes the daemon a
// small neighbour to other services.
package systemd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// statusEvery paces the status line: `systemctl status` is for a person, who does not ask more often.
const statusEvery = 5 * time.Second

// Notify says READY when ready is closed, then the status line whenever it has changed, and STOPPING when ctx ends,
// and returns. The error is that of a notification socket that does not work.
func Notify(ctx context.Context, ready <-chan struct{}, status func() string) error {
	select {
	case <-ready:
	case <-ctx.Done():
		return nil
	}
	if told, err := say(daemon.SdNotifyReady); err != nil || !told {
		return err
	}
	ticker := time.NewTicker(statusEvery)
	defer ticker.Stop()
	for last := ""; ; {
		if line := status(); line != last {
			last = line
			if _, err := say("STATUS=" + strings.ReplaceAll(line, "\n", " ")); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			_, err := say(daemon.SdNotifyStopping)
			return err
		}
	}
}

// Watchdog tells systemd twice in each WatchdogSec= that the daemon works, whenever progress says so, and returns when
// ctx ends; a daemon that is not told of in time is aborted and started again (sd_watchdog_enabled(3)). Without a
// watchdog it returns at once. The error is that of the notification socket, or of settings that are not systemd's.
func Watchdog(ctx context.Context, progress func() bool) error {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read the watchdog's interval: %w", err)
	}
	if limit <= 0 {
		return nil
	}
	ticker := time.NewTicker(limit / 2)
	defer ticker.Stop()
	for {
		if progress() {
			if _, err := say(daemon.SdNotifyWatchdog); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// say tells systemd one thing; told is false where there is no systemd to tell.
func say(state string) (told bool, err error) {
	if told, err = daemon.SdNotify(false, state); err != nil {
		return told, fmt.Errorf("notify systemd: %w", err)
	}
	return told, nil
}

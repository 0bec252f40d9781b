// Package systemd notifies the service manager that started the daemon: READY, one line of status, that it still works,
// STOPPING, as sd_notify(3) describes. Outside systemd it does nothing.
package systemd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// statusEvery paces the status line: it is for a person who reads `systemctl status`.
const statusEvery = 5 * time.Second

// Notify sends READY when ready is closed, then the status line whenever it has changed, and STOPPING when ctx ends, and
// returns. The error is that of a notification socket that does not work.
func Notify(ctx context.Context, ready <-chan struct{}, status func() string) error {
	select {
	case <-ready:
	case <-ctx.Done():
		return nil
	}
	if sent, err := notify(daemon.SdNotifyReady); err != nil || !sent {
		return err
	}
	ticker := time.NewTicker(statusEvery)
	defer ticker.Stop()
	for last := ""; ; {
		if line := status(); line != last {
			last = line
			if _, err := notify("STATUS=" + strings.ReplaceAll(line, "\n", " ")); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			_, err := notify(daemon.SdNotifyStopping)
			return err
		}
	}
}

// Watchdog notifies systemd twice in each WatchdogSec= that the daemon works, if progress reports so, and returns when ctx
// ends. systemd aborts and restarts a daemon whose notification does not come in time (sd_watchdog_enabled(3)). Without a
// watchdog Watchdog returns at once. The error is that of the notification socket, or of settings that are not systemd's.
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
			if _, err := notify(daemon.SdNotifyWatchdog); err != nil {
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

// notify sends systemd one state; sent is false where there is no systemd.
func notify(state string) (sent bool, err error) {
	if sent, err = daemon.SdNotify(false, state); err != nil {
		return sent, fmt.Errorf("notify systemd: %w", err)
	}
	return sent, nil
}

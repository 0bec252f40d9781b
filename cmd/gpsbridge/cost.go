package main

import (
	"fmt"
	"time"

	"gpsbridge/bridge/pipeline"
)

// What an hour connected over TLS takes on the wire, headers of TCP and IP included, both ways. Measured with Uvicorn: a fix
// and its echo, of 330 bytes each, take 700 to 870 bytes at one a second; a ping every 20 s and its pong some 200.
const (
	bytesOfFix   = 700
	bytesOfSky   = 2 * 2000 // and its echo
	bytesOfPings = 24 * 3600 / 20 * 200
)

// dataCost is what a configuration sends and receives in a day and in 30 days, for each server, while the vehicle is on the
// road all day.
func dataCost(l pipeline.Limits) string {
	perDay := func(every time.Duration, each float64) float64 {
		return float64(24*time.Hour/every)*each + bytesOfPings
	}
	limited := l.Distance > 0 || l.Turn > 0 || l.Speed > 0
	switch {
	case l.Sky:
		return "every fix and satellites: " + month(perDay(time.Second, bytesOfFix+bytesOfSky)) + " with a receiver at 1 Hz; sky = false saves most of it"
	case l.Interval > 0 && !limited:
		return fmt.Sprintf("a fix every %v while moving: at most %s", l.Interval, month(perDay(l.Interval, bytesOfFix)))
	case l.Interval > 0:
		return fmt.Sprintf("a fix every %v while moving and those that another limit of [report] adds: from %s", l.Interval, month(perDay(l.Interval, bytesOfFix)))
	case limited:
		return "the fixes that reach a limit of [report]: at most " + month(perDay(time.Second, bytesOfFix)) + " with a receiver at 1 Hz"
	}
	return "every fix: " + month(perDay(time.Second, bytesOfFix)) + " with a receiver at 1 Hz; interval in [report] reduces that"
}

// month prints a number of bytes a day, and in 30 days.
func month(perDay float64) string {
	if perDay*30 >= 1e9 {
		return fmt.Sprintf("some %.0f MB a day, %.1f GB in 30 days", perDay/1e6, perDay*30/1e9)
	}
	return fmt.Sprintf("some %.1f MB a day, %.0f MB in 30 days", perDay/1e6, perDay*30/1e6)
}

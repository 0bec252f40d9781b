package main

import (
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

func TestDataCost(t *testing.T) {
	some, _, _ := nmea.ParseMembers([]string{"time", "lat", "lon", "speed", "track"})
	plain, tls := uplink.Config{URL: "ws://a"}, uplink.Config{URL: "wss://a"}
	for _, test := range []struct {
		limits pipeline.Limits
		server uplink.Config
		want   string
	}{
		{pipeline.Limits{}, tls, "every fix, some 906 bytes each, 282 where the server compresses: at most 78 MB a day, 2.3 GB in 30 days with a receiver at 1 Hz; interval, members and batch in [report] reduce that"},
		{pipeline.Limits{}, plain, "every fix, some 862 bytes each, 238 where the server compresses: at most 74 MB a day, 2.2 GB in 30 days with a receiver at 1 Hz; interval, members and batch in [report] reduce that"},
		{pipeline.Limits{}, uplink.Config{URL: "wss://a", Ack: uplink.AckPong}, "every fix, some 645 bytes each, 333 where the server compresses: at most 56 MB a day, 1.7 GB in 30 days with a receiver at 1 Hz; interval, members and batch in [report] reduce that"},
		{pipeline.Limits{}, uplink.Config{URL: "wss://a", Ack: uplink.AckNone}, "every fix, some 481 bytes each, 169 where the server compresses: at most 42 MB a day, 1.3 GB in 30 days with a receiver at 1 Hz; interval, members and batch in [report] reduce that"},
		{pipeline.Limits{Members: some}, tls, "every fix, some 584 bytes each, 282 where the server compresses: at most 50 MB a day, 1.5 GB in 30 days with a receiver at 1 Hz; interval, members and batch in [report] reduce that"},
		{pipeline.Limits{Interval: 30 * time.Second}, tls, "a fix every 30s while moving, some 906 bytes each, 282 where the server compresses: at most 3.2 MB a day, 97 MB in 30 days"},
		{pipeline.Limits{Interval: 30 * time.Second}, uplink.Config{URL: "wss://a", Ping: time.Minute}, "a fix every 30s while moving, some 906 bytes each, 282 where the server compresses: at most 2.6 MB a day, 78 MB in 30 days"},
		{pipeline.Limits{Interval: 30 * time.Second, Turn: 15}, tls, "a fix every 30s while moving and those that another limit of [report] adds, some 906 bytes each, 282 where the server compresses: some 3.2 MB a day, 97 MB in 30 days without compression"},
		{pipeline.Limits{Distance: 100}, tls, "the fixes that reach a limit of [report], some 906 bytes each, 282 where the server compresses: at most 78 MB a day, 2.3 GB in 30 days with a receiver at 1 Hz"},
		{pipeline.Limits{Interval: 200 * time.Millisecond}, tls, "a fix every 200ms while moving, some 906 bytes each, 282 where the server compresses: at most 391 MB a day, 11.7 GB in 30 days"},
		{pipeline.Limits{Sky: true}, tls, "every fix and satellites: at most 442 MB a day, 13.3 GB in 30 days with a receiver at 1 Hz; sky = false saves most of it"},
		{pipeline.Limits{Batch: 10 * time.Second}, tls, "every fix, some 831 bytes each, 189 where the server compresses: at most 72 MB a day, 2.2 GB in 30 days with a receiver at 1 Hz; interval, members and batch in [report] reduce that"},
		{pipeline.Limits{Interval: time.Minute, Batch: 5 * time.Minute}, tls, "a fix every 1m0s while moving, some 831 bytes each, 197 where the server compresses: at most 2.1 MB a day, 64 MB in 30 days"},
		{pipeline.Limits{Interval: time.Minute, Batch: 5 * time.Minute}, uplink.Config{URL: "wss://a", Ping: 5 * time.Minute}, "a fix every 1m0s while moving, some 831 bytes each, 197 where the server compresses: at most 1.3 MB a day, 38 MB in 30 days"},
		{pipeline.Limits{Interval: time.Minute}, uplink.Config{URL: "wss://a", Ack: uplink.AckNone}, "a fix every 1m0s while moving, some 481 bytes each, 169 where the server compresses: at most 1.6 MB a day, 49 MB in 30 days"},
		{pipeline.Limits{Batch: 10 * time.Second, Members: some}, uplink.Config{URL: "wss://a", Compress: uplink.CompressOff}, "every fix, some 496 bytes each: at most 43 MB a day, 1.3 GB in 30 days with a receiver at 1 Hz; interval, members and batch in [report] reduce that"},
	} {
		if got := dataCost(test.limits, test.server); got != test.want {
			t.Errorf("%+v:\n%s, want\n%s", test.limits, got, test.want)
		}
	}
}

// TestReferenceStatesTheCost holds what the reference configuration advises for a small SIM.
func TestReferenceStatesTheCost(t *testing.T) {
	text := strings.ReplaceAll(string(readFile(t, "../../systemd/gpsbridge.toml")), "\n# ", " ")
	for limits, advice := range map[pipeline.Limits]string{{}: "Without a limit each server costs at most ", {Interval: 5 * time.Second}: `interval = "5s", which costs at most `} {
		_, cost, _ := strings.Cut(dataCost(limits, uplink.Config{URL: "wss://a"}), ": at most ")
		cost, _, _ = strings.Cut(cost, " with a receiver")
		if want := advice + cost; !strings.Contains(text, want) {
			t.Errorf("the reference has no %q", want)
		}
	}
}

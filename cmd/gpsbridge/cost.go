package main

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

// What a message takes on the wire beside its text, in bytes: the headers of IPv4 and TCP with timestamps, the record of TLS 1.3,
// and the frame of a WebSocket (RFC 6455, section 5.2), which is masked on the way to the server. IPv6 has 20 more a segment.
const (
	bytesOfSegment  = 40 + 12
	bytesOfTLS      = 22
	bytesOfOutgoing = 8
	bytesOfIncoming = 4
	bytesOfPing     = 8    // and as many of its pong, with their frames
	bytesCompressed = 35   // of a fix after others
	bytesTogether   = 1200 // at most, of frames in one segment
)

// typicalFix is what a receiver of several constellations states, and typicalSky how long its list of satellites is.
const (
	typicalFix = `{"class":"TPV","device_id":"vehicle_7","run":"5f1c09ae77b2d041","mode":3,"status":1,"time":"2026-11-23T09:00:01.200Z",` +
		`"lat":51.50336350,"lon":-0.12762480,"altMSL":111.2,"altHAE":157.9,"geoidSep":46.7,"speed":13.8901,"track":84.40,"climb":0.1,"magvar":0.6,` +
		`"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.20,"epv":25.30,"uSat":9,"nSat":14,"seq":184300}`
	typicalSky = 2000
)

var typicalMember = regexp.MustCompile(`,"(\w+)":[^,}]+`)

// lengthOf is how long a typical fix is with the members of a set.
func lengthOf(set nmea.Members) int {
	return len(typicalMember.ReplaceAllStringFunc(typicalFix, func(m string) string {
		name := typicalMember.FindStringSubmatch(m)[1]
		if one, _, known := nmea.ParseMembers([]string{name}); known && name != "mode" && set != 0 && one&set == 0 {
			return ""
		}
		return m
	}))
}

// costOf reckons what one of several messages of a length costs that leave together, in bytes as a modem counts them, both ways: its
// part of a segment, its echo or else what acknowledges it, and the acknowledgement of TCP for that; and what a ping costs.
func costOf(u uplink.Config, length, together float64) (message, ping float64) {
	segment := float64(bytesOfSegment)
	if strings.HasPrefix(u.URL, "wss:") {
		segment += bytesOfTLS
	}
	ping = 2*(segment+bytesOfPing) + bytesOfSegment
	message = segment/together + bytesOfOutgoing + length
	switch u.Ack {
	case uplink.AckPong: // a ping that comes right after the message
		return message + ping/together, ping
	case uplink.AckNone:
		return message + bytesOfSegment/together, ping
	}
	return message + segment + bytesOfIncoming + length + bytesOfSegment/min(together, 2), ping // TCP acknowledges every other segment
}

// pingsOf is at most how many pings an uplink sends for each fix, where the time between two fixes is every and that between two
// sendings pause: one after each u.Ping without an echo.
func pingsOf(u uplink.Config, every, pause time.Duration) float64 {
	interval := cmp.Or(u.Ping, uplink.DefaultPing)
	if u.Ack == uplink.AckNone { // no echo takes the place of one
		return every.Seconds() / interval.Seconds()
	}
	return math.Floor(pause.Seconds()/interval.Seconds()) * every.Seconds() / pause.Seconds()
}

// dataCost is what a configuration sends to a server and receives from it for each fix, in a day and in 30 days, while the vehicle is
// on the road all day.
func dataCost(l pipeline.Limits, u uplink.Config) string {
	length := float64(lengthOf(l.Members))
	every := cmp.Or(l.Interval, time.Second)
	together := max(1, min(l.Batch.Seconds()/every.Seconds(), math.Floor(bytesTogether/length)))
	fix, ping := costOf(u, length, together)
	perFix := fix + pingsOf(u, every, max(every, l.Batch))*ping
	each := fmt.Sprintf("some %.0f bytes each", fix)
	if u.Compress != uplink.CompressOff {
		compressed, _ := costOf(u, bytesCompressed, max(1, l.Batch.Seconds()/every.Seconds()))
		each += fmt.Sprintf(", %.0f where the server compresses", compressed)
	}
	if l.Sky {
		sky, _ := costOf(u, typicalSky, 1)
		perFix += sky
	}
	cost := month(float64(24*time.Hour/every) * perFix)
	limited := l.Distance > 0 || l.Turn > 0 || l.Speed > 0
	switch {
	case l.Sky:
		return "every fix and satellites: at most " + month(86400*perFix) + " with a receiver at 1 Hz; sky = false saves most of it"
	case l.Interval > 0 && !limited:
		return fmt.Sprintf("a fix every %v while moving, %s: at most %s", l.Interval, each, cost)
	case l.Interval > 0:
		return fmt.Sprintf("a fix every %v while moving and those that another limit of [report] adds, %s: some %s without compression", l.Interval, each, cost)
	case limited:
		return "the fixes that reach a limit of [report], " + each + ": at most " + cost + " with a receiver at 1 Hz"
	}
	return "every fix, " + each + ": at most " + cost + " with a receiver at 1 Hz; interval, members and batch in [report] reduce that"
}

// month prints a number of bytes a day, and in 30 days.
func month(perDay float64) string {
	if perDay*30 >= 1e9 {
		return fmt.Sprintf("%.0f MB a day, %.1f GB in 30 days", perDay/1e6, perDay*30/1e9)
	}
	return fmt.Sprintf("%.1f MB a day, %.0f MB in 30 days", perDay/1e6, perDay*30/1e6)
}

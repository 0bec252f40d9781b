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
	bytesOfPing     = 8 // and as many of its pong, with their frames
)

// typicalFix is what a receiver of several constellations states, and typicalSky how long its list of satellites is.
const (
	typicalFix = `{"class":"TPV","device_id":"vehicle_7","run":"5f1c09ae77b2d041","seq":184300,"mode":3,"status":1,"time":"2026-11-23T09:00:01.200Z",` +
		`"lat":51.50336350,"lon":-0.12762480,"altMSL":111.2,"altHAE":157.9,"geoidSep":46.7,"speed":13.8901,"track":84.40,"climb":0.1,"magvar":0.6,` +
		`"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.20,"epv":25.30,"uSat":9,"nSat":14}`
	typicalSky = 2000
)

var typicalMember = regexp.MustCompile(`,"(\w+)":[^,}]+`)

// lengthOf is how long a typical fix is with the members of a set.
func lengthOf(set nmea.Members) int {
	return len(typicalMember.ReplaceAllStringFunc(typicalFix, func(m string) string {
		name := typicalMember.FindStringSubmatch(m)[1]
		if one, unknown := nmea.ParseMembers([]string{name}); unknown == "" && name != "mode" && set != 0 && one&set == 0 {
			return ""
		}
		return m
	}))
}

// wireCost is what a server costs, in bytes as a modem counts them, both ways.
type wireCost struct{ fix, sky, ping float64 }

// costOf reckons what messages of a length cost that go to a server one at a time: a segment, its echo or else what acknowledges it,
// and the acknowledgement of TCP for that.
func costOf(u uplink.Config, length int) wireCost {
	segment := bytesOfSegment
	if strings.HasPrefix(u.URL, "wss:") {
		segment += bytesOfTLS
	}
	ping := 2*(segment+bytesOfPing) + bytesOfSegment
	there := func(length int) int { return segment + bytesOfOutgoing + length }
	back := func(length int) int { return segment + bytesOfIncoming + length + bytesOfSegment }
	c := wireCost{ping: float64(ping)}
	switch u.Ack {
	case uplink.AckPong: // a ping that comes right after the message
		c.fix, c.sky = float64(there(length)+ping), float64(there(typicalSky)+bytesOfSegment)
	case uplink.AckNone:
		c.fix, c.sky = float64(there(length)+bytesOfSegment), float64(there(typicalSky)+bytesOfSegment)
	default:
		c.fix, c.sky = float64(there(length)+back(length)), float64(there(typicalSky)+back(typicalSky)+2*bytesOfSegment)
	}
	return c
}

// dataCost is what a configuration sends to a server and receives from it for each fix, in a day and in 30 days, while the vehicle is
// on the road all day.
func dataCost(l pipeline.Limits, u uplink.Config) string {
	cost := costOf(u, lengthOf(l.Members))
	ping := cmp.Or(u.Ping, uplink.DefaultPing)
	perDay := func(every time.Duration, more float64) float64 {
		pings := max(0, math.Ceil(every.Seconds()/ping.Seconds())-1) // after a fix whose echo shows that the link is alive
		return float64(24*time.Hour/every) * (cost.fix + more + pings*cost.ping)
	}
	each := fmt.Sprintf("some %.0f bytes each", cost.fix)
	limited := l.Distance > 0 || l.Turn > 0 || l.Speed > 0
	switch {
	case l.Sky:
		return "every fix and satellites: " + month(perDay(time.Second, cost.sky)) + " with a receiver at 1 Hz; sky = false saves most of it"
	case l.Interval > 0 && !limited:
		return fmt.Sprintf("a fix every %v while moving, %s: at most %s", l.Interval, each, month(perDay(l.Interval, 0)))
	case l.Interval > 0:
		return fmt.Sprintf("a fix every %v while moving and those that another limit of [report] adds, %s: from %s", l.Interval, each, month(perDay(l.Interval, 0)))
	case limited:
		return "the fixes that reach a limit of [report], " + each + ": at most " + month(perDay(time.Second, 0)) + " with a receiver at 1 Hz"
	}
	return "every fix, " + each + ": " + month(perDay(time.Second, 0)) + " with a receiver at 1 Hz; interval and members in [report] reduce that"
}

// month prints a number of bytes a day, and in 30 days.
func month(perDay float64) string {
	if perDay*30 >= 1e9 {
		return fmt.Sprintf("some %.0f MB a day, %.1f GB in 30 days", perDay/1e6, perDay*30/1e9)
	}
	return fmt.Sprintf("some %.1f MB a day, %.0f MB in 30 days", perDay/1e6, perDay*30/1e6)
}

package uplink

import (
	"fmt"
	"time"

	"gpsbridge/bridge/problem"
)

// AckMode says what proves that the server took a record.
type AckMode string

// The modes of acknowledgement, from the strongest to none.
const (
	// AckAuto is echo as soon as the server is seen to echo, and pong for a
	// server that never does. It is the default.
	AckAuto AckMode = "auto"
	// AckEcho takes the group's own echo of the record: the server's
	// application processed it.
	AckEcho AckMode = "echo"
	// AckPong takes the answer to a ping that was sent after the record. It
	// proves less: some servers answer pings ahead of frames they have read
	// but not processed.
	AckPong AckMode = "pong"
	// AckNone takes the write to the socket. A connection that breaks loses
	// what was on its way.
	AckNone AckMode = "none"
)

// ParseAckMode reads the name of a mode; an empty name is auto.
func ParseAckMode(s string) (AckMode, error) {
	switch m := AckMode(s); m {
	case "":
		return AckAuto, nil
	case AckAuto, AckEcho, AckPong, AckNone:
		return m, nil
	}
	return "", &problem.Problem{Code: BadAck, Key: "ack", Cause: fmt.Sprintf("%q is not a way to acknowledge", s), Fix: "choose auto, echo, pong or none"}
}

const (
	// settleAfter is how long the first of several records stays without an
	// echo before auto may take the server for one that never echoes. Echoes of
	// a Django Channels server with a thousand viewers were measured 24 s late
	// (99th percentile) while it still answered pings at once.
	settleAfter = 30 * time.Second
	// settleSends is the number of sendings that must have stayed without an
	// echo by then: one or two may just have been dropped by an overloaded
	// server, and its next connection will tell.
	settleSends = 3
)

// awaitsVerdict reports whether a ping is now worth sending whose answer makes
// auto settle on pong.
func (u *Uplink) awaitsVerdict(now time.Time) bool {
	at, waiting := u.win.oldest()
	return u.mode == AckAuto && u.unechoed >= settleSends && waiting && now.Sub(at) >= settleAfter
}

// settle puts a mode into force that auto has found, and says so. It reports
// whether that changed anything. Caller holds mu.
//
// Echo is never left again: a server that was seen to echo and stopped is deaf,
// and a pong in its place would throw records away.
func (u *Uplink) settle(m AckMode) bool {
	if u.c.Ack != AckAuto || u.mode == m || u.mode == AckEcho {
		return false
	}
	if u.mode == AckPong {
		u.win.forgetRTT() // that of a pong is not that of an echo
	}
	u.mode = m
	if m == AckEcho {
		u.log.Info("server echoes: acknowledging by echo")
	} else {
		u.log.Info("server answers pings and never echoes: acknowledging by pong", "waited", settleAfter, "records", u.unechoed)
	}
	return true
}

package relay

import (
	"encoding/json"
	"time"
)

// A publisher that chooses this subprotocol gets short acknowledgements in place of its own messages: the group has been given
// everything that came on this connection up to a message. README.md describes them.
const ackProtocol = "gpsbridge.ack.v1"

const (
	// ackDelay is how long an acknowledgement may be held back. The uplink allows for it: its spool keeps what was sent off the
	// disk for so much longer, and its deadlines for a server that is stuck are later by it. Six fixes at 1 Hz come within it.
	ackDelay = 6 * time.Second
	// ackMost is how many messages one acknowledgement is for: what an uplink with the smallest window has on the way of a backlog.
	// With more it would wait for ackDelay.
	ackMost = 6
)

// acks are the messages of a publisher that are not acknowledged yet.
type acks struct {
	run   string // of the last one
	seq   uint64
	count int
	due   bool
	timer *time.Timer // makes it due; nil before the first message
}

// add takes a message, and reports whether an acknowledgement is due: for the first of a connection, which shows the sender how
// the server acknowledges and how long a round trip takes; for ackMost; and for a message that comes twice in a row, whose sender
// asks. Otherwise expired is called after ackDelay. What has no key cannot be named; the next message that has one covers it.
func (a *acks) add(h header, expired func()) (due bool) {
	if h.key() == 0 {
		return false
	}
	a.due = a.due || a.seq == 0 || a.run == h.Run && a.seq == h.Seq
	a.run, a.seq = h.Run, h.Seq
	switch a.count++; {
	case a.count >= ackMost:
		a.due = true
	case a.count > 1 || a.due:
	case a.timer == nil:
		a.timer = time.AfterFunc(ackDelay, expired)
	default:
		a.timer.Reset(ackDelay)
	}
	return a.due
}

// take returns an acknowledgement, if one is due, or if there is anything to acknowledge and it is the last moment; else nil.
func (a *acks) take(last bool) []byte {
	if a.count == 0 || !a.due && !last {
		return nil
	}
	a.count, a.due = 0, false
	if a.timer != nil {
		a.timer.Stop()
	}
	type message struct {
		Run string `json:"run"`
		Seq uint64 `json:"seq"`
	}
	text, _ := json.Marshal(map[string]message{"ack": {a.run, a.seq}}) // strings and numbers always encode
	return text
}

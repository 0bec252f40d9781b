package uplink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"gpsbridge/bridge/problem"
)

// AckMode is what proves that the server's application has a record.
type AckMode string

// The modes of acknowledgement.
const (
	// AckAuto is echo as soon as the server was seen to echo, now or by an earlier uplink. Until then a pong is provisional:
	// sending goes on, and the record is kept for Retain and sent again when the connection ends. It is the default.
	AckAuto AckMode = "auto"
	// AckEcho is the group's own echo of the record, or that of a record sent after it on the same connection.
	AckEcho AckMode = "echo"
	// AckPong is the answer to a ping that was sent after the record. It proves less: some servers answer pings ahead of
	// frames that they have read and not processed.
	AckPong AckMode = "pong"
	// AckNone is the write to the socket. A connection that breaks loses what was on its way.
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

// Warnings: records are acknowledged, but not as they should be.
const (
	NeverEchoes  problem.Code = "server-never-echoes" // pongs are provisional
	EchoesSome   problem.Code = "server-echoes-some"  // of all records
	EchoesLive   problem.Code = "server-echoes-live"  // and not the backlog
	RefusesMark  problem.Code = "server-refuses-mark" // of the backlog
	neverEchoFix              = `have the server send members their own messages; for a server that is meant not to, set ack = "pong"`
)

// A sender may ask a server by subprotocol for short acknowledgements in place of its own messages:
//
//	{"ack":{"run":"5f1c09ae77b2d041","seq":1843}}
//
// The group has been given everything that was sent on this connection up to that message. The server holds them back to send
// fewer; bridge/relay/README.md describes when. One that does not know the subprotocol echoes as ever.
const (
	ackProtocol = "gpsbridge.ack.v1"
	// ackDelay is for how long the server may hold one back.
	ackDelay = 6 * time.Second
)

// ackOf returns the message up to which a short acknowledgement acknowledges.
func ackOf(msg []byte) (key Key, ok bool) {
	if !bytes.Contains(msg, []byte(`"ack"`)) {
		return key, false
	}
	var m struct{ Ack json.RawMessage }
	if json.Unmarshal(msg, &m) != nil {
		return key, false
	}
	return keyOf(m.Ack)
}

// asksShort reports whether to ask for short acknowledgements. With a smaller window each fix would wait for what is held back.
func (u *Uplink) asksShort() bool {
	return (u.c.Ack == AckAuto || u.c.Ack == AckEcho) && u.c.Window >= startWindow && !u.path.plain
}

// acksLate takes note of by how much acknowledgements may be held back on this connection; 0: they are not. Caller holds mu.
func (u *Uplink) acksLate(by time.Duration) {
	u.win.delay = by
	if q, ok := u.queue.(interface{ Late(by time.Duration) }); ok {
		q.Late(by)
	}
}

// warnAfter is how long a server must have answered pings without any echo before that is worth a warning. Echoes of a Django
// Channels server with a thousand viewers were measured 24 s late (99th percentile).
const warnAfter = 30 * time.Second

// class divides records by what servers treat differently.
type class int

const (
	live class = iota
	late       // sent after a newer record
	classes
)

// Servers echo all records, some, or those of one class only: they broadcast at most one a second, ignore what is older than
// their newest, or leave out what their schema does not know. Where a server echoes all, one without an echo is lost and is
// sent again. Where it echoes some, sending again only takes room from live records.
//
// The server processes a connection in order. So an echo proves that its application has had everything sent before on that
// connection, echoed or not.
const (
	// blockTime and blockLeast are the time and the number of records by which a class is judged.
	blockTime  = 10 * time.Second
	blockLeast = 5
	// blocksNeeded is the number of blocks in a row that change the judgement: a channel layer that is overrun loses a window
	// now and then, and not a tenth of all for half a minute, because the window shrinks.
	blocksNeeded = 3
	// someShare is the share without an echo from which a block counts as "some".
	someShare = 0.1
	// neverLeast is the number of records of a class without a single echo that are enough at once, while another class is echoed.
	neverLeast = 16
	// silencesNeeded is the number of connections in a row that were given up for lack of an echo from which a pong is
	// provisional where Config.Final: it takes a minute. No later record comes, whose echo would show that the server has read
	// what waits.
	silencesNeeded = 3
)

// echoes judges a server by the echoes of records that were sent once.
type echoes struct {
	class [classes]share
	last  time.Time     // of the last echo on this connection; zero: none
	gap   time.Duration // the longest between two echoes of a connection

	silences int // connections in a row that were given up for lack of one, where no record comes after those that wait
}

// share is what is known about one class.
type share struct {
	some     bool // the judgement: the server echoes some of them, or none
	begin    time.Time
	echoed   int // in this block
	skipped  int // passed over by the echo of a later record, in this block
	blocks   int // in a row that contradict some
	inRow    int // skipped since the last echo
	everEcho bool
}

// saw takes one record of a class that was echoed or skipped.
func (e *echoes) saw(c class, echoed bool, now time.Time) {
	s := &e.class[c]
	if s.begin.IsZero() {
		s.begin = now
	}
	if echoed {
		if !e.last.IsZero() {
			e.gap = max(e.gap, now.Sub(e.last))
		}
		e.last = now
		s.echoed++
		s.inRow, s.everEcho = 0, true
	} else {
		s.skipped++
		s.inRow++
	}
	if s.inRow >= neverLeast && e.class[live+late-c].everEcho {
		s.some, s.blocks = true, 0
	}
	if n := s.echoed + s.skipped; n < blockLeast || now.Sub(s.begin) < blockTime {
		return
	}
	some := float64(s.skipped) >= someShare*float64(s.echoed+s.skipped)
	switch {
	case some == s.some, !some && s.skipped > 0:
		s.blocks = 0
	default:
		if s.blocks++; s.blocks >= blocksNeeded {
			s.some, s.blocks = some, 0
		}
	}
	s.begin, s.echoed, s.skipped = now, 0, 0
}

// some reports whether records of a class may stay without an echo.
func (e *echoes) some(c class) bool { return e.class[c].some }

// partial reports whether any record may.
func (e *echoes) partial() bool { return e.some(live) || e.some(late) }

// silent reports whether no echo is to be expected: the server echoes nothing of what waits, and nothing comes after it.
func (e *echoes) silent() bool { return e.silences >= silencesNeeded }

// warning names the pattern, nil for none.
func (e *echoes) warning() *problem.Problem {
	const fix = `have it send members all their own messages; for a server that is meant not to, set ack = "pong"`
	switch {
	case e.some(live):
		return &problem.Problem{Code: EchoesSome, Key: "ack", Cause: "the server echoes some fixes and not others (it throttles or filters): those without an echo count as accepted by the echo of a later one", Fix: fix}
	case e.some(late):
		return &problem.Problem{Code: EchoesLive, Key: "order", Cause: "the server echoes live fixes and not those sent late (it ignores old ones, or those marked backlog): they count as accepted by the echo of a later one",
			Fix: fix + `, or order = "oldest-first"`}
	case e.silent():
		return &problem.Problem{Code: EchoesSome, Key: "ack", Cause: "the server answers pings and echoes nothing of what waits (it ignores old fixes and repeats, or its application is stuck): a fix counts as accepted when a connection has stood for retain after it", Fix: fix}
	}
	return nil
}

package uplink

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gpsbridge/bridge/problem"
)

// State is what an uplink is doing.
type State string

// The states of an uplink.
const (
	Connecting State = "connecting" // an attempt is under way
	Connected  State = "connected"
	Waiting    State = "waiting" // before the next attempt
	Stopped    State = "stopped" // Run has returned
)

// Status is a snapshot of an uplink, without secrets.
type Status struct {
	Name  string    `json:"name"`
	URL   string    `json:"url"` // without user, password and query values
	State State     `json:"state"`
	Since time.Time `json:"since"` // connected or not, since then

	Problem *problem.Problem `json:"problem,omitempty"` // why there is no connection
	Warning *problem.Problem `json:"warning,omitempty"` // what is wrong although records are acknowledged

	Clock string `json:"clock,omitempty"` // the source of the time at which certificates were verified; absent without TLS

	Compressed  bool             `json:"compressed"`            // messages of this connection are
	Compression *problem.Problem `json:"compression,omitempty"` // why it is not offered although it may be

	Ack         AckMode `json:"ack"` // in force; auto: no echo was seen yet
	Order       Order   `json:"order"`
	Behind      uint64  `json:"behind"`      // records not acknowledged, outstanding ones included
	Window      int     `json:"window"`      // limit of records on their way now
	Outstanding int     `json:"outstanding"` // sent and not acknowledged
	Provisional int     `json:"provisional"` // of the outstanding ones: acknowledged by a pong, and kept until there is proof

	Sent        uint64 `json:"sent"`        // frames, repeats included
	Acked       uint64 `json:"acked"`       // records
	Unechoed    uint64 `json:"unechoed"`    // of the acknowledged ones: without an echo of their own
	Resent      uint64 `json:"resent"`      // frames that were repeats
	Lost        uint64 `json:"lost"`        // records whose echo was missing, and sent again
	Backlog     uint64 `json:"backlog"`     // frames sent late: after a newer record had been sent
	Quarantined uint64 `json:"quarantined"` // records given to Quarantine: the server breaks the connection on them
	Skipped     uint64 `json:"skipped"`     // records that no server accepts (empty, not text), thrown away
	TooLong     uint64 `json:"too_long"`    // messages of the group that were longer than 1 MiB, thrown away
	Connects    uint64 `json:"connects"`

	// As TCP carries them: handshakes, framing and TLS included. A modem counts the headers of TCP and IP too, and what TCP sent
	// again: HeaderBytes, both ways.
	SentBytes     uint64 `json:"sent_bytes"`
	ReceivedBytes uint64 `json:"received_bytes"`
	HeaderBytes   uint64 `json:"header_bytes"`

	RTT        float64  `json:"rtt,omitempty"`          // s, of echo or ping, smoothed; absent until measured
	RetryIn    float64  `json:"retry_in,omitempty"`     // s, while waiting
	LastAckAge *float64 `json:"last_ack_age,omitempty"` // s, provisional ones included; absent before the first
}

// Status returns what the uplink is doing now. It is safe from any goroutine.
func (u *Uplink) Status() Status {
	behind := u.behind()
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.status
	s.Order, s.Behind = u.c.Order, behind
	s.SentBytes, s.ReceivedBytes, s.HeaderBytes = u.c.traffic.sent.Load(), u.c.traffic.received.Load(), u.c.traffic.headers()
	if u.tls {
		s.Clock = u.clock
	}
	s.Compressed = u.session != nil && u.session.compressed
	s.Compression = u.compression.why
	s.Name, s.URL, s.Ack = u.c.Name, u.url, u.mode
	s.Window, s.Outstanding, s.Provisional = u.win.size, u.win.outstanding(), u.win.held
	s.RTT = u.win.srtt.Seconds()
	if s.State == Waiting {
		s.RetryIn = max(0, time.Until(u.retryAt).Seconds())
	}
	if !u.lastAck.IsZero() {
		age := time.Since(u.lastAck).Seconds()
		s.LastAckAge = &age
	}
	return s
}

// Steady reports whether records that come may be held back. They may not while there is no connection, while one waits for room,
// was sent late or again, or is without an acknowledgement for long, and while a record is looked for on which the server breaks
// the connection: the acknowledgement of a new one shows what has become of those.
func (u *Uplink) Steady() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	s, flying := u.session, u.win.flying()
	if s == nil || s.waits || u.isolation.searching() || len(u.win.lost) > 0 {
		return false
	}
	return !slices.ContainsFunc(flying, func(f *flight) bool { return f.late || f.again || time.Since(f.at) > probeFloor+u.win.delay })
}

// counter is a queue that knows how many of its records are not acknowledged.
type counter interface{ Waiting() uint64 }

// behind is the number of records not acknowledged. For a queue that does not
// count, those are in it that were acknowledged ahead of others.
func (u *Uplink) behind() uint64 {
	if q, ok := u.queue.(counter); ok {
		return q.Waiting()
	}
	acked := u.queue.Acked()
	return u.queue.Last() - min(acked, u.queue.Last())
}

// enter changes the state. While attempts fail, connecting keeps the problem of
// the last failure and the time since when there is no connection.
func (u *Uplink) enter(s State, why *problem.Problem, pause time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	trying := func(s State) bool { return s == Connecting || s == Waiting }
	if was := u.status.State; was != s && !(trying(was) && trying(s)) {
		u.status.Since = now()
	}
	if s != Connecting {
		u.status.Problem = why
	}
	u.status.State = s
	u.retryAt = time.Now().Add(pause)
	u.notify()
}

// logged is what the log knows: of the connection, and of the way the server
// acknowledges.
type logged struct {
	connection problem.Changes
	once       bool // that there was a connection
	repeats    int  // problems that were not worth a line, since the last that was
	warning    problem.Changes
}

// trouble logs a problem of the connection, if that is worth a line. Caller
// holds mu.
func (u *Uplink) trouble(event string, err error, attrs ...any) {
	worth, _ := u.logged.connection.Report(problem.Of(err), time.Now())
	if !worth {
		u.logged.repeats++
		return
	}
	attrs = append([]any{"url", u.url, "reason", reason(err)}, attrs...)
	u.log.Warn(event, append(u.repeats(), attrs...)...)
}

// recovered logs that there is a connection, if that is worth a line: the first
// one, and one of use after a problem. Caller holds mu.
func (u *Uplink) recovered() {
	worth, _ := u.logged.connection.Report(nil, time.Now())
	if worth || !u.logged.once {
		u.logged.once = true
		u.log.Info("connected", append(u.repeats(), "url", u.url, "ack", u.mode)...)
	}
}

// repeats is the attribute that counts what was not logged. Caller holds mu.
func (u *Uplink) repeats() []any {
	n := u.logged.repeats
	u.logged.repeats = 0
	if n == 0 {
		return nil
	}
	return []any{"repeats", n}
}

// refused takes note of an attempt that failed.
func (u *Uplink) refused(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failed = err
	u.trouble("cannot connect, retrying", err)
}

// connected takes note of a connection.
func (u *Uplink) connected(s *session) {
	u.enter(Connected, nil, 0)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failed, u.session = nil, s
	u.status.Connects++
	u.win.restart(u.queue.Acked())
	if s.conn.Subprotocol() == ackProtocol {
		u.acksLate(ackDelay)
	}
	u.echoes.last = time.Time{}
	if !u.logged.once {
		u.recovered()
	}
}

// disconnected takes note of the end of a connection.
func (u *Uplink) disconnected(ctx context.Context, err error, useful bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.session = nil
	u.acksLate(0)
	if needsPerson(problem.CodeOf(err)) {
		u.failed = err
	}
	u.notify()
	if useful {
		u.recovered()
	}
	outstanding := u.win.outstanding()
	switch {
	case ctx.Err() != nil:
		u.log.Info("connection closed", "url", u.url, "outstanding", outstanding)
	case problem.CodeOf(err) == AgeReached:
		u.log.Info("connection replaced by a new one", "url", u.url, "age", u.c.Renew)
	default:
		u.trouble("connection lost, retrying", err, "outstanding", outstanding)
	}
}

// warnEchoes enters what the echoes show. Caller holds mu.
func (u *Uplink) warnEchoes() {
	w := u.echoes.warning()
	switch {
	case u.isolation.marksRefused():
		w = &problem.Problem{Code: RefusesMark, Key: "order", Cause: `the server breaks the connection on fixes marked "backlog":true: those sent late go without the mark`,
			Fix: `let its schema accept the member backlog, or set order = "oldest-first"`}
	case u.mode == AckAuto && u.session != nil && u.win.held > 0 && time.Since(u.session.since) >= warnAfter:
		w = &problem.Problem{Code: NeverEchoes, Key: "ack", Cause: fmt.Sprintf("the server answers pings and has never echoed a fix: each fix is kept for %s and sent again when the connection ends", u.c.Retain),
			Fix: neverEchoFix}
	case u.mode == AckAuto:
		w = u.status.Warning // it holds until there is an echo
	}
	u.warn(w)
}

// warn enters what is wrong with the way the server acknowledges, nil for
// nothing, and logs a change. Caller holds mu.
func (u *Uplink) warn(w *problem.Problem) {
	u.status.Warning = w
	worth, _ := u.logged.warning.Report(w, time.Now())
	switch {
	case !worth:
	case w == nil:
		u.log.Info("server acknowledges as it should")
	default:
		u.log.Warn("server does not acknowledge as it should", "reason", reason(w), "key", w.Key)
	}
}

// reason is an error as the log shows it: one line.
func reason(err error) string { return oneLine(problem.Of(err).Text()) }

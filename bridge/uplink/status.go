package uplink

import (
	"context"
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

	Ack         AckMode `json:"ack"` // in force; auto until known
	Order       Order   `json:"order"`
	Behind      uint64  `json:"behind"`      // records not acknowledged, outstanding ones included
	Window      int     `json:"window"`      // limit of outstanding records now
	Outstanding int     `json:"outstanding"` // sent and not acknowledged

	Sent        uint64 `json:"sent"`        // frames, repeats included
	Acked       uint64 `json:"acked"`       // records
	Resent      uint64 `json:"resent"`      // frames that were repeats
	Lost        uint64 `json:"lost"`        // records seen lost by the gap in the echoes, and sent again
	Backlog     uint64 `json:"backlog"`     // frames sent late: after a newer record had been sent
	Quarantined uint64 `json:"quarantined"` // records given to Quarantine: the server breaks the connection on them, or never echoes them
	Skipped     uint64 `json:"skipped"`     // records that no server takes (empty, not text), thrown away
	Connects    uint64 `json:"connects"`

	// As TCP carries them: handshakes, framing and TLS included.
	SentBytes     uint64 `json:"sent_bytes"`
	ReceivedBytes uint64 `json:"received_bytes"`

	RTT        float64  `json:"rtt,omitempty"`          // s, of echo or ping, smoothed; absent until measured
	RetryIn    float64  `json:"retry_in,omitempty"`     // s, while waiting
	LastAckAge *float64 `json:"last_ack_age,omitempty"` // s; absent before the first
}

// Status returns what the uplink is doing now. It is safe from any goroutine.
func (u *Uplink) Status() Status {
	behind := u.behind()
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.status
	s.Order, s.Behind = u.c.Order, behind
	s.SentBytes, s.ReceivedBytes = u.traffic.sent.Load(), u.traffic.received.Load()
	if u.tls {
		s.Clock = u.clock
	}
	s.Name, s.URL, s.Ack = u.c.Name, u.url, u.mode
	s.Window, s.Outstanding = u.win.size, u.win.outstanding()
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

// trouble is what was said last about a missing connection, so that the same
// thing is said once and then counted.
type trouble struct {
	text    string
	repeats int  // of text, not logged
	lost    bool // a connection that ended without having acknowledged anything
}

// again reports whether text is what was said last, and counts it then.
func (t *trouble) again(text string, lost bool) bool {
	if t.text == text {
		t.repeats++
		return true
	}
	*t = trouble{text: text, lost: lost}
	return false
}

// refused takes note of an attempt that failed.
func (u *Uplink) refused(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failed = err
	repeats := u.trouble.repeats
	if !u.trouble.again(reason(err), false) {
		u.log.Warn("cannot connect, retrying", append(u.after(repeats), "url", u.url, "reason", reason(err))...)
	}
}

// connected takes note of a connection. When earlier ones were made and lost in
// the same way again and again, it is not worth a line until it acknowledges.
func (u *Uplink) connected(s *session) {
	u.enter(Connected, nil, 0)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failed, u.session = nil, s
	u.status.Connects++
	u.win.restart(u.queue.Acked())
	u.win.single = u.probe.careful()
	if !u.trouble.lost || u.trouble.repeats == 0 {
		u.log.Info("connected", append(u.after(u.trouble.repeats), "url", u.url, "ack", u.mode)...)
	}
	if !u.trouble.lost {
		u.trouble = trouble{}
	}
}

// recovered ends what disturbed the connection: something was acknowledged.
// Caller holds mu.
func (u *Uplink) recovered() {
	if u.trouble.repeats > 0 {
		u.log.Info("connected", append(u.after(u.trouble.repeats), "url", u.url, "ack", u.mode)...)
	}
	u.trouble = trouble{}
}

// disconnected takes note of the end of a connection.
func (u *Uplink) disconnected(ctx context.Context, err error, fruitful bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.session = nil
	if needsPerson(problem.CodeOf(err)) {
		u.failed = err
	}
	u.notify()
	switch {
	case ctx.Err() != nil:
		u.log.Info("connection closed", "url", u.url, "outstanding", u.win.outstanding())
	case problem.CodeOf(err) == AgeReached:
		u.log.Info("connection replaced by a fresh one", "url", u.url, "age", u.c.Renew)
	case !u.trouble.again(reason(err), !fruitful):
		u.log.Warn("connection lost, retrying", "url", u.url, "reason", reason(err), "outstanding", u.win.outstanding())
	}
}

// after is the attribute that says how often the last trouble repeated.
func (u *Uplink) after(repeats int) []any {
	if repeats == 0 {
		return nil
	}
	return []any{"repeats", repeats}
}

// reason is an error as the log shows it: one line.
func reason(err error) string { return oneLine(problem.Of(err).Text()) }

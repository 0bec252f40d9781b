package uplink

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gpsbridge/bridge/problem"
)

// retry chooses the pauses between attempts to connect. Attempts that did not connect and connections that ended without
// having been of use grow apart: a server that comes back after an outage is not left alone as long as the outage had taught.
type retry struct {
	unreached, unused, slow backoff.ExponentialBackOff // without their jitter
	random                  *rand.Rand
}

// isolatingFrom and isolatingTo are from where to where the bound of the pauses lies while a record is looked for on which the server breaks the
// connection: that takes a dozen connections, and live records wait for it. It is 15 connections a minute on average.
const isolatingFrom, isolatingTo = 2 * time.Second, 6 * time.Second

// newRetry: a link that breaks or a server that restarts is tried again with
// full jitter (uniform from 0 to a limit that doubles from 0.5 s to 30 s, which
// spreads a fleet that lost its server at one moment); where only a person can
// fix the problem, it is tried again after 2.5 to 7.5 s first, and at most once
// in 20 to 60 s later.
func newRetry(random *rand.Rand) *retry {
	fast := backoff.ExponentialBackOff{InitialInterval: 500 * time.Millisecond, Multiplier: 2, MaxInterval: 30 * time.Second}
	return &retry{
		unreached: fast,
		unused:    fast,
		slow:      backoff.ExponentialBackOff{InitialInterval: 7500 * time.Millisecond, Multiplier: 2, MaxInterval: time.Minute},
		random:    random,
	}
}

// between is uniform from least to most.
func (r *retry) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.random.Int64N(int64(most-least)+1))
}

// reset is for a connection that was of use, not for one that was merely
// accepted: a server that accepts connections and closes them, at once or after
// some records, must not get one after the other.
func (r *retry) reset() {
	r.unreached.Reset()
	r.unused.Reset()
	r.slow.Reset()
}

// usefulPause bounds the pauses after a connection that was of use for a short time only from below: a server that ends each
// one after some dozen records gets one connection a second.
const usefulPause = 500 * time.Millisecond

// after is the pause before the next attempt when the last one ended so; connected is that it ended after the handshake. A
// server that names a time (Retry-After) gets that, and up to a tenth more.
func (r *retry) after(err error, connected, isolating, brief bool) time.Duration {
	pause := time.Duration(0)
	switch {
	case needsPerson(problem.CodeOf(err)) && !isolating:
		most := r.slow.NextBackOff()
		pause = r.between(most/3, most)
	case connected:
		pause = r.between(0, r.unused.NextBackOff())
	default:
		pause = r.between(0, r.unreached.NextBackOff())
	}
	if isolating {
		pause = min(pause, r.between(isolatingFrom, isolatingTo))
	}
	if brief {
		pause += usefulPause
	}
	if a := (*answer)(nil); errors.As(err, &a) && a.retryAfter > pause {
		pause = r.between(a.retryAfter, a.retryAfter+a.retryAfter/10)
	}
	return pause
}

// path is what was learned about the way to the server. It is not safe for
// concurrent use.
type path struct {
	allowed time.Duration // for the whole handshake
	limit   time.Duration // of allowed

	segment int // of TCP, in bytes; 0: the system's
	stalls  int // connections in a row that carried something and stalled then

	plain bool // the handshake asks for no more than a WebSocket: the server or a proxy refused it with more

	prompt bool // the server's pings are answered at once: it did not wait for an answer
}

const (
	// allowedFirst is for a handshake of four round trips of 3 s, which is what 2G and satellites need at their worst. It
	// grows where a port answers and the handshake does not end in time.
	allowedFirst = 15 * time.Second
	// stallsToShrink is the number of connections in a row that stall before smaller segments are tried. A path that drops
	// large packets without a message (a tunnel, PPPoE, some cellular networks) carries the small ones before.
	stallsToShrink = 2
)

// segments are tried one after the other: what passes through tunnels, and the 536 bytes that every path carries (RFC 9293, 3.7.1).
var segments = []int{1200, 536}

func newPath(limit time.Duration) path { return path{allowed: min(allowedFirst, limit), limit: limit} }

// failed takes an attempt that did not connect.
func (p *path) failed(err error) {
	if a := (*answer)(nil); errors.As(err, &a) && a.status == http.StatusBadRequest {
		p.plain = !p.plain // the other kind of handshake next, until one is accepted
	}
	if found := problem.Of(err); found.Code == Timeout && found.Key == "connect_timeout" {
		p.allowed = min(2*p.allowed, p.limit)
		// A ClientHello with a post-quantum key, like the server's certificates, fills more than one packet. Small segments
		// cost a server that is only slow nothing, since messages are small.
		p.shrink()
	}
}

// ended takes the end of a connection, on which records were outstanding or not.
func (p *path) ended(err error, outstanding bool) {
	switch code := problem.CodeOf(err); {
	case code == ClosedPing:
		p.prompt, p.stalls = true, 0
	case (code == LinkDead || code == WriteTimeout) && outstanding:
		p.stalls++
	default:
		p.stalls = 0
	}
	if p.stalls < stallsToShrink {
		return
	}
	p.stalls = 0
	p.shrink()
}

// pongWait is how long the answer to a ping may wait.
func (p *path) pongWait() time.Duration {
	if p.prompt {
		return 0
	}
	return pongWait
}

// shrink goes on to the next smaller segment.
func (p *path) shrink() {
	for _, segment := range segments {
		if p.segment == 0 || segment < p.segment {
			p.segment = segment
			return
		}
	}
}

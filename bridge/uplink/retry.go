package uplink

import (
	"time"

	"github.com/cenkalti/backoff/v5"

	"gpsbridge/bridge/problem"
)

// retry chooses the pauses between attempts to connect.
type retry struct{ fast, slow backoff.ExponentialBackOff }

// newRetry: a link that breaks or a server that restarts is tried again with
// full jitter (uniform from 0 to a limit that doubles from 0.5 s to 30 s, which
// spreads a fleet that lost its server at one moment); a server that says no is
// asked again after 2.5 to 7.5 s first, and at most once in 20 to 60 s later,
// because only a person can change its mind.
func newRetry() *retry {
	return &retry{
		// The random factor 1 makes each interval uniform from 0 to its double.
		fast: backoff.ExponentialBackOff{InitialInterval: 250 * time.Millisecond, RandomizationFactor: 1, Multiplier: 2, MaxInterval: 15 * time.Second},
		slow: backoff.ExponentialBackOff{InitialInterval: 5 * time.Second, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 40 * time.Second},
	}
}

// reset is for a connection that acknowledged something, not for one that was
// merely accepted: a server that takes connections and closes them must not be
// hammered.
func (r *retry) reset() {
	r.fast.Reset()
	r.slow.Reset()
}

// after is the pause before the next attempt when the last one ended so.
func (r *retry) after(err error) time.Duration {
	if needsPerson(problem.CodeOf(err)) {
		return r.slow.NextBackOff()
	}
	return r.fast.NextBackOff()
}

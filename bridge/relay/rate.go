package relay

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// The requests that one remote address may make, as a token bucket. Opening the
// page costs 40 of them and a map of tiles a hundred, so a burst serves a few
// phones behind one address; a page that is open asks once a second or two. A
// thousand trackers behind one address of a mobile network, coming back within
// the 30 s of their backoff after an outage, are 33 a second. Above that it is a
// flood.
const (
	requestRate  = 50  // a second
	requestBurst = 300 // at once
	// maxRemotes bounds the addresses that are remembered, at 100 bytes each.
	maxRemotes = 4096
)

// throttle counts what each remote address does. What comes over loopback is not
// counted: it is this machine's own, or comes through a proxy, which alone knows
// whom to throttle.
type throttle struct {
	// Set once.
	rate, burst float64
	remotes     int  // that are remembered
	loopback    bool // counts loopback too, for tests

	// Guarded by mu.
	mu      sync.Mutex
	buckets map[netip.Prefix]bucket
}

// bucket held left tokens at the time at.
type bucket struct {
	left float64
	at   time.Time
}

func newThrottle() *throttle {
	return &throttle{rate: requestRate, burst: requestBurst, remotes: maxRemotes, buckets: make(map[netip.Prefix]bucket)}
}

// allow takes a token of remote ("host:port") and says whether there was one.
func (t *throttle) allow(remote string, now time.Time) bool {
	who, ok := t.whose(remote)
	if !ok {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b, known := t.buckets[who]
	if !known {
		if len(t.buckets) >= t.remotes {
			t.forget(now)
		}
		b = bucket{t.burst, now}
	}
	b = bucket{t.filled(b, now), now}
	allowed := b.left >= 1
	if allowed {
		b.left--
	}
	t.buckets[who] = b
	return allowed
}

// filled is what b holds now.
func (t *throttle) filled(b bucket, now time.Time) float64 {
	return min(t.burst, b.left+now.Sub(b.at).Seconds()*t.rate)
}

// forget drops the buckets that are full again, which says as much as none, and
// if there are none of these all: who floods from thousands of addresses is not
// stopped by counting them. Under mu.
func (t *throttle) forget(now time.Time) {
	for who, b := range t.buckets {
		if t.filled(b, now) >= t.burst {
			delete(t.buckets, who)
		}
	}
	if len(t.buckets) >= t.remotes {
		clear(t.buckets)
	}
}

// whose is what is counted together: an IPv4 address, or a /64 of IPv6, which one
// subscriber has. It says false for what is not counted.
func (t *throttle) whose(remote string) (netip.Prefix, bool) {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}, false // not of a network
	}
	ip := from.Addr().Unmap().WithZone("")
	if ip.IsLoopback() && !t.loopback {
		return netip.Prefix{}, false
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	who, err := ip.Prefix(bits)
	return who, err == nil
}

// throttled answers those who ask too often with 429.
func (r *Relay) throttled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !r.throttle.allow(q.RemoteAddr, time.Now()) {
			r.hub.refuse(refusedRate, q.RemoteAddr)
			w.Header().Set("Retry-After", "5")
			answerError(w, q, http.StatusTooManyRequests, "too many requests from this address: ask again in a few seconds")
			return
		}
		next.ServeHTTP(w, q)
	})
}

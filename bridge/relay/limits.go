package relay

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// The requests that one remote address may make. Opening the page takes 40 of them and a map of tiles a hundred, so a burst
// serves a few phones behind one address; an open page asks once a second or two. A thousand trackers behind one address of
// a mobile network that come back within the 30 s of their back-off after an outage are 33 a second. More is a flood.
const (
	requestRate  = 50  // a second
	requestBurst = 300 // at once
	// maxRemotes bounds the addresses that are remembered, at about 200 bytes each.
	maxRemotes = 4096
)

// throttle counts what each remote address does. Loopback is not counted: it is this machine, or a proxy on it, and only the
// proxy knows which client to throttle.
type throttle struct {
	// Guarded by mu.
	mu       sync.Mutex
	limiters map[netip.Prefix]*rate.Limiter
}

func newThrottle() *throttle { return &throttle{limiters: make(map[netip.Prefix]*rate.Limiter)} }

// allow reports whether remote ("host:port") may make n requests more at now, and counts them.
func (t *throttle) allow(remote string, n int, now time.Time) bool {
	party, counted := partyOf(remote)
	if !counted {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	limiter := t.limiters[party]
	if limiter == nil {
		if len(t.limiters) >= maxRemotes {
			t.forget(now)
		}
		limiter = rate.NewLimiter(requestRate, requestBurst)
		t.limiters[party] = limiter
	}
	return limiter.AllowN(now, n)
}

// forget drops the limiters that are full again, which are as good as new ones. If there are none it drops all: a flood from
// thousands of addresses is not stopped by counting them. Under mu.
func (t *throttle) forget(now time.Time) {
	for party, limiter := range t.limiters {
		if limiter.TokensAt(now) >= requestBurst {
			delete(t.limiters, party)
		}
	}
	if len(t.limiters) >= maxRemotes {
		clear(t.limiters)
	}
}

// partyOf returns what is counted together: an IPv4 address, or a /64 of IPv6, which one subscriber has. It is false for
// what is not counted.
func partyOf(remote string) (netip.Prefix, bool) {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}, false // not from a network
	}
	ip := from.Addr().Unmap().WithZone("")
	if ip.IsLoopback() {
		return netip.Prefix{}, false
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	party, err := ip.Prefix(bits)
	return party, err == nil
}

// boundedListener closes connections above a number at once, in all and from one address, and those of an address that
// opens them too fast. The client sees that and can try again. One client that opens thousands takes neither the file
// descriptors of the rest of the program nor the places of all others, and costs no TLS handshakes.
type boundedListener struct {
	net.Listener
	hub      *hub
	throttle *throttle
	all      int // connections of other machines at a time
	each     int // of one address

	// Guarded by mu.
	mu   sync.Mutex
	open int
	from map[netip.Prefix]int
}

const (
	// localPlaces are left to this machine when all others are taken: its own status must be reachable then. They serve the
	// command status, doctor and a page or two.
	localPlaces = 16
	// otherFiles are the file descriptors that the rest of the program may need: receivers, spools, uplinks, sharing.
	otherFiles = 64
)

// places is how many connections other machines may have: 256 for pages and API calls beside the WebSockets, and no more
// than the file descriptors allow, so that none of the program's parts finds itself without.
func places(conns, descriptors int) int {
	return min(conns+256, max(16, descriptors-otherFiles-localPlaces))
}

// descriptors is how many files this process may open.
func descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return math.MaxInt32
	}
	return int(min(limit.Cur, math.MaxInt32))
}

// boundListener bounds the connections of l. One address gets a quarter: it may be a whole fleet behind a mobile network, or
// a client that wants to shut the others out.
func boundListener(l net.Listener, h *hub, t *throttle) *boundedListener {
	all := places(h.limits.conns, descriptors())
	if all < h.limits.conns {
		h.log.Warn("the limit of open files allows fewer connections than relay.max_conns", "max_conns", h.limits.conns, "connections", all)
	}
	return &boundedListener{Listener: l, hub: h, throttle: t, all: all, each: max(16, all/4), from: make(map[netip.Prefix]int)}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		remote := c.RemoteAddr().String()
		if !l.throttle.allow(remote, 1, time.Now()) {
			l.hub.refuse(refusedRate, remote)
		} else if leave, ok := l.enter(remote); !ok {
			l.hub.refuse(refusedFull, remote)
		} else {
			return &countedConn{Conn: c, done: sync.OnceFunc(leave)}, nil
		}
		c.Close()
	}
}

// enter takes a place for remote, if one is free. leave gives it back.
func (l *boundedListener) enter(remote string) (leave func(), ok bool) {
	party, counted := partyOf(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	if !counted {
		all += localPlaces
	}
	if l.open >= all || counted && l.from[party] >= l.each {
		return nil, false
	}
	l.open++
	if counted {
		l.from[party]++
	}
	return func() { l.leave(party) }, true
}

func (l *boundedListener) leave(party netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.from[party]--; l.from[party] <= 0 {
		delete(l.from, party)
	}
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	done func()
}

func (c *countedConn) Close() error {
	c.done()
	return c.Conn.Close()
}

// What a viewer may send, in bytes, whatever it is: messages, pings, or fragments without content, which no bound of
// messages sees. A viewer only needs pongs, and a page that was written for another server may send a line now and then. The
// burst is 16 of the largest messages.
const (
	viewerBurst = 64 << 10
	viewerRate  = 4 << 10 // a second
)

var errFlood = errors.New("viewers only listen, and this one sends too much")

func newViewerBudget() *rate.Limiter { return rate.NewLimiter(viewerRate, viewerBurst) }

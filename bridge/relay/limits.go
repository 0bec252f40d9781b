package relay

import (
	"crypto/tls"
	"errors"
	"maps"
	"math"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
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

const (
	// localPlaces are left to this machine when all others are taken: its own status must be reachable then. They serve the
	// command status, doctor and a page or two.
	localPlaces = 16
	// otherFiles are the file descriptors that the rest of the program may need: receivers, spools, uplinks, sharing.
	otherFiles = 64
)

// remotes counts what the clients at each address do: requests, and connections that are open. One client that opens
// thousands takes neither the file descriptors of the rest of the program nor the places of all others. Loopback is counted
// in the total alone: it is this machine, or a proxy on it, and only the proxy knows which client to throttle. So are proxies elsewhere.
type remotes struct {
	proxies []netip.Prefix // whose clients are counted as this machine's

	all  int // connections of other machines at a time
	each int // of one address: a quarter. It may be a whole fleet behind a mobile network, or a client that shuts others out

	// Guarded by mu.
	mu   sync.Mutex
	open int
	of   map[netip.Prefix]*remote
}

// remote is one address.
type remote struct {
	requests *rate.Limiter
	open     int
}

// newRemotes counts for a relay of so many WebSockets in a process that may open so many files.
func newRemotes(conns, descriptors int, proxies []netip.Prefix) *remotes {
	// 256 for pages and API calls beside the WebSockets.
	all := min(conns+256, max(16, descriptors-otherFiles-localPlaces))
	return &remotes{proxies: proxies, all: all, each: max(16, all/4), of: make(map[netip.Prefix]*remote)}
}

// descriptors is how many files this process may open.
func descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return math.MaxInt32
	}
	return int(min(limit.Cur, math.MaxInt32))
}

// at returns what is counted of address ("host:port"), nil for what is not. An IPv4 address is counted alone, one of IPv6
// with its /64, which one subscriber has. Under mu.
func (t *remotes) at(address string, now time.Time) *remote {
	from, err := netip.ParseAddrPort(address)
	ip := from.Addr().Unmap().WithZone("")
	proxied := slices.ContainsFunc(t.proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
	if err != nil || ip.IsLoopback() || proxied { // an error: it is not from a network
		return nil
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	subscriber, _ := ip.Prefix(bits) // the bits are right
	r := t.of[subscriber]
	if r == nil {
		if len(t.of) >= maxRemotes {
			t.forget(now)
		}
		r = &remote{requests: rate.NewLimiter(requestRate, requestBurst)}
		t.of[subscriber] = r
	}
	return r
}

// forget drops the addresses without a connection that have made no request recently, which are as good as new ones. If
// there are none it drops all without a connection: a flood from thousands of addresses is not stopped by counting them.
// Under mu.
func (t *remotes) forget(now time.Time) {
	for _, requests := range []float64{requestBurst, 0} {
		maps.DeleteFunc(t.of, func(_ netip.Prefix, r *remote) bool { return r.open == 0 && r.requests.TokensAt(now) >= requests })
		if len(t.of) < maxRemotes {
			return
		}
	}
}

// allow reports whether address may make n requests more at now, and counts them.
func (t *remotes) allow(address string, n int, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.at(address, now)
	return r == nil || r.requests.AllowN(now, n)
}

// enter takes a place for a connection of address, if one is free. leave gives it back.
func (t *remotes) enter(address string) (leave func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all, r := t.all, t.at(address, time.Now())
	if r == nil {
		all, r = all+localPlaces, &remote{}
	}
	if t.open >= all || r.open >= t.each {
		return nil, false
	}
	t.open++
	r.open++
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.open--
		r.open--
	}), true
}

// admission bounds the handshakes of WebSockets a second.
type admission struct {
	now   *rate.Limiter
	later *rate.Limiter // gives each client that is refused a time of its own
}

// newAdmission admits n a second, a quarter of them at once.
func newAdmission(n int) *admission {
	return &admission{rate.NewLimiter(rate.Limit(n), max(1, n/4)), rate.NewLimiter(rate.Limit(n), 1)}
}

// longestReturn bounds when a client that was refused is to come again.
const longestReturn = time.Minute

// admit reports whether a client may join now.
func (a *admission) admit(now time.Time) bool { return a.now.AllowN(now, 1) }

// back is when the next client that is refused is to come again: no more of them a second than are admitted.
func (a *admission) back(now time.Time) time.Duration {
	slot := a.later.ReserveN(now, 1)
	wait := slot.DelayFrom(now)
	if wait > longestReturn {
		slot.CancelAt(now)
		wait = longestReturn
	}
	return time.Second + wait
}

// boundedListener closes connections that are too many, or that an address opens too fast. The client sees that and can try
// again. It costs no TLS handshake.
type boundedListener struct {
	net.Listener
	hub     *hub
	remotes *remotes
}

func (l boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := c.RemoteAddr().String()
		if !l.remotes.allow(address, 1, time.Now()) {
			l.hub.refuse(refusedRate, address)
		} else if leave, ok := l.remotes.enter(address); !ok {
			l.hub.refuse(refusedFull, address)
		} else {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetWriteBuffer(answerBuffer) // an error is of a closed one, which fails when it is written to
			}
			return &countedConn{Conn: c, leave: leave, hub: l.hub}, nil
		}
		c.Close()
	}
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	leave     func()
	hub       *hub
	computing atomic.Bool // it has one of hub.handshakes
}

func (c *countedConn) Close() error {
	c.computed()
	c.leave()
	return c.Conn.Close()
}

// handshakeWait is how long a TLS handshake waits for others, after which its connection is closed: http.Server gives it 5 s in all, and the client 10 s
// or more.
const handshakeWait = 2 * time.Second

var errHandshakes = errors.New("too many clients come at once")

// beginHandshake is tls.Config.GetConfigForClient: it waits for a place for what the handshake computes, which is from the client's first message to
// the answer, and lets go what else there is to do first. A thousand handshakes at once would each come before a message of a member.
func beginHandshake(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c := hello.Conn.(*countedConn)
	late := time.NewTimer(handshakeWait)
	defer late.Stop()
	select {
	case c.hub.handshakes <- struct{}{}:
		c.computing.Store(true)
		runtime.Gosched()
		return nil, nil
	case <-late.C:
		c.hub.refuse(refusedHandshakes, c.RemoteAddr().String())
		c.Close() // without an alert, which a client takes for a wrong certificate
		return nil, errHandshakes
	}
}

func (c *countedConn) Write(p []byte) (int, error) {
	defer c.computed()
	return c.Conn.Write(p)
}

// computed gives the place of a handshake back.
func (c *countedConn) computed() {
	if c.computing.CompareAndSwap(true, false) {
		<-c.hub.handshakes
	}
}

// What a viewer may send, in bytes, whatever it is: messages, pings, or fragments without content, which no bound of
// messages sees. A viewer only needs pongs, and a page that was written for another server may send a line now and then. The
// burst is 16 of the largest messages.
const (
	viewerBurst = 64 << 10
	viewerRate  = 4 << 10 // a second
)

// What publishers of a group with one token may send together. Above it they are read more slowly, which loses nothing: a backlog
// arrives with 1,500 fixes a second, which is 5 Mbit/s of a mobile network. A message costs more than its bytes, or many small
// ones would be as much work as a hundred trackers.
const (
	publisherBurst = 64 << 10
	publisherRate  = 1 << 20 // a second
	messageCost    = 256
)

var errFlood = errors.New("viewers only listen, and this one sends too much")

func newBudget(publisher bool) *rate.Limiter {
	if publisher {
		return rate.NewLimiter(publisherRate, publisherBurst)
	}
	return rate.NewLimiter(viewerRate, viewerBurst)
}

package relay

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// boundedListener closes connections above a number at once, in all and from one
// address, and those of an address that opens them too fast: a client that hears
// so can try again, and one that opens thousands takes neither the descriptors
// of the rest of the program nor the places of all others, and costs no TLS
// handshakes.
type boundedListener struct {
	net.Listener
	hub      *hub
	throttle *throttle
	all      int // connections at a time
	each     int // of one address

	// Guarded by mu.
	mu   sync.Mutex
	open int
	from map[netip.Prefix]int
}

// boundListener makes room for pages and API calls beside the WebSockets. One
// address has a quarter: it may be a whole fleet's behind a mobile network, or
// somebody who wants to shut the others out.
func boundListener(l net.Listener, h *hub, t *throttle) *boundedListener {
	all := h.limits.conns + 256
	return &boundedListener{Listener: l, hub: h, throttle: t, all: all, each: max(16, all/4), from: make(map[netip.Prefix]int)}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		remote := c.RemoteAddr().String()
		if !l.throttle.allow(remote, time.Now()) {
			l.hub.refuse(refusedRate, remote)
		} else if who, ok := l.enter(remote); !ok {
			l.hub.refuse(refusedFull, remote)
		} else {
			return &countedConn{Conn: c, done: sync.OnceFunc(func() { l.leave(who) })}, nil
		}
		c.Close()
	}
}

// enter takes a place for remote, if one is free.
func (l *boundedListener) enter(remote string) (netip.Prefix, bool) {
	who, counted := l.throttle.whose(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.all || counted && l.from[who] >= l.each {
		return who, false
	}
	l.open++
	if counted {
		l.from[who]++
	}
	return who, true
}

func (l *boundedListener) leave(who netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.from[who]--; l.from[who] <= 0 {
		delete(l.from, who)
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

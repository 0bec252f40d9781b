package realtest

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// pieceSize is the most that a [Proxy] passes on at a time: a packet or two.
const pieceSize = 2 << 10

// condition is the state of the network that a Proxy stands for.
type condition int

const (
	passing condition = iota
	stalled
	swallowing
)

// Proxy is a TCP network between a client and a server that can be disturbed while connections are open. Its methods may
// be called from any goroutine; each disturbance ends the one before it, and Restore ends them all.
type Proxy struct {
	listener net.Listener
	dial     func(context.Context) (net.Conn, error) // to the server
	ctx      context.Context
	running  sync.WaitGroup

	mu        sync.Mutex
	condition condition
	delay     time.Duration // of each piece
	changed   chan struct{} // closed and replaced at each change of the two above
	links     map[*link]bool
}

// link is one connection through a Proxy: the client's half, and the server's as soon as there is one.
type link struct {
	client, server net.Conn
	lost           bool // bytes of it were swallowed, so that it can never go on; guarded by Proxy.mu
}

// StartProxy listens on a port of its own and passes connections on to a server, target being host:port. It ends with
// the test.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", hostPort(FreePort(t)))
	if err != nil {
		t.Fatalf("start a proxy to %s: %v", target, err)
	}
	return proxyOn(t, l, dialer(target))
}

// dialer returns a function that connects to host:port.
func dialer(target string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{Timeout: startTimeout}).DialContext(ctx, "tcp", target)
	}
}

// proxyOn is a Proxy on a listener.
func proxyOn(t testing.TB, l net.Listener, dial func(context.Context) (net.Conn, error)) *Proxy {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{listener: l, dial: dial, ctx: ctx, changed: make(chan struct{}), links: make(map[*link]bool)}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		p.Reset()
		p.running.Wait()
	})
	return p
}

// Addr returns host:port, where clients connect.
func (p *Proxy) Addr() string {
	return p.listener.Addr().String()
}

// Stall holds everything back, in both directions, until Restore: packets are dropped, and TCP sends them again when the
// network is back.
func (p *Proxy) Stall() {
	p.change(stalled, 0)
}

// BlackHole swallows everything in both directions without closing anything. A connection of which something was swallowed
// never recovers, not even after Restore: a router on the way has forgotten it, and neither end learns of it.
func (p *Proxy) BlackHole() {
	p.change(swallowing, 0)
}

// Slow delays each piece of up to 2 KiB so long, in each direction: 200 ms are a round trip of 400 ms and 10 KiB/s.
func (p *Proxy) Slow(each time.Duration) {
	p.change(passing, each)
}

// Restore ends every disturbance.
func (p *Proxy) Restore() {
	p.change(passing, 0)
}

// Reset breaks every connection with a TCP reset towards both ends. New ones are accepted as before.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		reset(l.client)
		reset(l.server)
	}
}

// reset closes a connection with a reset instead of an orderly end.
func reset(c net.Conn) {
	if c == nil {
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func (p *Proxy) change(c condition, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.condition, p.delay = c, delay
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		l := &link{client: c}
		p.mu.Lock()
		p.links[l] = true
		p.mu.Unlock()
		if p.ctx.Err() != nil { // the end may not have seen this one
			reset(c)
		}
		p.running.Go(func() { p.serve(l) })
	}
}

// serve passes on what goes over one connection, until both halves have ended.
func (p *Proxy) serve(l *link) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
		_ = l.client.Close()
		if l.server != nil {
			_ = l.server.Close()
		}
	}()
	if !p.passes(l) {
		_, _ = io.Copy(io.Discard, l.client) // until the client gives up
		return
	}
	c, err := p.dial(p.ctx)
	if err != nil {
		reset(l.client) // as near as a proxy comes to a refusal
		return
	}
	p.mu.Lock()
	l.server = c
	p.mu.Unlock()
	if p.ctx.Err() != nil {
		reset(c)
	}
	var down sync.WaitGroup
	down.Go(func() { p.pump(l, l.server, l.client) })
	p.pump(l, l.client, l.server)
	down.Wait()
}

// pump passes on what comes from one end of a link, its end included.
func (p *Proxy) pump(l *link, from, to net.Conn) {
	piece := make([]byte, pieceSize)
	for {
		n, err := from.Read(piece)
		passes := p.passes(l)
		if passes && n > 0 {
			if _, failed := to.Write(piece[:n]); failed != nil {
				err = failed
			}
		}
		switch {
		case err == nil:
			continue
		case !passes: // the other end learns nothing of it
		case errors.Is(err, io.EOF):
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
		default:
			reset(to)
			reset(from)
		}
		return
	}
}

// passes waits as the network demands, and reports whether the next piece of a link gets through.
func (p *Proxy) passes(l *link) bool {
	var due <-chan time.Time // nil until a delay is known
	for {
		p.mu.Lock()
		c, delay, changed := p.condition, p.delay, p.changed
		l.lost = l.lost || c == swallowing
		lost := l.lost
		p.mu.Unlock()
		switch {
		case lost:
			return false
		case c == passing && delay == 0:
			return true
		case c == passing && due == nil:
			due = time.After(delay)
		}
		wait := due
		if c != passing {
			wait = nil
		}
		select {
		case <-wait:
			return true
		case <-changed:
		case <-p.ctx.Done():
			return true // to a closed connection
		}
	}
}

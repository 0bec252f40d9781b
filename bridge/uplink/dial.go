package uplink

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/deflate"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/secret"
)

// Dial connects to c.URL and returns the open WebSocket. Of c it uses what concerns the connecting: URL, Origin, Header, the
// files, ConnectTimeout and Clock. Its errors are problems without secrets, those of ctx aside.
func Dial(ctx context.Context, c Config) (*websocket.Conn, error) {
	conn, _, err := dial(ctx, c)
	return conn, err
}

// dial is Dial, and returns the header of the server's answer too.
func dial(ctx context.Context, c Config) (*websocket.Conn, http.Header, error) {
	c = c.withDefaults()
	target, err := parseURL(c.URL)
	if err != nil {
		return nil, nil, err
	}
	header, err := c.header(target)
	if err != nil {
		return nil, nil, err
	}
	a := attempt{c: c, target: target, header: header, release: func() {}}
	a.now, a.clock = c.Clock()
	trust, err := c.tlsConfig(a.now, header.Get("Authorization"))
	if err != nil {
		return nil, nil, err
	}
	a.trust = trust
	defer func() { a.release() }()
	d := websocket.Dialer{
		NetDialContext:   func(limited context.Context, _, _ string) (net.Conn, error) { return a.open(ctx, limited) },
		HandshakeTimeout: c.ConnectTimeout,
	}
	bare := *target
	bare.User = nil    // it went into the header
	bare.Scheme = "ws" // open does TLS
	if c.short {
		d.Subprotocols = []string{ackProtocol}
	}
	if c.Compress != CompressOff {
		header[deflate.Header] = []string{deflate.Offer}
	}
	conn, resp, err := d.DialContext(ctx, bare.String(), header)
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, fmt.Errorf("connect to %s: %w", secret.RedactURL(target.String()), context.Cause(ctx))
		}
		return nil, nil, a.explain(resp, err)
	}
	if err := a.conn.stand(); err != nil {
		conn.Close()
		return nil, nil, a.explain(nil, err)
	}
	return conn, resp.Header, nil
}

// agreed is the compression of a connection that Dial has opened, nil for none.
func agreed(conn *websocket.Conn) *deflate.Params {
	if h, ok := conn.NetConn().(*deflate.Handshake); ok {
		return h.Params()
	}
	return nil
}

// attempt is one try to connect.
type attempt struct {
	c      Config
	target *url.URL
	header http.Header
	trust  *tls.Config
	now    time.Time // at which certificates are verified
	clock  string    // the source of now

	via     string      // host:port of a proxy, if one is used
	linked  atomic.Bool // TCP is connected: what fails later is the handshake
	conn    *wire
	release func()
}

// open makes the connection on which gorilla does the handshake: TCP, through the proxy of the environment if there is one, TLS,
// and the compression. limited is ctx with the time for all that.
func (a *attempt) open(ctx, limited context.Context) (net.Conn, error) {
	conn, err := a.route(ctx, limited)
	if err == nil && a.target.Scheme == "wss" {
		conn, err = a.secure(limited, conn)
	}
	if err == nil && a.c.Compress != CompressOff {
		conn = deflate.NewHandshake(conn)
	}
	return conn, err
}

// secure does the TLS handshake.
func (a *attempt) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	a.trust.ServerName = a.target.Hostname()
	over := tls.Client(conn, a.trust)
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err := over.HandshakeContext(ctx)
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(over.ConnectionState(), err)
	}
	if err != nil {
		_ = a.conn.flush() // the alert that states why
		conn.Close()
		return nil, err
	}
	return over, nil
}

// connect makes the TCP connection. The WebSocket handshake on it knows a deadline only, so the end of ctx closes the
// connection under it.
func (a *attempt) connect(ctx context.Context, addr string) (net.Conn, error) {
	if addr != net.JoinHostPort(a.target.Hostname(), a.port()) {
		a.via = addr
	}
	limited, cancel := context.WithTimeout(ctx, a.c.tcpTimeout())
	defer cancel()
	conn, err := a.c.dial(limited, addr, a.c.segment)
	if err != nil {
		return nil, err
	}
	a.linked.Store(true)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	a.release = func() { stop() }
	a.conn = &wire{Conn: conn, traffic: a.c.traffic, left: maxHandshake}
	a.c.traffic.opened(a.conn)
	return a.conn, nil
}

// tcpTimeout is the time for looking the name up and connecting over TCP: two round trips, of which the slowest links of
// satellites and 2G need 3 to 4 s each.
func (c Config) tcpTimeout() time.Duration { return min(10*time.Second, c.ConnectTimeout) }

// parseURL checks the form of a server's address. Its errors never repeat what
// may hold a secret.
func parseURL(s string) (*url.URL, error) {
	const want = "write ws://HOST/PATH/ or wss://HOST/PATH/"
	bad := func(cause, fix string) error {
		return &problem.Problem{Code: BadURL, Key: "server", Cause: cause, Fix: fix}
	}
	if s == "" {
		return nil, bad("the address is empty", want)
	}
	u, err := url.Parse(s)
	if err != nil {
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err // the outer error repeats the address, password included
		}
		return nil, bad("the address cannot be read ("+err.Error()+")", want)
	}
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss":
		return nil, bad(fmt.Sprintf("%q does not begin with ws:// or wss://", secret.RedactURL(u.String())), want)
	case u.Hostname() == "":
		return nil, bad(fmt.Sprintf("%q names no host", secret.RedactURL(u.String())), want)
	case u.Fragment != "":
		return nil, bad(fmt.Sprintf("%q has a #fragment, which a WebSocket address has not", secret.RedactURL(u.String())), "remove it")
	}
	return u, nil
}

// header is what goes out with the handshake besides WebSocket's own.
func (c Config) header(target *url.URL) (http.Header, error) {
	h := c.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", "gpsbridge")
	}
	switch {
	case c.Origin != "":
		h.Set("Origin", c.Origin)
	case h.Get("Origin") == "":
		// Django's validator refuses a client without one.
		h.Set("Origin", strings.Replace(target.Scheme, "ws", "http", 1)+"://"+target.Host)
	}
	if user := target.User; user != nil && h.Get("Authorization") == "" {
		password, _ := user.Password()
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if c.TokenFile == "" {
		return h, nil
	}
	token, err := secret.Read(c.TokenFile)
	if err != nil {
		return nil, problem.Of(err).In("token_file")
	}
	h.Set("Authorization", "Bearer "+token)
	return h, nil
}

// readable is what to do about a file that cannot be read.
const readable = "create the file, and let the daemon's user read it"

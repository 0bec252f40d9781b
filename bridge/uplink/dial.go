package uplink

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Dial connects to c.URL and returns the open WebSocket. Of c it uses what
// concerns the connecting: URL, Origin, Header, the files, HandshakeTimeout,
// NetDial and Clock. An error is one line without secrets; where the server or the
// network refused, it is a *Refusal that names the likely cause and the mend.
func Dial(ctx context.Context, c Config) (*websocket.Conn, error) {
	c = c.withDefaults()
	target, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	header, err := c.header(target)
	if err != nil {
		return nil, err
	}
	a := attempt{c: c, target: target, header: header, release: func() {}}
	a.now, a.clock = c.Clock()
	trust, err := c.tlsConfig(a.now)
	if err != nil {
		return nil, err
	}
	defer func() { a.release() }()
	d := websocket.Dialer{
		NetDialContext:   func(_ context.Context, network, addr string) (net.Conn, error) { return a.connect(ctx, network, addr) },
		Proxy:            http.ProxyFromEnvironment,
		TLSClientConfig:  trust,
		HandshakeTimeout: c.HandshakeTimeout,
	}
	bare := *target
	bare.User = nil // it went into the header
	conn, resp, err := d.DialContext(ctx, bare.String(), header)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connect to %s: %w", redact(target), context.Cause(ctx))
		}
		return nil, a.explain(resp, err)
	}
	return conn, nil
}

// attempt is one try to connect.
type attempt struct {
	c      Config
	target *url.URL
	header http.Header
	now    time.Time // at which certificates are verified
	clock  string    // who told it

	via     string      // host:port of a proxy, if one is used
	linked  atomic.Bool // TCP is connected: what fails later is the handshake
	release func()
}

// connect makes the TCP connection. The WebSocket handshake behind it knows a
// deadline only, so the end of ctx closes the connection under it.
func (a *attempt) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr != net.JoinHostPort(a.target.Hostname(), a.port()) {
		a.via = addr
	}
	dial := a.c.NetDial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	limited, cancel := context.WithTimeout(ctx, a.c.HandshakeTimeout)
	defer cancel()
	conn, err := dial(limited, network, addr)
	if err != nil {
		return nil, err
	}
	a.linked.Store(true)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	a.release = func() { stop() }
	return conn, nil
}

// parseURL checks the form of a server's address. Its errors never repeat what
// may hold a secret.
func parseURL(s string) (*url.URL, error) {
	const want = "want ws://HOST/PATH/ or wss://HOST/PATH/"
	if s == "" {
		return nil, errors.New("check url: it is empty: " + want)
	}
	u, err := url.Parse(s)
	if err != nil {
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err // the outer error repeats the address, password included
		}
		return nil, fmt.Errorf("check url: %s: %w", want, err)
	}
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss":
		return nil, fmt.Errorf("check url %q: %s", redact(u), want)
	case u.Hostname() == "":
		return nil, fmt.Errorf("check url %q: it names no host: %s", redact(u), want)
	case u.Fragment != "":
		return nil, fmt.Errorf("check url %q: a WebSocket address has no #fragment", redact(u))
	}
	return u, nil
}

// redact is an address as it may be shown: without user, password and the
// values of its query.
func redact(u *url.URL) string {
	r := *u
	r.User, r.Fragment = nil, ""
	if r.RawQuery != "" {
		var names []string
		for pair := range strings.SplitSeq(r.RawQuery, "&") {
			name, _, _ := strings.Cut(pair, "=")
			names = append(names, name+"=...")
		}
		r.RawQuery = strings.Join(names, "&")
	}
	return r.String()
}

// header is what goes out with the handshake besides WebSocket's own.
func (c Config) header(target *url.URL) (http.Header, error) {
	h := c.Header.Clone()
	if h == nil {
		h = http.Header{}
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
	token, err := readToken(c.TokenFile)
	if err != nil {
		return nil, err
	}
	h.Set("Authorization", "Bearer "+token)
	return h, nil
}

// readToken reads a token of one line.
func readToken(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read token_file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("read token_file %q: it is empty; write the token into it", file)
	}
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return "", fmt.Errorf("read token_file %q: want one line of printable ASCII without spaces", file)
		}
	}
	return token, nil
}

package uplink

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"
)

// route connects to the server over TCP, through the proxy of the environment if there is one. limited is ctx with the time for all
// of the connecting.
func (a *attempt) route(ctx, limited context.Context) (net.Conn, error) {
	server := net.JoinHostPort(a.target.Hostname(), a.port())
	direct := forward(func(addr string) (net.Conn, error) {
		conn, err := a.connect(ctx, addr)
		if deadline, ok := limited.Deadline(); ok && err == nil {
			conn.SetDeadline(deadline)
		}
		return conn, err
	})
	asked := &url.URL{Scheme: strings.Replace(a.target.Scheme, "ws", "http", 1), Host: a.target.Host}
	via, err := http.ProxyFromEnvironment(&http.Request{URL: asked})
	switch {
	case err != nil:
		return nil, err
	case via == nil:
		return direct(server)
	}
	return direct.through(limited, via, server)
}

// forward connects over TCP, for what goes through a proxy.
type forward func(addr string) (net.Conn, error)

// Dial is for [proxy.FromURL].
func (f forward) Dial(_, addr string) (net.Conn, error) { return f(addr) }

// DialContext is for [proxy.FromURL]. The connection has a deadline.
func (f forward) DialContext(_ context.Context, _, addr string) (net.Conn, error) { return f(addr) }

// through connects to a server through a proxy of HTTP or SOCKS 5.
func (f forward) through(ctx context.Context, via *url.URL, server string) (net.Conn, error) {
	if via.Scheme == "http" {
		return f.tunnel(via, server)
	}
	socks, err := proxy.FromURL(via, f)
	if err != nil {
		return nil, err
	}
	return socks.(proxy.ContextDialer).DialContext(ctx, "tcp", server)
}

// tunnel asks a proxy of HTTP for a connection (RFC 9110, 9.3.6).
func (f forward) tunnel(via *url.URL, server string) (net.Conn, error) {
	port := via.Port()
	if port == "" {
		port = "80"
	}
	conn, err := f(net.JoinHostPort(via.Hostname(), port))
	if err != nil {
		return nil, err
	}
	ask := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: server}, Host: server, Header: http.Header{}}
	if password, ok := via.User.Password(); ok {
		ask.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(via.User.Username()+":"+password)))
	}
	var answer *http.Response
	if err = ask.Write(conn); err == nil {
		answer, err = http.ReadResponse(bufio.NewReader(conn), ask) // what it reads too much is nothing: the server waits for the client
	}
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New("the proxy answered " + answer.Status)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

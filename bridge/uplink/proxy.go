package uplink

import (
	"bufio"
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"

	"gpsbridge/bridge/problem"
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
	return direct.through(via, server)
}

// forward connects over TCP, for what goes through a proxy. The connection has a deadline.
type forward func(addr string) (net.Conn, error)

// Dial is for [proxy.FromURL].
func (f forward) Dial(_, addr string) (net.Conn, error) { return f(addr) }

// through connects to a server through a proxy of HTTP or SOCKS 5. What it returns is the connection to the proxy itself, as
// [abandon] needs it.
func (f forward) through(via *url.URL, server string) (net.Conn, error) {
	if via.Scheme == "http" {
		return f.tunnel(via, server)
	}
	socks, err := proxy.FromURL(via, f)
	if err != nil { // it knows no such scheme
		return nil, proxyProblem("the proxy of the environment is of "+via.Scheme, "name one of http:// or socks5:// in HTTPS_PROXY or HTTP_PROXY")
	}
	return socks.Dial("tcp", server)
}

func proxyProblem(cause, fix string) *problem.Problem {
	return &problem.Problem{Code: ProxyProblem, Cause: oneLine(cause), Fix: fix}
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
	switch refused := "the proxy answered "; {
	case err != nil:
	case answer.StatusCode == http.StatusProxyAuthRequired:
		err = proxyProblem(refused+answer.Status, "put a user and password for it into HTTPS_PROXY or HTTP_PROXY, as http://USER:PASSWORD@HOST:PORT")
	case answer.StatusCode != http.StatusOK:
		err = proxyProblem(refused+answer.Status, "check the server's address, and that the proxy allows it")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

package uplink

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// join copies both ways until one side ends.
func join(a, b net.Conn) {
	defer a.Close()
	defer b.Close()
	go func() { defer b.Close(); io.Copy(b, a) }()
	io.Copy(a, b)
}

// connectProxy is a proxy of HTTP that wants a password, if one is stated.
func connectProxy(t *testing.T, password string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := (&http.Request{Header: http.Header{}}); password != "" {
			want.SetBasicAuth("van", password)
			if r.Header.Get("Proxy-Authorization") != want.Header.Get("Authorization") {
				w.WriteHeader(http.StatusProxyAuthRequired)
				return
			}
		}
		server, err := net.Dial("tcp", r.Host)
		if err != nil || r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		client, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
		join(client, server)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// socksProxy is a proxy of SOCKS 5 (RFC 1928) without authentication, for one connection to an address of IPv4.
func socksProxy(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		greeting := make([]byte, 2)
		io.ReadFull(client, greeting)
		io.CopyN(io.Discard, client, int64(greeting[1]))
		client.Write([]byte{5, 0})
		request := make([]byte, 10)
		io.ReadFull(client, request)
		server, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: request[4:8], Port: int(request[8])<<8 | int(request[9])})
		if err != nil {
			return
		}
		client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		join(client, server)
	}()
	return l.Addr().String()
}

// Through a proxy the handshake reaches the server. The environment is read once in a process, so the proxy is named here.
func TestProxies(t *testing.T) {
	server := listen(t, upgrade, nil)
	for name, tc := range map[string]struct{ via, fails string }{
		"HTTP":                {via: "http://" + connectProxy(t, "")},
		"HTTP and a password": {via: "http://van:SECRET@" + connectProxy(t, "SECRET")},
		"no password":         {via: "http://" + connectProxy(t, "SECRET"), fails: "the proxy answered 407 Proxy Authentication Required: put a user and password"},
		"SOCKS":               {via: "socks5://" + socksProxy(t)},
		"HTTPS":               {via: "https://van:SECRET@127.0.0.1", fails: "the proxy of the environment is of https: name one of http:// or socks5://"},
	} {
		via, err := url.Parse(tc.via)
		if err != nil {
			t.Fatal(err)
		}
		asked := ""
		direct := forward(func(addr string) (net.Conn, error) { asked = addr; return net.Dial("tcp", addr) })
		conn, err := direct.through(via, server)
		switch {
		case tc.fails != "":
			if err == nil || !strings.Contains(err.Error(), tc.fails) {
				t.Errorf("%s: %v, want %q", name, err, tc.fails)
			}
			continue
		case err != nil || asked != via.Host:
			t.Errorf("%s: %v, asked %q", name, err, asked)
			continue
		}
		if _, is := conn.(*net.TCPConn); !is {
			t.Errorf("%s: a dead connection cannot be abandoned, it is a %T", name, conn)
		}
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
		answer := make([]byte, 12)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 101" {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
		conn.Close()
	}
}

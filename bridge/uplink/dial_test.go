package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
)

// upgrade takes any WebSocket, and holds it until the other side ends it.
func upgrade(w http.ResponseWriter, r *http.Request) {
	var up websocket.Upgrader
	if conn, err := up.Upgrade(w, r, nil); err == nil {
		defer conn.Close()
		conn.ReadMessage()
	}
}

// listen starts a server and returns host:port; with a certificate, over TLS.
func listen(t *testing.T, h http.HandlerFunc, conf *tls.Config) string {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if conf == nil {
		s.Start()
	} else {
		s.TLS = conf
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://elsewhere.example/ws/?token=SECRET")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// headed answers with a header.
func headed(status int, name, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(name, value)
		w.WriteHeader(status)
	}
}

// endless answers with a header that does not end.
func endless(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n")
	for n := 0; err == nil; n++ {
		_, err = fmt.Fprintf(conn, "X-%d: %s\r\n", n, strings.Repeat("x", 1000))
	}
}

func TestDialRefusals(t *testing.T) {
	ca := newAuthority(t)
	good, _, _ := ca.sign(nil)
	old, _, _ := ca.sign(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	future, _, _ := ca.sign(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
	other, _, _ := ca.sign(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} })
	_, foreignCert, foreignKey := newAuthority(t).sign(nil)
	pool := x509.NewCertPool()
	pool.AddCert(mustParse(t, ca.file))
	three, _, _ := ca.sign(func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames = nil, []string{"a.example", "b.example", "c.example"}
	})
	four, _, _ := ca.sign(func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames = nil, []string{"a.example", "b.example", "c.example", "d.example"}
	})
	serve := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	mutual := serve(good)
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, pool
	mutual12 := mutual.Clone()
	mutual12.MaxVersion = tls.VersionTLS12

	fail := func(err error) func(context.Context, string, int) (net.Conn, error) {
		return func(context.Context, string, int) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
	}

	for _, tc := range []struct {
		name   string
		c      Config
		kind   problem.Code
		status int
		slow   bool
		want   []string // in the text
	}{
		{"401", Config{URL: "ws://" + listen(t, answering(401, ""), nil) + "/ws/"}, Unauthorized, 401, true, []string{"401 Unauthorized", "sent no token", "token_file"}},
		{"403", Config{URL: "ws://" + listen(t, answering(403, ""), nil) + "/ws/", Origin: "https://van.example"}, Forbidden, 403, true, []string{"403 Forbidden", "sent no token", `Origin "https://van.example"`, "ALLOWED_HOSTS"}},
		{"403 with a token", Config{URL: "ws://" + listen(t, answering(403, ""), nil) + "/ws/", TokenFile: writeFile(t, "SECRET\n")}, Forbidden, 403, true, []string{"sent the token of /"}},
		{"404", Config{URL: "ws://" + listen(t, answering(404, ""), nil) + "/ws/van"}, NotFound, 404, true, []string{"404 Not Found", `"/ws/van"`, "trailing slash is missing"}},
		{"500", Config{URL: "ws://" + listen(t, answering(500, ""), nil) + "/ws/van_7/"}, ServerError, 500, false, []string{"500 Internal Server Error", "device ID", "Redis", "path"}},
		{"500 without a slash", Config{URL: "ws://" + listen(t, answering(500, ""), nil) + "/ws/van_7"}, ServerError, 500, false, []string{"trailing slash is missing"}},
		{"502", Config{URL: "ws://" + listen(t, answering(502, ""), nil) + "/"}, ServerError, 502, false, []string{"proxy"}},
		{"503", Config{URL: "ws://" + listen(t, answering(503, ""), nil) + "/"}, ServerError, 503, false, []string{"proxy"}},
		{"503 of a full relay", Config{URL: "ws://" + listen(t, headed(503, group.RefusalHeader, group.RefusedFull), nil) + "/"}, ServerError, 503, false, []string{"relay", "max_conns"}},
		{"503 of a relay without Redis", Config{URL: "ws://" + listen(t, headed(503, group.RefusalHeader, group.RefusedLayer), nil) + "/"}, ServerError, 503, false, []string{"layer (Redis)", "gpsbridge relay doctor"}},
		{"503 of a relay that admits no more now", Config{URL: "ws://" + listen(t, headed(503, group.RefusalHeader, group.RefusedBusy), nil) + "/"}, ServerError, 503, false, []string{"at once", "wait"}},
		{"503 of a relay that ends", Config{URL: "ws://" + listen(t, headed(503, group.RefusalHeader, group.RefusedDrain), nil) + "/"}, ServerError, 503, false, []string{"being stopped", "wait"}},
		{"503 of a relay that asks an application", Config{URL: "ws://" + listen(t, headed(503, group.RefusalHeader, group.RefusedAuth), nil) + "/"}, ServerError, 503, false, []string{"auth_url"}},
		{"redirect", Config{URL: "ws://" + listen(t, answering(301, ""), nil) + "/"}, Redirect, 301, true, []string{"https://elsewhere.example/ws/?token=...", "wss://"}},
		{"several choices", Config{URL: "ws://" + listen(t, answering(300, ""), nil) + "/"}, Redirect, 300, true, []string{"https://elsewhere.example/ws/"}},
		{"web page", Config{URL: "ws://" + listen(t, answering(200, "<html>"), nil) + "/"}, NotFound, 200, true, []string{"not a WebSocket"}},
		{"404 of nginx", Config{URL: "ws://" + listen(t, headed(404, "Server", "nginx/1.22"), nil) + "/ws/"}, NotFound, 404, true, []string{"nginx", "proxy_http_version 1.1"}},
		{"login page", Config{URL: "ws://" + listen(t, headed(302, "Location", "/accounts/login/?next=/ws/"), nil) + "/ws/"}, Redirect, 302, true, []string{"login page", "token_file"}},
		{"captive portal", Config{URL: "ws://" + listen(t, headed(302, "Location", "http://portal.example/welcome"), nil) + "/ws/"}, Redirect, 302, true, []string{"captive portal", "sign in"}},
		{"to TLS", Config{URL: "ws://" + listen(t, headed(301, "Location", "https://127.0.0.1/ws/"), nil) + "/ws/"}, Redirect, 301, true, []string{"wants TLS", "wss://"}},
		{"no end", Config{URL: "ws://" + listen(t, endless, nil) + "/ws/"}, HandshakeSize, 0, true, []string{"64 KiB"}},
		{"400", Config{URL: "ws://" + listen(t, answering(400, ""), nil) + "/"}, BadStatus, 400, true, []string{"origin", "Upgrade"}},
		{"418", Config{URL: "ws://" + listen(t, answering(418, ""), nil) + "/"}, BadStatus, 418, true, []string{"418"}},
		{"nginx wants a certificate", Config{URL: "ws://" + listen(t, answering(400, "No required SSL certificate was sent"), nil) + "/"}, ClientCert, 400, true, []string{"cert_file"}},

		{"unknown authority", Config{URL: "wss://" + listen(t, upgrade, serve(good)) + "/"}, Untrusted, 0, true, []string{"127.0.0.1", "ca_file"}},
		{"expired", Config{URL: "wss://" + listen(t, upgrade, serve(old)) + "/", CAFile: ca.file}, CertTime, 0, false, []string{"expired on", "clock here shows " + time.Now().UTC().Format("2006-01-02"), "check the clock"}},
		{"not yet valid", Config{URL: "wss://" + listen(t, upgrade, serve(future)) + "/", CAFile: ca.file}, CertTime, 0, false, []string{"valid only from", "check the clock"}},
		{"wrong name", Config{URL: "wss://" + listen(t, upgrade, serve(other)) + "/", CAFile: ca.file}, Untrusted, 0, true, []string{"for other.example", "not for 127.0.0.1"}},
		{"three wrong names", Config{URL: "wss://" + listen(t, upgrade, serve(three)) + "/", CAFile: ca.file}, Untrusted, 0, true, []string{"for a.example, b.example, c.example, not for"}},
		{"four wrong names", Config{URL: "wss://" + listen(t, upgrade, serve(four)) + "/", CAFile: ca.file}, Untrusted, 0, true, []string{"for a.example, b.example, c.example, ..., not for"}},
		{"no client certificate", Config{URL: "wss://" + listen(t, upgrade, mutual) + "/", CAFile: ca.file}, ClientCert, 0, true, []string{"cert_file and key_file"}},
		{"no client certificate, TLS 1.2", Config{URL: "wss://" + listen(t, upgrade, mutual12) + "/", CAFile: ca.file}, ClientCert, 0, true, []string{"cert_file and key_file"}},
		{"foreign client certificate", Config{URL: "wss://" + listen(t, upgrade, mutual) + "/", CAFile: ca.file, CertFile: foreignCert, KeyFile: foreignKey}, ClientCert, 0, true, []string{"does not accept the client certificate", foreignCert + " (unknown certificate authority)"}},
		{"TLS to a plain port", Config{URL: "wss://" + listen(t, upgrade, nil) + "/"}, WrongTLS, 0, true, []string{"use ws://"}},
		{"plain to a TLS port", Config{URL: "ws://" + listen(t, upgrade, serve(good)) + "/"}, WrongTLS, 400, true, []string{"use wss://"}},
		{"plain to a TLS port that sends an alert", Config{URL: "ws://" + rawServer(t, "\x15\x03\x01\x00\x02\x02\x46") + "/"}, WrongTLS, 0, true, []string{"use wss://"}},
		{"not HTTP", Config{URL: "ws://" + rawServer(t, "SSH-2.0-OpenSSH_9.2\r\n") + "/"}, BadStatus, 0, true, []string{"does not speak HTTP"}},
		{"closes", Config{URL: "ws://" + rawServer(t, "") + "/"}, NoConnection, 0, false, []string{"closed during the handshake"}},

		{"nothing listens", Config{URL: "ws://127.0.0.1:1/"}, Refused, 0, false, []string{"connection refused", "127.0.0.1", "server runs"}},
		{"no such name", Config{URL: "ws://nosuch.invalid/", dial: fail(&net.DNSError{Err: "no such host", Name: "nosuch.invalid", IsNotFound: true})}, NameNotFound, 0, false, []string{`"nosuch.invalid" not found`, "DNS"}},
		{"no name server", Config{URL: "ws://h.example/", dial: fail(&net.DNSError{Err: "server misbehaving", Name: "h.example", IsTemporary: true})}, NameNotFound, 0, false, []string{"server misbehaving", "network"}},
		{"no route", Config{URL: "ws://h.example/", dial: fail(os.NewSyscallError("connect", syscall.ENETUNREACH))}, NoRoute, 0, false, []string{"no route", "modem"}},
		{"timeout", Config{URL: "ws://h.example/", dial: fail(os.NewSyscallError("connect", syscall.ETIMEDOUT))}, Timeout, 0, false, []string{"port 80 of h.example", "firewall"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn, err := Dial(t.Context(), tc.c)
			if err == nil {
				conn.Close()
				t.Fatal("connected")
			}
			status, got := 0, problem.Of(err)
			if a := (*answer)(nil); errors.As(err, &a) {
				status = a.status
			}
			if got.Code != tc.kind || status != tc.status || needsPerson(got.Code) != tc.slow {
				t.Errorf("code %q, status %d, slow %t, want %q, %d, %t: %v", got.Code, status, needsPerson(got.Code), tc.kind, tc.status, tc.slow, got)
			}
			for _, part := range tc.want {
				if !strings.Contains(got.Error(), part) {
					t.Errorf("lacks %q: %v", part, got)
				}
			}
			if strings.ContainsAny(err.Error(), "\r\n") || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("more than one line, or a secret: %q", err)
			}
		})
	}
}

func writeFile(t *testing.T, content string) string {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// rawServer answers the first bytes of a connection with these, and closes it.
func rawServer(t *testing.T, bytes string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			io.WriteString(conn, bytes)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// What the handshake carries; the token is read again for each.
func TestDialSends(t *testing.T) {
	got := make(chan http.Header, 1)
	addr := listen(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Clone()
		upgrade(w, r)
	}, nil)
	dial := func(c Config) http.Header {
		t.Helper()
		conn, err := Dial(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		return <-got
	}
	token := writeFile(t, "first\n")
	c := Config{URL: "ws://" + addr + "/ws/", TokenFile: token, Header: http.Header{"X-Fleet": {"north"}}}
	h := dial(c)
	if h.Get("Origin") != "http://"+addr || h.Get("Authorization") != "Bearer first" || h.Get("X-Fleet") != "north" {
		t.Errorf("sent %v", h)
	}
	if err := os.WriteFile(token, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h := dial(c); h.Get("Authorization") != "Bearer second" {
		t.Errorf("a new token was not read: %v", h)
	}
	if len(c.Header) != 1 {
		t.Errorf("the caller's header was changed: %v", c.Header)
	}
	h = dial(Config{URL: "ws://van:pass@" + addr + "/"})
	if h.Get("Authorization") != "Basic dmFuOnBhc3M=" {
		t.Errorf("user of the URL: sent %v", h)
	}
}

func TestOriginOfTLS(t *testing.T) {
	target, err := parseURL("wss://h.example:8443/ws/")
	if err != nil {
		t.Fatal(err)
	}
	h, err := Config{}.header(target)
	if err != nil || h.Get("Origin") != "https://h.example:8443" {
		t.Errorf("Origin %q, %v", h.Get("Origin"), err)
	}
	h, err = Config{Origin: "https://other.example"}.header(target)
	if err != nil || h.Get("Origin") != "https://other.example" {
		t.Errorf("configured Origin: %q, %v", h.Get("Origin"), err)
	}
}

func TestDialWithClientCertificate(t *testing.T) {
	ca := newAuthority(t)
	own, certFile, keyFile := ca.sign(nil)
	pool := x509.NewCertPool()
	pool.AddCert(mustParse(t, ca.file))
	addr := listen(t, upgrade, &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	conn, err := Dial(t.Context(), Config{URL: "wss://" + addr + "/", CAFile: ca.file, CertFile: certFile, KeyFile: keyFile})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestDialNamesBadFiles(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for name, tc := range map[string]struct {
		c    Config
		want string
	}{
		"token missing":   {Config{TokenFile: missing}, "token_file"},
		"token empty":     {Config{TokenFile: writeFile(t, " \n")}, "does not hold a token"},
		"token two lines": {Config{TokenFile: writeFile(t, "a\nSECRET")}, "one line"},
		"ca missing":      {Config{CAFile: missing}, "ca_file"},
		"ca no PEM":       {Config{CAFile: writeFile(t, "hello")}, "PEM"},
		"cert missing":    {Config{CertFile: missing, KeyFile: missing}, "cert_file"},
	} {
		tc.c.URL = "ws://127.0.0.1:1/"
		_, err := Dial(t.Context(), tc.c)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A proxy of the environment is named: it may be what fails.
func TestRefusalNamesTheProxy(t *testing.T) {
	target, err := parseURL("wss://h.example/")
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(context.Context, string, int) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
	for addr, want := range map[string]problem.Code{"h.example:443": Refused, "proxy.example:3128": ProxyProblem} {
		a := attempt{c: Config{dial: refuse}.withDefaults(), target: target}
		_, err := a.connect(t.Context(), addr)
		if p := a.explain(nil, err); p.Code != want || (want == ProxyProblem) != strings.Contains(p.Cause, addr) {
			t.Errorf("dialing %s: %v", addr, p)
		}
		if p := a.explain(nil, err); strings.Contains(p.Cause, "through proxy") {
			t.Errorf("dialing %s: the proxy is named twice: %v", addr, p)
		}
		a.linked.Store(true)
		if p := a.explain(nil, io.EOF); p.Code != NoConnection || strings.Contains(p.Cause, "through proxy proxy.example:3128") != (want == ProxyProblem) {
			t.Errorf("the server behind %s: %v", addr, p)
		}
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, Config{URL: "ws://127.0.0.1:1/"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestExplainClose(t *testing.T) {
	for code, want := range map[int]string{1000: "restarting", 1006: "without a close frame", 1008: "token", 1009: "longer", 1011: "Redis", 1013: "overloaded", 4403: "device_id", 4999: "code 4999"} {
		err := explainClose(&websocket.CloseError{Code: code, Text: "said\nso"})
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%d: %s, want %q", code, err, want)
		}
		if strings.Contains(err.Error(), "(said so)") != (code != 1006) { // that is the library's text
			t.Errorf("%d: %s", code, err)
		}
		if slow := needsPerson(err.Code); slow != (code == 1008 || code == 4403) {
			t.Errorf("%d: slow %t", code, slow)
		}
	}
	if text := fmt.Sprint(writeProblem(os.ErrDeadlineExceeded)); !strings.Contains(text, "accepts nothing") {
		t.Errorf("write timeout: %s", text)
	}
}

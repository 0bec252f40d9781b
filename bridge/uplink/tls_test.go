package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/problem"
)

// Certificates are verified at the time of Clock, whatever the system clock shows.
func TestCertificatesAreVerifiedAtClock(t *testing.T) {
	ca := newAuthority(t)
	future, _, _ := ca.sign(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(500*time.Hour), time.Now().Add(1500*time.Hour)
	})
	current, _, _ := ca.sign(nil)
	serve := func(c tls.Certificate) string {
		return "wss://" + listen(t, upgrade, &tls.Config{Certificates: []tls.Certificate{c}}) + "/"
	}
	for _, tc := range []struct {
		name  string
		url   string
		at    time.Duration // Clock, from now
		wants []string      // of the error; none: it connects
	}{
		{"valid at Clock, not yet at the system's time", serve(future), 1000 * time.Hour, nil},
		{"valid at the system's time, expired at Clock", serve(current), 1200 * time.Hour, []string{"expired on", "time of the receiver shows " + time.Now().Add(1200*time.Hour).UTC().Format("2006-01-02")}},
		{"valid at the system's time, not yet at Clock", serve(current), -1500 * time.Hour, []string{"valid only from", "time of the receiver shows"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn, err := Dial(t.Context(), Config{
				URL: tc.url, CAFile: ca.file,
				Clock: func() (time.Time, string) { return time.Now().Add(tc.at), "receiver" },
			})
			if err == nil {
				conn.Close()
			}
			if (err != nil) != (tc.wants != nil) || (err != nil && (problem.CodeOf(err) != CertTime || needsPerson(CertTime))) {
				t.Fatalf("%v", err)
			}
			for _, want := range tc.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("lacks %q: %v", want, err)
				}
			}
		})
	}
}

// The clock of an uplink is asked at each attempt, and named in the status.
func TestUplinkAsksTheClockAtEachAttempt(t *testing.T) {
	ca := newAuthority(t)
	cert, _, _ := ca.sign(nil)
	asked := make(chan struct{}, 100)
	first := true
	clock := func() (time.Time, string) {
		asked <- struct{}{}
		if first {
			first = false
			return time.Unix(0, 0), systemName // as a machine without a battery boots
		}
		return time.Now(), "receiver"
	}
	q := newQueue(1)
	u, stop := start(t, Config{
		URL:    "wss://" + listen(t, echoTLS, &tls.Config{Certificates: []tls.Certificate{cert}}) + "/",
		CAFile: ca.file, Clock: clock,
	}, q)
	defer stop()
	q.await(t, 1, time.Minute)
	if st := u.Status(); st.Clock != "receiver" || len(asked) != 2 {
		t.Errorf("asked %d times, status %+v", len(asked), st)
	}
	// TLS 1.3 with a certificate of P-256 costs some hundred bytes on top of the record.
	if st := u.Status(); st.ReceivedBytes < 800 || st.SentBytes < 500 {
		t.Errorf("bytes without those of TLS: status %+v", st)
	}
	// Two connections of six segments at least: three to connect, two for TLS, and more for the record.
	before := u.Status().HeaderBytes
	if before < 12*(headersIPv4+timestamps) {
		t.Errorf("%d bytes of headers", before)
	}
	if stop(); u.Status().HeaderBytes < before {
		t.Errorf("%d bytes of headers, and %d after the end", before, u.Status().HeaderBytes)
	}
}

func TestNoClockWithoutTLS(t *testing.T) {
	u, err := New(Config{URL: "ws://h.example/"}, newQueue(0))
	if err != nil {
		t.Fatal(err)
	}
	u.attempt()
	if st := u.Status(); st.Clock != "" {
		t.Errorf("status %+v", st)
	}
}

// Files of certificates are read again at each connection.
func TestCertificateFilesAreReadAgain(t *testing.T) {
	ca, foreign := newAuthority(t), newAuthority(t)
	server, _, _ := ca.sign(nil)
	pool := x509.NewCertPool()
	pool.AddCert(mustParse(t, ca.file))
	addr := listen(t, upgrade, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	_, goodCert, goodKey := ca.sign(nil)
	_, badCert, badKey := foreign.sign(nil)

	copyFile := func(to, from string) {
		t.Helper()
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	caFile, certFile, keyFile := writeFile(t, ""), writeFile(t, ""), writeFile(t, "")
	c := Config{URL: "wss://" + addr + "/", CAFile: caFile, CertFile: certFile, KeyFile: keyFile}
	for _, step := range []struct {
		ca, cert, key string
		kind          problem.Code // "": it connects
	}{
		{foreign.file, goodCert, goodKey, Untrusted},
		{ca.file, badCert, badKey, ClientCert},
		{ca.file, goodCert, goodKey, ""},
		{foreign.file, goodCert, goodKey, Untrusted},
	} {
		copyFile(caFile, step.ca)
		copyFile(certFile, step.cert)
		copyFile(keyFile, step.key)
		conn, err := Dial(t.Context(), c)
		if err == nil {
			conn.Close()
		}
		if kind := problem.CodeOf(err); kind != step.kind || (err == nil) != (step.kind == "") {
			t.Errorf("%+v: %v", step, err)
		}
	}
}

// echoTLS takes any WebSocket, and echoes.
func echoTLS(w http.ResponseWriter, r *http.Request) {
	var up websocket.Upgrader
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		kind, msg, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, msg) != nil {
			return
		}
	}
}

// countedConn counts what is written to it.
type countedConn struct {
	net.Conn
	writes *int
}

func (c countedConn) Write(p []byte) (int, error) {
	*c.writes++
	return c.Conn.Write(p)
}

// TestResumedSessions holds that the next connection resumes the session of the last one, and what it must not outlive: the
// validity of the certificate at Clock, the authorities that are trusted, the token. And that a connection stands after two writes: the
// end of TLS's handshake goes with the request.
func TestResumedSessions(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert, _, _ := ca.sign(nil)
	for name, tc := range map[string]struct {
		change  func(c *Config) // before the second connection
		resumed bool
		code    problem.Code // of its error
	}{
		"nothing changed": {func(*Config) {}, true, ""},
		"later": {func(c *Config) {
			c.Clock = func() (time.Time, string) { return time.Now().Add(time.Hour), "receiver" }
		}, true, ""},
		"expired at Clock": {func(c *Config) {
			c.Clock = func() (time.Time, string) { return time.Now().Add(1500 * time.Hour), "receiver" }
		}, false, CertTime},
		"not yet valid at Clock": {func(c *Config) {
			c.Clock = func() (time.Time, string) { return time.Now().Add(-3000 * time.Hour), "receiver" }
		}, false, CertTime},
		"another authority": {func(c *Config) { rewriteFile(t, c.CAFile, readAll(t, other.file)) }, false, Untrusted},
		"one authority more": {func(c *Config) {
			rewriteFile(t, c.CAFile, append(readAll(t, c.CAFile), readAll(t, other.file)...))
		}, false, ""},
		"another token":  {func(c *Config) { rewriteFile(t, c.TokenFile, []byte("another")) }, false, ""},
		"another uplink": {func(c *Config) { c.tickets = &tickets{} }, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			resumed := make(chan bool, 2)
			url := "wss://" + listen(t, func(w http.ResponseWriter, r *http.Request) {
				resumed <- r.TLS.DidResume
				upgrade(w, r)
			}, &tls.Config{Certificates: []tls.Certificate{cert}}) + "/"
			dir := t.TempDir()
			c := Config{URL: url, CAFile: filepath.Join(dir, "ca.pem"), TokenFile: filepath.Join(dir, "token"), tickets: &tickets{}, traffic: &traffic{}}
			rewriteFile(t, c.CAFile, readAll(t, ca.file))
			rewriteFile(t, c.TokenFile, []byte("token"))
			writes := 0
			c.dial = func(ctx context.Context, addr string, segment int) (net.Conn, error) {
				conn, err := dialTCP(ctx, addr, segment)
				return countedConn{conn, &writes}, err
			}
			connect := func() (bytes uint64, err error) {
				writes = 0
				before := c.traffic.sent.Load() + c.traffic.received.Load()
				conn, err := Dial(t.Context(), c)
				if err == nil {
					if writes != 2 {
						t.Errorf("the connection stands after %d writes, want 2", writes)
					}
					conn.Close()
				}
				return c.traffic.sent.Load() + c.traffic.received.Load() - before, err
			}
			first, err := connect()
			if err != nil || <-resumed {
				t.Fatalf("the first connection was resumed, or %v", err)
			}
			tc.change(&c)
			second, err := connect()
			switch {
			case problem.CodeOf(err) != tc.code || (err == nil) != (tc.code == ""):
				t.Fatalf("%v, want code %q", err, tc.code)
			case err == nil && <-resumed != tc.resumed:
				t.Errorf("resumed %t, want %t", !tc.resumed, tc.resumed)
			case tc.resumed && second >= first-1000:
				t.Errorf("%d bytes when resumed, %d before", second, first)
			}
		})
	}
}

// A server's log can show why a client does not want it.
func TestServersGetTheAlert(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert, _, _ := ca.sign(nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			err = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
		}
		ended <- err
	}()
	if _, err := Dial(t.Context(), Config{URL: "wss://" + l.Addr().String() + "/", CAFile: other.file}); problem.CodeOf(err) != Untrusted {
		t.Errorf("%v, want code %q", err, Untrusted)
	}
	var alert *net.OpError
	if err := <-ended; !errors.As(err, &alert) || alert.Op != "remote error" {
		t.Errorf("the server gets %v, want an alert", err)
	}
}

// TestNothingStaysHeld: what TLS writes within its last read before the connection stands, as its answer to a KeyUpdate that comes with
// the server's answer (RFC 8446, 4.6.3), is sent before anything else.
func TestNothingStaysHeld(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	w := &wire{Conn: here, traffic: &traffic{}, left: maxHandshake}
	got := make(chan string, 1)
	go func() {
		defer there.Close()
		there.Write([]byte("101"))
		p := make([]byte, len("key update, frame"))
		n, _ := io.ReadFull(there, p)
		got <- string(p[:n])
	}()
	if _, err := w.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("key update, "))
	if err := w.stand(); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("frame"))
	if got := <-got; got != "key update, frame" {
		t.Errorf("the server gets %q", got)
	}
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func rewriteFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

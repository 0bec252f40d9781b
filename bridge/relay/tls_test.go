package relay

import (
	"crypto/tls"
	"crypto/x509"
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

func selfSignedConfig(t *testing.T) Config {
	dir := t.TempDir()
	return Config{CertFile: filepath.Join(dir, "state", "relay.pem"), KeyFile: filepath.Join(dir, "state", "relay.key"), SelfSigned: true}
}

// trusting trusts the certificate in a file as it is now.
func trusting(t *testing.T, file string) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate in %s", file)
	}
	return &tls.Config{RootCAs: pool}
}

func TestSelfSigned(t *testing.T) {
	c := selfSignedConfig(t)
	if _, err := New(c); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.CertFile); err == nil {
		t.Error("checking a configuration made a certificate")
	}
	r := start(t, c)
	if info, err := os.Stat(c.KeyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v; want it for its owner alone", info, err)
	}
	d := websocket.Dialer{TLSClientConfig: trusting(t, c.CertFile)}
	conn, _, err := d.Dial(r.url("wss", "/ws/gps-tracking/van_7/?history=9"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := member{t, conn}
	for i := range 20 {
		r.tpv(i)
	}
	r.Publish("van_7", "NOTE", []byte(strings.Repeat("0123456789", 50_000)))
	for i := range 20 {
		m.want(tpv(i))
	}
	m.want(strings.Repeat("0123456789", 50_000))

	h := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting(t, c.CertFile), ForceAttemptHTTP2: true}}
	defer h.CloseIdleConnections()
	answer, err := h.Get(r.URL() + "api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	leaf := answer.TLS.PeerCertificates[0]
	if answer.Proto != "HTTP/1.1" || !strings.Contains(string(body), `"tls":"`+r.Fingerprint()+`"`) || len(r.Fingerprint()) != 32*3-1 {
		t.Errorf("%s %s", answer.Proto, body)
	}
	if err := leaf.VerifyHostname("localhost"); err != nil || !leaf.NotBefore.Before(time.Unix(1, 0)) {
		t.Errorf("certificate: %v, from %v", err, leaf.NotBefore)
	}

	again := start(t, c)
	if again.Fingerprint() != r.Fingerprint() {
		t.Error("a second start has another certificate")
	}
}

// Plain HTTP on a port with TLS is answered, and nothing is served.
func TestPlainOnTLS(t *testing.T) {
	r := start(t, selfSignedConfig(t))
	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
	conn.SetReadDeadline(time.Now().Add(patience))
	answer, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.0 400 ") {
		t.Errorf("answer %q", answer)
	}
}

// A renewed certificate is served without a restart; one whose key is not there
// yet is not.
func TestRenewedCertificate(t *testing.T) {
	c := selfSignedConfig(t)
	own, err := c.openCertificate(true)
	if err != nil {
		t.Fatal(err)
	}
	first := own.fingerprint()
	renew := func(cert, key string) {
		t.Helper()
		if err := makeCertificate(cert, key, []string{"localhost"}); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(c.CertFile, time.Time{}, own.changed.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	seen := func() string {
		own.get(nil)
		return own.fingerprint()
	}
	renew(c.CertFile, c.KeyFile)
	second := seen()
	if second == first {
		t.Error("the renewed certificate is not served")
	}
	renew(c.CertFile, filepath.Join(t.TempDir(), "key"))
	if seen() != second {
		t.Error("a certificate without its key took the place of one that works")
	}
}

func TestTLSConfigIsChecked(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config Config
		code   problem.Code
		key    string
	}{
		{Config{CertFile: file}, CodeTLSIncomplete, "tls_cert_file"},
		{Config{KeyFile: file}, CodeTLSIncomplete, "tls_cert_file"},
		{Config{SelfSigned: true}, CodeTLSIncomplete, "tls"},
		{Config{CertFile: filepath.Join(dir, "none"), KeyFile: file}, CodeCertificateFile, "tls_cert_file"},
		{Config{CertFile: file, KeyFile: file}, CodeCertificateFile, "tls_cert_file"},
	} {
		_, err := New(c.config)
		if p := problem.Of(err); p == nil || p.Code != c.code || p.Key != c.key {
			t.Errorf("error %v, want code %q and key %q", err, c.code, c.key)
		}
	}
}

// A user who may write in the state directory cannot lead the daemon to another file.
func TestCertificateFollowsNoLinks(t *testing.T) {
	c := selfSignedConfig(t)
	outside := filepath.Join(t.TempDir(), "outside")
	const text = "another's"
	if err := os.WriteFile(outside, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(c.KeyFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, c.KeyFile); err != nil {
		t.Fatal(err)
	}
	start(t, c)
	if got, err := os.ReadFile(outside); err != nil || string(got) != text {
		t.Errorf("the file outside is now %d bytes (%v), want %q", len(got), err, text)
	}
	if info, err := os.Lstat(c.KeyFile); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the key is %v (%v), want a file", info, err)
	}
}

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gpsbridge/bridge/realtest"
)

// serverDoctor looks at the way to a server only; its [[uplink]] has further keys.
func serverDoctor(t *testing.T, server string, keys ...string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, file, fmt.Sprintf("[[uplink]]\nserver = %q\n%s\n", server, strings.Join(keys, "\n")))
	return []string{"-c", file, "--device", "-"}
}

func TestDoctorNameNotFound(t *testing.T) {
	// A slip of the finger that no name server need be asked about.
	oneBroken(t, doctorOf(t, serverDoctor(t, "ws://tracking..example")...), "dns", `name "tracking..example" not found`, "check the host")
}

func TestDoctorConnectionRefused(t *testing.T) {
	// A port that is bound but not listening refuses, and nobody else can take it.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("ws://127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	oneBroken(t, doctorOf(t, serverDoctor(t, url)...), "tcp", "connection refused: nothing listens", "check that the server runs")
}

func TestDoctorCertificates(t *testing.T) {
	ca := newAuthority(t)
	trust := fmt.Sprintf("ca_file = %q", ca.file)
	serve := func(change func(*x509.Certificate)) string {
		return ca.terminate(t, ca.sign(change), "ws://127.0.0.1:1")
	}
	for name, test := range map[string]struct {
		url   string
		keys  []string
		wants []string
	}{
		"unknown authority": {serve(nil), nil, []string{"signed by an authority that is not known here", "ca_file"}},
		"expired": {serve(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }), []string{trust},
			[]string{"expired on", "the server needs a new one"}},
		"not yet valid": {serve(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour * 1000) }), []string{trust},
			[]string{"is valid only from", "check the clock"}},
		"wrong name": {serve(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} }), []string{trust},
			[]string{"is for other.example, not for 127.0.0.1"}},
		"no TLS": {"wss://" + plainServer(t, http.NotFound), nil, []string{"does not speak TLS", "use ws://"}},
		"TLS":    {strings.Replace(serve(nil), "wss://", "ws://", 1), nil, []string{"speaks TLS", "use wss://"}},
	} {
		t.Run(name, func(t *testing.T) {
			oneBroken(t, doctorOf(t, serverDoctor(t, test.url, test.keys...)...), "tls", test.wants...)
		})
	}
}

// plainServer returns host:port of a server that answers so.
func plainServer(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestDoctorNotTheServer(t *testing.T) {
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		wants  []string
	}{
		"web page":  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "welcome") }, []string{"an ordinary web page, not a WebSocket"}},
		"not found": {http.NotFound, []string{"404 Not Found", "check the path"}},
		"moved": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://new.example"+r.URL.Path, http.StatusMovedPermanently)
		}, []string{"moved to https://new.example/ws/gps-tracking/van_7/", "put that address into server"}},
	} {
		t.Run(name, func(t *testing.T) {
			oneBroken(t, doctorOf(t, serverDoctor(t, "ws://"+plainServer(t, test.answer))...), "upgrade", test.wants...)
		})
	}
}

func TestDoctorMissingSlash(t *testing.T) {
	server := realtest.StartDjango(t, realtest.Options{})
	oneBroken(t, doctorOf(t, serverDoctor(t, server.URL()+"/ws/gps-tracking/{device_id}")...), "upgrade",
		"the trailing slash is missing", "check the server's URL")
}

func TestDoctorForbidden(t *testing.T) {
	server := realtest.StartDjango(t, realtest.Options{Host: "tracking.example", Token: "secret"})
	token := filepath.Join(t.TempDir(), "token")
	writeFile(t, token, "secret\n")
	good, origin := fmt.Sprintf("token_file = %q", token), `origin = "https://tracking.example"`
	oneBroken(t, doctorOf(t, serverDoctor(t, server.URL(), good)...), "upgrade",
		"403 Forbidden", fmt.Sprintf("Origin %q", strings.Replace(server.URL(), "ws", "http", 1)), "check token_file and origin", "ALLOWED_HOSTS")
	oneBroken(t, doctorOf(t, serverDoctor(t, server.URL(), origin)...), "upgrade", "403 Forbidden", "sent no token", "check token_file and origin")
	allWell(t, doctorOf(t, serverDoctor(t, server.URL(), origin, good)...), "upgrade", "echo")

	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	oneBroken(t, doctorOf(t, serverDoctor(t, server.URL(), origin, good)...), "upgrade", "read token_file: open "+token)
}

func TestDoctorDeviceIDRefused(t *testing.T) {
	server := realtest.StartDjango(t, realtest.Options{Device: "van_8"})
	oneBroken(t, doctorOf(t, serverDoctor(t, server.URL())...), "echo", "server closed with code 4403", "device ID not accepted", "check token_file, device_id")
}

func TestDoctorSpool(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, file, fmt.Sprintf("[spool]\ndir = %q\nmin_free = \"1000000GiB\"\n", dir))
	oneBroken(t, doctorOf(t, "-c", file, "--device", "-"), "disk", "are to be left to others", "spool.min_free")

	writeFile(t, file, fmt.Sprintf("[spool]\ndir = %q\nmin_free = \"1MiB\"\n[[uplink]]\nserver = \"ws://127.0.0.1:1\"\n", dir))
	line := realtest.OpenPty(t)
	holder := start(t, gpsbridge(t, "run", "-c", file, "--device", line.Path(), "--listen", "off"))
	if _, err := holder.WaitOutput(soon, func(out string) bool { return strings.Contains(out, "cannot connect") }); err != nil {
		t.Fatal(err)
	}
	cmd := doctorOf(t, "--device", "-")
	cmd.Env = append(cmd.Env, "GPSBRIDGE_SPOOL_DIR="+dir)
	oneBroken(t, cmd, "spool", "another gpsbridge is using this spool", "stop it")
}

func TestDoctorSpoolWithoutPermission(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gpsbridge.toml")
	cmd := asNobody(t, doctorOf(t, "--device", "-"))
	cmd.Env = append(cmd.Env, "GPSBRIDGE_SPOOL_DIR="+filepath.Join(filepath.Dir(file), "spool"))
	oneBroken(t, cmd, "spool", "cannot be written: permission denied", "spool.dir")
}

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(2000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	a.key, der = a.make(a.cert)
	writeFile(t, a.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return a
}

// make signs a certificate with the authority's key, its own with itself.
func (a *authority) make(c *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

// sign makes a certificate for 127.0.0.1, as far as change does not alter that.
func (a *authority) sign(change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(1500 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(c)
	}
	key, der := a.make(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// terminate serves TLS in front of a server, as a proxy does, and returns the wss:// address.
func (a *authority) terminate(t *testing.T, c tls.Certificate, server string) string {
	t.Helper()
	target, err := url.Parse(strings.Replace(server, "ws", "http", 1))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(target))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that the doctor breaks off
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "https", "wss", 1)
}

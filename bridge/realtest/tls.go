package realtest

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"testing"
	"time"

	"gpsbridge/bridge/realtest/authority"
)

// StartTLS puts TLS in front of a server, target being host:port, as a web server does in front of a Django Channels
// application. Its certificate is for 127.0.0.1 and a [Router]'s server, and valid for the time given; the file holds, as PEM, the authority that
// signed it and is valid for longer. It ends with the test.
func StartTLS(t testing.TB, target string, from, until time.Time) (p *Proxy, authority string) {
	t.Helper()
	a := newAuthority(t, from, until)
	return a.listen(target, &tls.Config{}), a.file("authority.pem", a.Cert().Raw)
}

// Client is what a client of [StartMutualTLS] needs, as files with PEM.
type Client struct {
	Authority string // that signed the server's certificate
	Cert, Key string // the client's own
}

// StartMutualTLS is [StartTLS] that accepts only clients with a certificate of its own authority. To it, it is always from.
func StartMutualTLS(t testing.TB, target string, from, until time.Time) (*Proxy, Client) {
	t.Helper()
	a := newAuthority(t, from, until)
	clients := x509.NewCertPool()
	clients.AddCert(a.Cert())
	p := a.listen(target, &tls.Config{
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, Time: func() time.Time { return from },
	})
	leaf, key := a.leaf("tracker", x509.ExtKeyUsageClientAuth)
	c := Client{Authority: a.file("authority.pem", a.Cert().Raw), Cert: a.file("tracker.pem", leaf), Key: filepath.Join(a.dir, "tracker.key")}
	if err := authority.WriteKey(c.Key, key); err != nil {
		t.Fatal(err)
	}
	return p, c
}

// ca is an authority of a test.
type ca struct {
	*authority.Authority
	t   testing.TB
	dir string
}

func newAuthority(t testing.TB, from, until time.Time) ca {
	t.Helper()
	a, err := authority.New(from, until)
	if err != nil {
		t.Fatal(err)
	}
	return ca{a, t, t.TempDir()}
}

// leaf makes a certificate for 127.0.0.1 and a Router's server, and its key.
func (a ca) leaf(name string, use x509.ExtKeyUsage) (der []byte, key *ecdsa.PrivateKey) {
	a.t.Helper()
	der, key, err := a.Leaf(name, use, net.IPv4(127, 0, 0, 1), net.ParseIP(serverHost))
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

// listen serves a target with a certificate of its own.
func (a ca) listen(target string, c *tls.Config) *Proxy {
	a.t.Helper()
	der, key := a.leaf("server", x509.ExtKeyUsageServerAuth)
	c.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		a.t.Fatalf("start TLS in front of %s: %v", target, err)
	}
	return proxyOn(a.t, l, dialer(target))
}

// file writes a certificate.
func (a ca) file(name string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := authority.WriteCert(path, der); err != nil {
		a.t.Fatal(err)
	}
	return path
}

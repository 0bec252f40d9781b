package realtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// StartTLS puts TLS in front of a server, target being host:port, as a web server does in front of a Django Channels
// application. Its certificate is for 127.0.0.1 and a [Router]'s server, and valid for the time given; the file holds, as PEM, the authority that
// signed it and is valid for longer. It ends with the test.
func StartTLS(t testing.TB, target string, from, until time.Time) (p *Proxy, authority string) {
	t.Helper()
	a := newAuthority(t, from, until)
	return a.listen(t, target, &tls.Config{}), a.file(t, "authority.pem", "CERTIFICATE", a.cert.Raw)
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
	clients.AddCert(a.cert)
	p := a.listen(t, target, &tls.Config{
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, Time: func() time.Time { return from },
	})
	leaf, key := a.leaf(t, "tracker", x509.ExtKeyUsageClientAuth)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return p, Client{
		Authority: a.file(t, "authority.pem", "CERTIFICATE", a.cert.Raw),
		Cert:      a.file(t, "tracker.pem", "CERTIFICATE", leaf),
		Key:       a.file(t, "tracker.key", "EC PRIVATE KEY", der),
	}
}

// authority signs certificates that are valid for a time.
type authority struct {
	from, until time.Time
	cert        *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, from, until time.Time) *authority {
	t.Helper()
	const longer = 24 * time.Hour
	a := &authority{from: from, until: until, key: newKey(t)}
	own := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tracking test authority"},
		NotBefore: from.Add(-longer), NotAfter: until.Add(longer),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	if a.cert, err = x509.ParseCertificate(signed(t, own, own, a.key, a.key)); err != nil {
		t.Fatal(err)
	}
	return a
}

// leaf makes a certificate for 127.0.0.1 and a Router's server, and its key.
func (a *authority) leaf(t testing.TB, name string, use x509.ExtKeyUsage) (der []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key = newKey(t)
	return signed(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "tracking test " + name},
		NotBefore: a.from, NotAfter: a.until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(serverHost)},
		ExtKeyUsage: []x509.ExtKeyUsage{use},
	}, a.cert, key, a.key), key
}

// listen serves a target with a certificate of its own.
func (a *authority) listen(t testing.TB, target string, c *tls.Config) *Proxy {
	t.Helper()
	der, key := a.leaf(t, "server", x509.ExtKeyUsageServerAuth)
	c.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatalf("start TLS in front of %s: %v", target, err)
	}
	return proxyOn(t, l, target)
}

func (a *authority) file(t testing.TB, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signed returns a certificate for a key, signed with that of its parent.
func signed(t testing.TB, cert, parent *x509.Certificate, key, with *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, with)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

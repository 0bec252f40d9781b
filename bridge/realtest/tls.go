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
// application. Its certificate is for 127.0.0.1 and valid for the time given; the file holds, as PEM, the authority that
// signed it and is valid for longer. It ends with the test.
func StartTLS(t testing.TB, target string, from, until time.Time) (p *Proxy, authority string) {
	t.Helper()
	const longer = 24 * time.Hour
	key := newKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tracking test authority"},
		NotBefore: from.Add(-longer), NotAfter: until.Add(longer),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "tracking test server"},
		NotBefore: from, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafKey := newKey(t)
	authority = filepath.Join(t.TempDir(), "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed(t, ca, ca, key, key)})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	chain := tls.Certificate{Certificate: [][]byte{signed(t, leaf, ca, leafKey, key)}, PrivateKey: leafKey}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{chain}})
	if err != nil {
		t.Fatalf("start TLS in front of %s: %v", target, err)
	}
	return proxyOn(t, l, target), authority
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

// Package authority makes certificates for servers and clients on this machine. Tests use it through package realtest, and
// measurements as it is.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// Authority signs certificates that are valid for a time.
type Authority struct {
	from, until time.Time
	cert        *x509.Certificate
	key         *ecdsa.PrivateKey
}

// New makes an authority, which is itself valid for a day longer at both ends.
func New(from, until time.Time) (*Authority, error) {
	const longer = 24 * time.Hour
	a := &Authority{from: from, until: until}
	own := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tracking test authority"},
		NotBefore: from.Add(-longer), NotAfter: until.Add(longer),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, own, own, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	a.key = key
	a.cert, err = x509.ParseCertificate(der)
	return a, err
}

// Cert is the authority's own certificate.
func (a *Authority) Cert() *x509.Certificate { return a.cert }

// Leaf makes a certificate for hosts with these addresses, and its key.
func (a *Authority) Leaf(name string, use x509.ExtKeyUsage, hosts ...net.IP) (der []byte, key *ecdsa.PrivateKey, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	der, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "tracking test " + name},
		NotBefore: a.from, NotAfter: a.until, IPAddresses: hosts, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	return der, key, nil
}

// WriteCert writes a certificate as PEM.
func WriteCert(path string, der []byte) error { return write(path, "CERTIFICATE", der) }

// WriteKey writes a key as PEM.
func WriteKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return write(path, "EC PRIVATE KEY", der)
}

func write(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

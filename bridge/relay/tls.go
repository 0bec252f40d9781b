package relay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/problem"
)

// certificate is the relay's own, with the files it comes from.
type certificate struct {
	// Set once.
	certFile, keyFile string

	// Guarded by mu.
	mu      sync.Mutex
	current *tls.Certificate
	changed time.Time // of certFile, when it was read
}

// openCertificate reads the files; nil without TLS. One that has to be made first is nil too unless makeIt is set: checking
// a configuration leaves no files.
func (c Config) openCertificate(makeIt bool) (*certificate, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	if _, err := os.Stat(c.CertFile); c.SelfSigned && errors.Is(err, fs.ErrNotExist) {
		if !makeIt {
			return nil, nil
		}
		if err := makeCertificate(c.CertFile, c.KeyFile, c.certificateNames()); err != nil {
			return nil, &problem.Problem{Code: CodeCertificateFile, Key: "tls_cert_file", Cause: fmt.Sprintf("the certificate cannot be made: %v", err),
				Fix: "name files in a directory that this user may write", Err: err}
		}
	}
	own := &certificate{certFile: c.CertFile, keyFile: c.KeyFile}
	if _, err := own.get(nil); err != nil {
		return nil, err
	}
	return own, nil
}

// checkTLS checks what the files are called, not what they hold.
func (c Config) checkTLS() error {
	switch {
	case (c.CertFile == "") != (c.KeyFile == ""):
		return &problem.Problem{Code: CodeTLSIncomplete, Key: "tls_cert_file", Cause: "only one file of certificate and key is named", Fix: "name both, or neither"}
	case c.SelfSigned && c.CertFile == "":
		return &problem.Problem{Code: CodeTLSIncomplete, Key: "tls", Cause: `"self-signed" needs files for the certificate and its key`,
			Fix: "name both files"}
	}
	return nil
}

// get is tls.Config.GetCertificate: the certificate, and a renewed one once its files are both there, every two months or so
// where an ACME client renews them. Until they fit together the old one stays.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.certFile)
	if err == nil && !info.ModTime().Equal(c.changed) {
		var pair tls.Certificate
		if pair, err = readPair(c.certFile, c.keyFile); err == nil {
			c.current, c.changed = &pair, info.ModTime()
		}
	}
	if c.current == nil {
		return nil, &problem.Problem{Code: CodeCertificateFile, Key: "tls_cert_file", Cause: fmt.Sprintf("%q cannot be used: %v", c.certFile, err),
			Fix: "name a PEM certificate and the file with its key, both readable by this user", Err: err}
	}
	return c.current, nil
}

func readPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, certErr := directory.ReadFile(certFile)
	key, keyErr := directory.ReadFile(keyFile)
	if err := errors.Join(certErr, keyErr); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// fingerprint is the SHA-256 of the certificate, as browsers show it.
func (c *certificate) fingerprint() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := sha256.Sum256(c.current.Certificate[0])
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// config is HTTP/1.1 alone: WebSockets are opened with it, and what HTTP/2 could be flooded with is not there.
func (c *certificate) config() *tls.Config {
	return &tls.Config{GetConfigForClient: beginHandshake, GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
}

// certificateNames are those by which this machine is reached: a name in the certificate that a browser asked for leaves it
// one warning to show, not two.
func (c Config) certificateNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host, host+".local")
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" {
		names = append(names, host)
	}
	addresses, _ := net.InterfaceAddrs() // without them the names are fewer
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLinkLocalUnicast() {
			names = append(names, ip.IP.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// makeCertificate writes a self-signed certificate and its key. It is trusted by its fingerprint and not by its dates: it
// holds from 1970 to the date that means no end (RFC 5280, 4.1.2.5), because a machine without a clock could neither date it
// nor renew it in time.
func makeCertificate(certFile, keyFile string, names []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := x509.Certificate{
		Subject:   pkix.Name{CommonName: "gpsbridge"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// The key first: a power cut in between leaves no certificate, and the next start makes both again.
	if err := replaceFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return err
	}
	return replaceFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// replaceFile replaces or makes a file, and makes its directory where that is missing.
func replaceFile(path string, text []byte, mode fs.FileMode) error {
	d, err := directory.Make(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Close(), directory.Replace(path, text, mode))
}

package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"
)

// systemName is what the system's clock is called in status and errors.
const systemName = "system"

func systemClock() (time.Time, string) { return time.Now(), systemName }

// tlsConfig trusts the system's authorities and those of CAFile, as of a time.
func (c Config) tlsConfig(now time.Time) (*tls.Config, error) {
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		Time: func() time.Time { return now },
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // a system without any: CAFile alone
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read ca_file %q: no certificate in it; want PEM (-----BEGIN CERTIFICATE-----)", c.CAFile)
		}
		t.RootCAs = pool
	}
	if c.CertFile != "" || c.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate cert_file %q with key_file %q: %w", c.CertFile, c.KeyFile, err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

// certTime tells an expired certificate from one that is not yet valid, and
// puts the clock beside it: a machine without a battery clock boots in the past.
func (a *attempt) certTime(host string, cert *x509.Certificate) string {
	const day = "2006-01-02"
	whose := "the clock here"
	if a.clock != systemName && a.clock != "" {
		whose = "the time of the " + a.clock
	}
	says := whose + " says " + a.now.UTC().Format("2006-01-02 15:04 UTC")
	if a.now.Before(cert.NotBefore) {
		return fmt.Sprintf("certificate of %s is valid only from %s, and %s; check the clock", host, cert.NotBefore.UTC().Format(day), says)
	}
	return fmt.Sprintf("certificate of %s expired on %s (%s; check it too); the server needs a new one", host, cert.NotAfter.UTC().Format(day), says)
}

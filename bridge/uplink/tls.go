package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/problem"
)

// systemName is what the system's clock is called in status and errors.
const systemName = "system"

func systemClock() (time.Time, string) { return time.Now(), systemName }

// tlsConfig trusts the system's authorities and those of CAFile, as of a time. It resumes a session that was made with the same files
// and authorization.
func (c Config) tlsConfig(now time.Time, authorization string) (*tls.Config, error) {
	bad := func(code problem.Code, key, cause, fix string, err error) error {
		return &problem.Problem{Code: code, Key: key, Cause: oneLine(cause), Fix: fix, Err: err}
	}
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		Time: func() time.Time { return now },
	}
	var authorities, own, key []byte
	if c.CAFile != "" {
		pem, err := directory.ReadFile(c.CAFile)
		if err != nil {
			return nil, bad(BadCA, "ca_file", err.Error(), readable, err)
		}
		authorities = pem
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // a system without any: CAFile alone
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, bad(BadCA, "ca_file", fmt.Sprintf("no certificate in %q", c.CAFile), "write PEM into it (-----BEGIN CERTIFICATE-----)", nil)
		}
		t.RootCAs = pool
	}
	if c.CertFile != "" || c.KeyFile != "" {
		var certErr, keyErr error
		own, certErr = directory.ReadFile(c.CertFile)
		key, keyErr = directory.ReadFile(c.KeyFile)
		err := errors.Join(certErr, keyErr)
		var cert tls.Certificate
		if err == nil {
			cert, err = tls.X509KeyPair(own, key)
		}
		if err != nil {
			return nil, bad(BadCert, "cert_file", fmt.Sprintf("client certificate %q with key_file %q: %v", c.CertFile, c.KeyFile, err), readable+", both in PEM", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	c.tickets.bind(authorities, own, key, []byte(authorization))
	t.ClientSessionCache = c.tickets
	if c.tickets.any() {
		t.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	}
	return t, nil
}

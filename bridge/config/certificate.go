package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// SelfSigned is the value of relay.tls that has a certificate made.
const SelfSigned = "self-signed"

// complete checks the keys of [relay] that package relay does not know, and fills in where a certificate is kept.
func (r *Relay) complete() error {
	for _, path := range []*string{&r.Token, &r.Cert, &r.Key} {
		*path = expandCredentials(*path)
	}
	if r.MaxConns < 0 {
		return fmt.Errorf("relay.max_conns is %d: use 1 or more, or leave it out", r.MaxConns)
	}
	if r.TLS != "" && r.TLS != SelfSigned {
		return fmt.Errorf("relay.tls %q is unknown: use %q, or tls_cert_file and tls_key_file alone", r.TLS, SelfSigned)
	}
	if r.TLS == SelfSigned {
		state, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
		var err error
		if r.Cert, r.Key, err = certificateFiles(r.Cert, r.Key, state); err != nil {
			return fmt.Errorf("relay.%w", err)
		}
	}
	return nil
}

// certificateFiles says where a self-signed certificate and its key are kept: where they are named, else in folder.
func certificateFiles(cert, key, folder string) (string, string, error) {
	if folder == "" && (cert == "" || key == "") {
		return "", "", errors.New(`tls = "self-signed" keeps its certificate for good: name tls_cert_file and tls_key_file`)
	}
	return cmp.Or(cert, filepath.Join(folder, "relay.pem")), cmp.Or(key, filepath.Join(folder, "relay.key")), nil
}

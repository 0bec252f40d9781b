package bridge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRelayCertificateFiles(t *testing.T) {
	type files struct{ Cert, Key string }
	for _, c := range []struct {
		name  string
		relay RelayConfig
		state string // STATE_DIRECTORY
		want  files
		err   string
	}{
		{"plain", RelayConfig{}, "/state", files{}, ""},
		{"own", RelayConfig{Cert: "/a", Key: "/b"}, "/state", files{"/a", "/b"}, ""},
		{"a credential", RelayConfig{Cert: "/a", Key: "${CREDENTIALS_DIRECTORY}/key"}, "", files{"/a", "/credentials/key"}, ""},
		{"made, by systemd", RelayConfig{TLS: "self-signed"}, "/state:/more", files{"/state/relay.pem", "/state/relay.key"}, ""},
		{"made, named", RelayConfig{TLS: "self-signed", Cert: "/a", Key: "/b"}, "", files{"/a", "/b"}, ""},
		{"made, nowhere", RelayConfig{TLS: "self-signed", Cert: "/a"}, "", files{}, "name tls_cert_file and tls_key_file"},
		{"another word", RelayConfig{TLS: "on"}, "", files{}, `relay.tls "on" is unknown: use "self-signed"`},
		{"no room", RelayConfig{MaxConns: -1}, "", files{}, "relay.max_conns is -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("STATE_DIRECTORY", c.state)
			t.Setenv("CREDENTIALS_DIRECTORY", "/credentials")
			err := c.relay.complete()
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if d := cmp.Diff(c.want, files{c.relay.Cert, c.relay.Key}); d != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
		})
	}
}

// Checking a configuration makes no files; one that is to be there and is not is named.
func TestCheckKnowsTheCertificate(t *testing.T) {
	folder := t.TempDir()
	c := Default()
	c.DeviceID, c.Spool = "van_7", SpoolConfig{}
	c.Receivers = []ReceiverConfig{{Source: "sim:"}}
	c.Relay.Cert, c.Relay.Key = filepath.Join(folder, "relay.pem"), filepath.Join(folder, "relay.key")
	check := func() error {
		if err := c.Validate(); err != nil {
			return err
		}
		return Check(c)
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), "relay.tls_cert_file") {
		t.Errorf("error %v, want relay.tls_cert_file", err)
	}
	c.Relay.TLS = "self-signed"
	if err := check(); err != nil {
		t.Error(err)
	}
	if made, _ := os.ReadDir(folder); len(made) > 0 {
		t.Errorf("the check made %v", made)
	}
}

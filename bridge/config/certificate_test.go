package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRelayCertificateFiles(t *testing.T) {
	type files struct{ Cert, Key string }
	for _, c := range []struct {
		name  string
		relay Relay
		state string // STATE_DIRECTORY
		want  files
		err   string
	}{
		{"plain", Relay{}, "/state", files{}, ""},
		{"own", Relay{Cert: "/a", Key: "/b"}, "/state", files{"/a", "/b"}, ""},
		{"a credential", Relay{Cert: "/a", Key: "${CREDENTIALS_DIRECTORY}/key"}, "", files{"/a", "/credentials/key"}, ""},
		{"made, by systemd", Relay{TLS: "self-signed"}, "/state:/more", files{"/state/relay.pem", "/state/relay.key"}, ""},
		{"made, named", Relay{TLS: "self-signed", Cert: "/a", Key: "/b"}, "", files{"/a", "/b"}, ""},
		{"made, nowhere", Relay{TLS: "self-signed", Cert: "/a"}, "", files{}, "name tls_cert_file and tls_key_file"},
		{"another word", Relay{TLS: "on"}, "", files{}, `relay.tls "on" is unknown: use "self-signed"`},
		{"no room", Relay{MaxConns: -1}, "", files{}, "relay.max_conns is -1"},
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

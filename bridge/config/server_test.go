package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/layer"
	"gpsbridge/bridge/relay"

	"github.com/google/go-cmp/cmp"
)

// serverReference is the documented configuration of a tracking server that is installed.
const serverReference = "../../systemd/relay.toml"

func loadServer(t *testing.T, text string, environ []string, flags map[string]string) (Server, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadServer(path, environ, flags)
}

func TestServerTakesFlagsOverEnvironmentOverFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"password": "p@ss/word\n", "keys": "first key\nsecond\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := `
[relay]
listen = "127.0.0.1:1"
publish_token_file = "${CREDENTIALS_DIRECTORY}/tokens"
history = 0
max_conns = 7
admit = 50
proxies = ["10.0.0.1", "fd00::/64"]
drain = "30s"
tls_self_signed = true
[relay.layer]
url = ["redis://me@a:1/3", "redis+unix:///run/redis.sock"]
password_file = "${CREDENTIALS_DIRECTORY}/password"
symmetric_encryption_keys_file = "` + dir + `/keys"
kind = "core"
keep = "1m30s"
`
	environ := []string{"GPSBRIDGE_RELAY_MAX_CONNS=8", "GPSBRIDGE_RELAY_LAYER_KIND=pubsub", "GPSBRIDGE_SERVER=ws://of.a.daemon",
		"CREDENTIALS_DIRECTORY=" + dir, "STATE_DIRECTORY=/var/lib/gpsbridge-relay"}
	c, err := loadServer(t, file, environ, map[string]string{"max-conns": "9", "open": "true", "origin": "http://a http://b"})
	if err != nil {
		t.Fatal(err)
	}
	want := Server{PublishTokenFile: dir + "/tokens", Drain: 30 * time.Second, Config: relay.Config{
		Listen: "127.0.0.1:1", Open: true, Origins: []string{"http://a", "http://b"}, History: -1, MaxConns: 9, MaxMessage: relay.DefaultMaxMessage, Admit: 50,
		Proxies:  []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("fd00::/64")},
		CertFile: "/var/lib/gpsbridge-relay/relay.pem", KeyFile: "/var/lib/gpsbridge-relay/relay.key", SelfSigned: true,
	}, Layer: &layer.Config{
		URLs: []string{"redis://me@a:1/3", "redis+unix:///run/redis.sock"}, Password: "p@ss/word",
		Kind: "pubsub", Keys: []string{"first key", "second"}, Keep: 90 * time.Second,
	}}
	if diff := cmp.Diff(want, c, comparable, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "origins" }, cmp.Ignore())); diff != "" {
		t.Errorf("configuration differs (-want +got):\n%s", diff)
	}
}

func TestServerIsRefusedInOneLine(t *testing.T) {
	for name, test := range map[string]struct {
		file    string
		environ []string
		flags   map[string]string
		want    string // regular expression
	}{
		"unknown key":       {file: "[relay]\nlissten = \"x\"", want: `relay\.toml:2: unknown key "relay\.lissten": did you mean relay\.listen\? relay\.toml, the reference`},
		"daemon's key":      {file: "[[uplink]]\nserver = \"ws://a\"", want: `relay\.toml:1: unknown key "uplink`},
		"wrong type":        {file: "[relay]\nhistory = \"7\"", want: `relay\.toml:2: relay\.history: the value is not a whole number: relay\.toml`},
		"out of range":      {file: "[relay]\nmax_message = 0", want: `relay\.toml:2: relay\.max_message: 0 is out of range: use 1 or more bytes`},
		"flag":              {flags: map[string]string{"history": "many"}, want: `^--history: "many" is not a whole number$`},
		"variable":          {environ: []string{"GPSBRIDGE_RELAY_OPEN=perhaps"}, want: `^environment variable GPSBRIDGE_RELAY_OPEN: "perhaps" is not true or false$`},
		"unknown variable":  {environ: []string{"GPSBRIDGE_RELAY_OPN=true"}, want: `GPSBRIDGE_RELAY_OPN is not known: did you mean GPSBRIDGE_RELAY_OPEN\?`},
		"no proxy":          {file: "[relay]\nproxies = [\"10.0.0\"]", want: `relay\.toml:2: relay\.proxies: "10\.0\.0" is not an address: write addresses or networks`},
		"layer without URL": {file: "[relay.layer]\nkind = \"core\"", want: `relay\.toml:1: relay\.layer\.url: it is empty: name the Redis server`},
		"URL of no text":    {file: "[relay.layer]\nurl = [7]", want: `relay\.toml:2: relay\.layer\.url: the value is not a text in quotes or a list`},
		"no password":       {file: "[relay.layer]\nurl = \"redis://a\"\npassword_file = \"/nonexistent/p\"", want: `relay\.toml:3: relay\.layer\.password_file: file "/nonexistent/p" does not exist`},
		"no keys":           {file: "[relay.layer]\nurl = \"redis://a\"\nsymmetric_encryption_keys_file = \"/dev/null\"", want: `relay\.toml:3: relay\.layer\.symmetric_encryption_keys_file: file "/dev/null" `},
		"bad duration":      {flags: map[string]string{"layer": "redis://a"}, file: "[relay.layer]\nkeep = \"10\"", want: `relay\.toml:2: relay\.layer\.keep: "10" is not a duration`},
		"base map":          {file: "[relay]\nbasemap = \"/nonexistent/x\"", want: `relay\.toml:2: relay\.basemap: .*/nonexistent/x.*: name a \.pmtiles file`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadServer(t, test.file, test.environ, test.flags)
			if err == nil || strings.Contains(err.Error(), "\n") || !regexp.MustCompile(test.want).MatchString(err.Error()) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
	if _, err := LoadServer("/nonexistent/relay.toml", nil, nil); err == nil || !strings.HasSuffix(err.Error(), "name the file with -c FILE") {
		t.Error(err)
	}
}

// The reference has every key, and is understood as installed and with every key uncommented.
func TestServerReference(t *testing.T) {
	read, err := os.ReadFile(serverReference)
	if err != nil {
		t.Fatal(err)
	}
	text := string(read)
	for key := range keys(reflect.TypeFor[ServerFile]()) {
		short := key[strings.LastIndexByte(key, '.')+1:]
		if !regexp.MustCompile(`(?m)^#?(` + short + ` = |\[` + regexp.QuoteMeta(key) + `\]$)`).MatchString(text) {
			t.Errorf("key %q is not in the reference", key)
		}
	}
	installed, err := loadServer(t, text, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	standard, err := LoadServer("", nil, map[string]string{"publish-token-file": installed.PublishTokenFile})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(standard.Config, installed.Config, comparable); diff != "" || installed.Layer != nil {
		t.Errorf("as installed it is not the default (-default +reference):\n%s", diff)
	}
	dir := t.TempDir()
	for _, name := range []string{"redis-password", "redis-keys", "area.pmtiles"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	full := regexp.MustCompile(`(?m)^#(\[[a-z.]+\]|\w+ = .*)$`).ReplaceAllString(text, "$1")
	full = strings.ReplaceAll(full, "/var/lib/gpsbridge-relay/area", dir+"/area")
	c, err := loadServer(t, full, []string{"CREDENTIALS_DIRECTORY=" + dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.MaxConns != standard.MaxConns || c.Layer == nil || c.Layer.Keep != 10*time.Minute || c.DeviceTokensFile != dir+"/device-tokens" {
		t.Errorf("with every key it is %+v with %+v", c, c.Layer)
	}
}

// Every flag and variable sets a key of the kind that its form has.
func TestServerSettingsAreOfTheirKeys(t *testing.T) {
	for _, s := range ServerSettings {
		value := map[Form]string{Text: "/dev/null", Number: "5", Switch: "true", List: "redis://a"}[s.Form]
		if s.Name == "drain" {
			value = "1s"
		}
		flags := map[string]string{"layer": "redis://a", s.Name: value}
		if _, err := LoadServer("", nil, flags); err != nil {
			t.Errorf("--%s: %v", s.Name, err)
		}
	}
}

package config

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/record"
	"gpsbridge/bridge/receiver/share"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func load(t *testing.T, text string, environ []string, flags map[string]string) (Config, error) {
	t.Helper()
	return loadFrom(t, filepath.Join(t.TempDir(), "gpsbridge.toml"), text, environ, flags)
}

// loadFrom writes the file and loads it.
func loadFrom(t *testing.T, path, text string, environ []string, flags map[string]string) (Config, error) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path, environ, flags)
}

func TestLoadLaysFlagsOverEnvironmentOverFile(t *testing.T) {
	const file = `
device_id = "from_file"
[[receiver]]
source = "/dev/ttyUSB0"
silence = "1m30s"
[[uplink]]
server = "wss://file.example"
ack = "pong"
[spool]
max = "2MiB"
[relay]
listen = "127.0.0.1:1"
[log]
level = "debug"
`
	environ := []string{"PATH=/bin", "GPSBRIDGE_DEVICE_ID=from_env", "GPSBRIDGE_SERVER=ws://env.example"}
	c, err := load(t, file, environ, map[string]string{"server": "ws://flag.example:8000/live/{device_id}/", "listen": "off"})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.DeviceID = "from_env"
	want.Receivers = []ReceiverSection{{Source: "/dev/ttyUSB0", Silence: "90s"}}
	want.Uplinks = []UplinkSection{{Server: "ws://flag.example:8000/live/{device_id}/", Ack: "pong"}}
	want.Spool.Max = "2048KiB"
	want.Relay.Listen = "off"
	want.Log.Level = "debug"
	wanted, err := want.Check()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, c, comparable); diff != "" {
		t.Errorf("configuration differs (-want +got):\n%s", diff)
	}
	if u := c.Uplinks[0].For("van_7"); u.Name != "flag.example:8000" || u.URL != "ws://flag.example:8000/live/van_7/" || u.Ack != uplink.AckPong {
		t.Errorf("uplink %+v", u)
	}
	if c.Receivers[0].Silence != 90*time.Second || c.Receivers[0].DeviceID != "from_env" || c.Spool.Max != 2<<20 || !c.Relay.Off() || c.Log.Level != slog.LevelDebug {
		t.Errorf("receiver %+v, spool %+v, log %+v", c.Receivers[0], c.Spool, c.Log)
	}
}

// comparable leaves out what a test does not compare: where values were given, and what the daemon fills in.
var comparable = cmp.Options{
	cmpopts.IgnoreUnexported(Config{}, spool.Options{}, uplink.Config{}, receiver.Config{}, record.Config{}, share.Config{}, relay.Config{}),
	cmp.Comparer(func(a, b func(time.Duration)) bool { return (a == nil) == (b == nil) }),
	cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type() != nil && p.Last().Type().Kind() == reflect.Func }, cmp.Ignore()),
}

func TestLoadRefusesInOneLine(t *testing.T) {
	for name, test := range map[string]struct {
		file    string
		environ []string
		flags   map[string]string
		want    string // regular expression
	}{
		"unknown key":         {file: "device_id = \"a\"\n[relay]\nlissten = \"x\"", want: `gpsbridge\.toml:3: unknown key "relay\.lissten": did you mean relay\.listen\? `},
		"unknown section":     {file: "[sppol]\nmax = \"1MiB\"", want: `gpsbridge\.toml:1: unknown key "sppol.*did you mean spool`},
		"not TOML":            {file: "device_id = ", want: `gpsbridge\.toml:1: `},
		"wrong type":          {file: "\n[relay]\nopen = \"yes\"", want: `gpsbridge\.toml:3: relay\.open: the value is not true or false: gpsbridge\.toml, the reference, shows`},
		"no unit":             {file: "[[receiver]]\nsilence = 10", want: `/gpsbridge\.toml:2: receiver\.silence: the value is not a text in quotes, such as "10s" for a duration`},
		"bad duration":        {file: "[[receiver]]\nsilence = \"10\"", want: `gpsbridge\.toml:2: receiver\.silence: "10" is not a duration: use`},
		"bad size":            {file: "[spool]\nmax = \"32 apples\"", want: `gpsbridge\.toml:2: spool\.max: "32 apples" is not a size: use`},
		"bad level":           {file: "[log]\nlevel = \"loud\"", want: `gpsbridge\.toml:2: log\.level: "loud" is unknown: use "info", "debug", "warn" or "error"`},
		"bad format":          {file: "[log]\nformat = \"xml\"", want: `gpsbridge\.toml:2: log\.format: "xml" is unknown: use "text" or "json"`},
		"device ID":           {flags: map[string]string{"device-id": "van-7"}, want: `^--device-id: "van-7" is not allowed: use 1 to 80 letters, digits and underscores, for example "van_7"`},
		"device ID café":      {flags: map[string]string{"device-id": "café"}, want: `"café" is not allowed`},
		"empty device ID":     {flags: map[string]string{"device-id": ""}, want: `"" is not allowed|it is not set`},
		"device ID too long":  {flags: map[string]string{"device-id": strings.Repeat("x", 81)}, want: `is not allowed`},
		"server without host": {flags: map[string]string{"server": "ws://"}, want: `^--server: "ws://" is not a WebSocket URL: use ws://HOST or wss://HOST`},
		"server http":         {flags: map[string]string{"server": "https://a.example"}, want: `is not a WebSocket URL`},
		"server with a space": {flags: map[string]string{"server": "ws://a b"}, want: `^--server: it is not a URL`},
		"password in the URL": {flags: map[string]string{"server": "ws://me:hunter2@a.example"}, want: `^[^h]*xxxxx[^h]*holds a password: .*token_file`},
		"server without URL":  {file: "[[uplink]]\nname = \"x\"", want: `gpsbridge\.toml:1: uplink\.server: it is empty`},
		"unknown ack":         {file: "[[uplink]]\nserver = \"ws://a\"\nack = \"maybe\"", want: `gpsbridge\.toml:3: uplink\.ack: "maybe" is unknown`},
		"unknown member":      {file: "[report]\nmembers = [\"lat\", \"sped\"]", want: `gpsbridge\.toml:2: report\.members: "sped" is not a member of a fix: did you mean speed\? use some of mode, status, time, lat, lon, altMSL, `},
		"empty member":        {file: "[report]\nmembers = [\"\"]", want: `gpsbridge\.toml:2: report\.members: "" is not a member of a fix: use some of mode, `},
		"unknown compress":    {file: "[[uplink]]\nserver = \"ws://a\"\ncompress = \"yes\"", want: `uplink\.compress: "yes" is unknown`},
		"unknown order":       {file: "[[uplink]]\nserver = \"ws://a\"\norder = \"lifo\"", want: `uplink\.order: "lifo" is unknown`},
		"same name twice":     {file: "[[uplink]]\nserver = \"ws://a\"\n[[uplink]]\nserver = \"ws://a\"", want: `gpsbridge\.toml:3: uplink\.name: two \[\[uplink\]\] sections are called "a"`},
		"one source twice":    {file: "[[receiver]]\nsource = \"-\"\n[[receiver]]\nsource = \"-\"", want: `gpsbridge\.toml:4: receiver\.source: another \[\[receiver\]\] section has the source "-"`},
		"receiver's ID":       {file: "[[receiver]]\ndevice_id = \"van-8\"", want: `gpsbridge\.toml:2: receiver\.device_id: "van-8" is not allowed`},
		"one group for two":   {file: "[[receiver]]\n[[receiver]]\nsource = \"-\"\ndevice_id = \"b\"\n[[uplink]]\nserver = \"ws://a/fixed/\"", want: `uplink\.server: "ws://a/fixed/" has no \{device_id\}`},
		"two servers, flag":   {file: "[[uplink]]\nserver = \"ws://a\"\n[[uplink]]\nserver = \"ws://b\"", flags: map[string]string{"server": "ws://c"}, want: `--server: the configuration names 2 servers`},
		"unknown variable":    {environ: []string{"GPSBRIDGE_SEVRER=x"}, want: `environment variable GPSBRIDGE_SEVRER is not known: did you mean GPSBRIDGE_SERVER\? there are GPSBRIDGE_DEVICE, `},
		"bad variable":        {environ: []string{"GPSBRIDGE_SPOOL_MAX=big"}, want: `environment variable GPSBRIDGE_SPOOL_MAX: "big" is not a size`},
		"unknown rollover":    {file: "[[receiver]]\nrollover = \"no\"", want: `receiver\.rollover: "no" is unknown: use "auto", "correct" or "keep"`},
		"negative history":    {file: "[relay]\nhistory = -1", want: `gpsbridge\.toml:2: relay\.history: -1 is out of range`},
		"negative distance":   {file: "[report]\nsky = true\ndistance = -1.5", want: `gpsbridge\.toml:3: report\.distance: -1\.5 is out of range: use metres, 0 or more`},
		"no number":           {file: "[report]\nspeed = nan", want: `gpsbridge\.toml:2: report\.speed: NaN is out of range: use metres a second`},
		"half a circle":       {file: "[report]\nturn = 181", want: `gpsbridge\.toml:2: report\.turn: 181 is out of range: use degrees, 0 to 180`},
		"bad header":          {file: "[[uplink]]\nserver = \"ws://a\"\nheaders = { \"X Fleet\" = \"a\" }", want: `gpsbridge\.toml:3: uplink\.headers: "X Fleet" is not a header`},
		"header with lines":   {file: "[[uplink]]\nserver = \"ws://a\"\nheaders.X = \"a\\nb\"", want: `gpsbridge\.toml:1: uplink\.headers: "X" is not a header`},
		"WebSocket's header":  {file: "[[uplink]]\nserver = \"ws://a\"\nheaders = { sec-WebSocket-key = \"a\" }", want: `gpsbridge\.toml:3: uplink\.headers: .* belongs to the WebSocket`},
		"spool too small":     {file: "[spool]\nmax = \"1kB\"", want: `gpsbridge\.toml:2: spool\.max: "1kB" is too small: use a size such as "32MiB", at least "\d+B"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, test.file, test.environ, test.flags)
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "\n") || !regexp.MustCompile(test.want).MatchString(err.Error()) {
				t.Errorf("error %q, want one line that matches %q", err, test.want)
			}
		})
	}
}

func TestLoadTakesAFileFromWindows(t *testing.T) {
	if c, err := load(t, "\ufeffdevice_id = \"van_7\"\r\n[log]\r\nlevel = \"WARN\"\r\n", nil, nil); err != nil || c.DeviceID != "van_7" || c.Log.Level != slog.LevelWarn {
		t.Errorf("device %q, level %v, %v", c.DeviceID, c.Log.Level, err)
	}
}

func TestLoadNamesAMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.toml"), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "none.toml") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func TestServerWithoutPathGetsTheTrackingRoute(t *testing.T) {
	for server, want := range map[string]string{
		"ws://a.example":                    "ws://a.example/ws/gps-tracking/van_7/",
		"wss://a.example:444/":              "wss://a.example:444/ws/gps-tracking/van_7/",
		"ws://a.example/x/{device_id}/?a=1": "ws://a.example/x/van_7/?a=1",
		"ws://a.example/fixed/":             "ws://a.example/fixed/",
	} {
		f := Default()
		f.DeviceID, f.Uplinks = "van_7", []UplinkSection{{Server: server}}
		if c, err := f.Check(); err != nil {
			t.Errorf("%s: %v", server, err)
		} else if got := c.Uplinks[0].For("van_7").URL; got != want {
			t.Errorf("%s became %s, want %s", server, got, want)
		}
	}
}

// A header that carries a token as a subprotocol is how some servers want it.
func TestHeadersOfTheUser(t *testing.T) {
	if _, err := load(t, "device_id = \"a\"\n[[uplink]]\nserver = \"ws://a\"\nheaders = { \"Sec-WebSocket-Protocol\" = \"token.abc\", \"X-Fleet\" = \"north\" }", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestDeviceIDFromHostName(t *testing.T) {
	for host, want := range map[string]string{
		"van7": "van7", "rpi-7.local": "rpi_7_local", "-edge-": "edge", "": "", "café": "caf",
		strings.Repeat("h", 100): strings.Repeat("h", 80),
	} {
		if got := deviceIDFrom(host); got != want {
			t.Errorf("deviceIDFrom(%q) = %q, want %q", host, got, want)
		}
	}
}

// TestPathsOfTheService: systemd names directories in the environment. Outside the service its configuration leads to them.
func TestPathsOfTheService(t *testing.T) {
	started := []string{"PATH=/bin", "STATE_DIRECTORY=/state:/more", "RUNTIME_DIRECTORY=/run/x", "CREDENTIALS_DIRECTORY=/credentials"}
	for name, test := range map[string]struct {
		environ []string
		path    string
		want    service
	}{
		"started by systemd":      {started, ServiceFile, service{"/state", "/run/x", "/credentials"}},
		"started by systemd, run": {started, "", service{"/state", "/run/x", "/credentials"}},
		"by hand":                 {nil, ServiceFile, service{"/var/lib/gpsbridge", "/run/gpsbridge", "/etc/gpsbridge"}},
		"by hand, an instance":    {nil, "/etc/gpsbridge/../gpsbridge/ttyACM0.toml", service{"/var/lib/gpsbridge-ttyACM0", "/run/gpsbridge-ttyACM0", "/etc/gpsbridge"}},
		"another file":            {nil, "/home/me/gpsbridge.toml", service{}},
		"no file":                 {nil, "", service{}},
	} {
		got, outside := serviceOf(test.environ, test.path)
		if got != test.want || outside != (test.environ == nil && test.want != service{}) {
			t.Errorf("%s: %+v, outside %t, want %+v", name, got, outside, test.want)
		}
	}
	f := Default()
	f.DeviceID, f.service = "van_7", service{"/state", "/tmpfs", "/credentials"}
	f.Relay.TLS, f.Relay.Token = selfSigned, "${CREDENTIALS_DIRECTORY}/viewers"
	f.Uplinks = []UplinkSection{{Server: "ws://a", Token: "${CREDENTIALS_DIRECTORY}/token"}}
	c, err := f.Check()
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Spool.Dir, c.Spool.Runtime, c.Relay.CertFile, c.Relay.KeyFile, c.Relay.TokenFile, c.Uplinks[0].TokenFile, c.Receivers[0].State}
	want := []string{"/state/spool", "/tmpfs/spool", "/state/relay.pem", "/state/relay.key", "/credentials/viewers", "/credentials/token", "/state"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestRelaySection(t *testing.T) {
	for name, test := range map[string]struct {
		relay RelaySection
		code  problem.Code
		key   string
	}{
		"own certificate":    {RelaySection{Cert: "/a", Key: "/b"}, "", ""},
		"created and named":  {RelaySection{TLS: "self-signed", Cert: "/a", Key: "/b"}, "", ""},
		"created, not named": {RelaySection{TLS: "self-signed", Cert: "/a"}, CodeMissing, "relay.tls"},
		"another word":       {RelaySection{TLS: "on"}, CodeValue, "relay.tls"},
		"no room":            {RelaySection{MaxConns: -1}, CodeValue, "relay.max_conns"},
	} {
		f := Default()
		f.DeviceID, f.Relay = "van_7", test.relay
		_, err := f.Check()
		var got problem.Problem
		if p := problem.Of(err); p != nil {
			got = *problem.All(err)[0]
		}
		if got.Code != test.code || got.Key != test.key {
			t.Errorf("%s: %v (code %q), want code %q at %q", name, err, got.Code, test.code, test.key)
		}
	}
}

// reference is the documented configuration that is installed.
const reference = "../../systemd/gpsbridge.toml"

var commentedKey = regexp.MustCompile(`(?m)^#(\[\[?\w+\]\]?|\w+ = .*)$`)

// TestReferenceConfiguration holds the reference against the code: as installed it is the default, and with every key
// uncommented it is understood and valid.
func TestReferenceConfiguration(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	installed, err := load(t, string(text), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	standard, err := Default().Check()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(standard, installed, comparable); diff != "" {
		t.Errorf("as installed it is not the default (-default +reference):\n%s", diff)
	}
	full := commentedKey.ReplaceAllString(string(text), "$1")
	c, err := load(t, full, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Uplinks) != 1 || c.Uplinks[0].Header.Get("X-Fleet") != "north" {
		t.Errorf("uplinks %+v", c.Uplinks)
	}
	// Twice as many connections that read nothing, 100 KiB each, are what the unit's limit of memory leaves to the kernel.
	if got := standard.Relay.MaxConns; got > 256 || got != c.Relay.MaxConns {
		t.Errorf("there may be %d viewers, in the reference %d, want 256 at most", got, c.Relay.MaxConns)
	}
}

// TestReferenceNamesEveryKey finds keys, environment variables and members that the code has and the reference does not.
func TestReferenceNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	for key := range keys(reflect.TypeFor[File]()) {
		key = key[strings.LastIndexByte(key, '.')+1:]
		if !regexp.MustCompile(`(?m)^#?(` + key + ` = |\[\[?` + key + `\]\]?$)`).Match(text) {
			t.Errorf("key %q is not in the reference", key)
		}
	}
	for _, s := range Settings {
		if kind := keys(reflect.TypeFor[File]())[s.key]; kind == nil || kind.Kind() != reflect.String {
			t.Errorf("%s sets %s, which is %v and not a text", s.Env, s.key, kind)
		}
		if !regexp.MustCompile(s.Env + `[,.]`).Match(text) {
			t.Errorf("environment variable %s is not in the reference", s.Env)
		}
	}
	if members := strings.Join(nmea.MemberNames()[1:], ", "); !strings.Contains(strings.ReplaceAll(string(text), "\n# ", " "), members) {
		t.Errorf("the reference does not have %s", members)
	}
}

func TestMissingFileIsNamed(t *testing.T) {
	there := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(there, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		there:                            "",
		"${CREDENTIALS_DIRECTORY}/token": "",
		"/nonexistent/token":             `uplink.token_file: file "/nonexistent/token" does not exist`,
	} {
		c, err := load(t, "[[uplink]]\nserver = \"ws://a\"\ntoken_file = \""+path+"\"", nil, map[string]string{"device-id": "van_7"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckFiles(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestServiceMustReadItsFiles: its user is neither the owner of a file nor root.
func TestServiceMustReadItsFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := Default()
	f.DeviceID, f.outside, f.service.credentials = "van_7", true, filepath.Dir(path)
	for _, test := range []struct {
		mode fs.FileMode
		file string
		want problem.Code
	}{
		{0o600, path, CodeUnreadable},
		{0o640, path, CodeUnreadable}, // of another group than dialout
		{0o644, path, ""},
		{0o600, "${CREDENTIALS_DIRECTORY}/token", ""},
	} {
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		f.Uplinks = []UplinkSection{{Server: "ws://a", Token: test.file}}
		c, err := f.Check()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckFiles(); problem.CodeOf(err) != test.want {
			t.Errorf("%s with mode %o: %v, want code %q", test.file, test.mode, err, test.want)
		}
	}
}

// TestHostNameWithoutAnID: of a host name without a letter or digit no device ID can be made, and the error says so.
func TestHostNameWithoutAnID(t *testing.T) {
	for host, want := range map[string]string{
		"---":   `device_id: it is not set, and none can be made of the host name "---": set it, for example "van_7"`,
		"van-7": `device_id: "" is not allowed: use 1 to 80 letters, digits and underscores, for example "van_7"`,
	} {
		if err := checkTrackerID("", host); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", host, err, want)
		}
	}
	if err := checkTrackerID("van_7", "---"); err != nil {
		t.Error(err)
	}
}

// FuzzConfiguration: whatever a file holds, it is a configuration of which each spool has a directory of its own in spool.dir, or
// its problems are stated, each on one line.
func FuzzConfiguration(f *testing.F) {
	reference, err := os.ReadFile("../../systemd/gpsbridge.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reference)
	f.Add(regexp.MustCompile(`(?m)^# ?([a-z_]+ = |\[)`).ReplaceAll(reference, []byte("$1"))) // every key that it shows
	for _, text := range []string{
		"device_id = \"van_7\"\n[spool]\ndir = \"/s\"\nmax = \"1e30GiB\"\n", "[[receiver]]\nsource = \"tcp://[::1\"\ndevice_id = \"../x\"\n",
		"\ufeff[[uplink]]\nserver = \"ws://a/{device_id}/\"\nheaders = { \"A\" = \"b\" }\n", "[relay]\nlisten = 1\n", "a.b.c = {x=[[\n", "log = \"\x1b[2J\"",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := loadFrom(t, filepath.Join(t.TempDir(), "f"), string(text), nil, nil)
		for _, p := range problem.All(err) {
			if line := p.Error(); strings.TrimSpace(line) == "" || strings.ContainsAny(line, "\n\r") || p.Code == "" {
				t.Errorf("code %q, %q", p.Code, line)
			}
		}
		if err != nil {
			return
		}
		for _, id := range c.DeviceIDs() {
			if dir, _ := c.SpoolDirs(id); dir != "" && (filepath.Dir(dir) != filepath.Clean(c.Spool.Dir) || !relay.ValidDeviceID(id)) {
				t.Errorf("the spool of device %q is in %q", id, dir)
			}
		}
	})
}

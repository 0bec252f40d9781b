package bridge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gpsbridge/bridge/config"
)

// TestErrorsSayWhereTheValueWasGiven has mistakes that the configuration's own checks find, and such that only the parts do.
func TestErrorsSayWhereTheValueWasGiven(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file    string
		environ []string
		flags   map[string]string
		want    []string // how the errors begin; FILE stands for the file's path
	}{
		"key":             {file: "\n\ndevice_id = 'a-b'", want: []string{"FILE:3: device_id"}},
		"second section":  {file: "[[uplink]]\nserver = 'ws://a'\nping = '1s'\n[[uplink]]\nping = 20\nserver = 'ws://b'", want: []string{"FILE:5: uplink.ping: the value is not a text"}},
		"section":         {file: "[spool]\n[[uplink]]\nname = 'server'", want: []string{"FILE:2: uplink.server: it is empty"}},
		"one table":       {file: "[uplink]\nserver = 'ws://a'\nack = 'x'", want: []string{"FILE:3: uplink.ack"}},
		"dotted":          {file: "log.level = 'info'\nrelay . 'history' = -1", want: []string{"FILE:2: relay.history"}},
		"inline":          {file: "device_id = 'a'\nrelay = { history = -1 }", want: []string{"FILE:2: relay.history"}},
		"inline array":    {file: "\nuplink = [{ server = 'x' }]", want: []string{"FILE:2: uplink.server"}},
		"after a text":    {file: "device_id = \"\"\"\na\"\"\"\r\n[relay]\r\nhistory = -1", want: []string{"FILE:4: relay.history"}},
		"several":         {file: "[report]\nspeed = -1.0\nturn = -1.0\n[log]\nformat = 'x'", want: []string{"FILE:3: report.turn", "FILE:2: report.speed", "FILE:5: log.format"}},
		"relay's own":     {file: "[relay]\nopen = false\nlisten = '8947'", want: []string{"FILE:3: relay.listen"}},
		"receiver's own":  {file: "[[receiver]]\nsource = '-'\n[[receiver]]\nsilence = '5s'\nsource = 'ttyUSB0'", want: []string{"FILE:5: receiver.source: "}},
		"uplink's own":    {file: "[[uplink]]\nname = 'window'\nserver = 'ws://a'\nwindow = 100", want: []string{`FILE:4: uplink.window: `}},
		"half a pair":     {file: "[[uplink]]\nserver = 'ws://a'\nkey_file = 'k'", want: []string{"FILE:1: uplink.cert_file: "}},
		"variable":        {file: "[relay]\nlisten = 'off'", environ: []string{"GPSBRIDGE_LISTEN=8947"}, want: []string{`environment variable GPSBRIDGE_LISTEN: "8947"`}},
		"flag":            {file: "[relay]\nlisten = '8947'", environ: []string{"GPSBRIDGE_LISTEN=8948"}, flags: map[string]string{"listen": "8949"}, want: []string{`--listen: "8949"`}},
		"another by flag": {file: "[[uplink]]\nserver = 'x'\nwindow = 100", flags: map[string]string{"server": "ws://a"}, want: []string{"FILE:3: uplink."}},
		"receiver's flag": {file: "[[receiver]]\nsource = 'a'\nsilence = '1s'", flags: map[string]string{"device": "ttyUSB0"}, want: []string{"--device: "}},
		"token, no file":  {file: "[[uplink]]\nserver = 'ws://a'\ntoken_file = '/dev/null'", want: []string{`FILE:3: uplink.token_file: file "/dev/null" cannot be read: is not a regular file`}},
		"missing map":     {file: "[relay]\nbasemap = '/nonexistent/m'", want: []string{`FILE:2: relay.basemap: file "/nonexistent/m" does not exist`}},
		"missing file":    {file: "[[uplink]]\nserver = 'ws://a'\ntoken_file = '/nonexistent/t'", want: []string{`FILE:3: uplink.token_file`}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gpsbridge.toml")
			if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := config.Load(path, test.environ, test.flags)
			if err == nil {
				err = Check(c)
			}
			if err == nil {
				err = c.CheckFiles()
			}
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n")
			for i, want := range test.want {
				want = strings.Replace(want, "FILE", path, 1)
				if len(lines) != len(test.want) || !strings.HasPrefix(lines[i], want) {
					t.Errorf("errors %q, want %q", lines, want)
				}
			}
		})
	}
}

// Checking a configuration makes no files; one that is to be there and is not is named.
func TestCheckKnowsTheCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := config.Default()
	f.DeviceID = "van_7"
	f.Receivers = []config.ReceiverSection{{Source: "sim:"}}
	f.Relay.Cert, f.Relay.Key = filepath.Join(dir, "relay.pem"), filepath.Join(dir, "relay.key")
	check := func() error {
		c, err := f.Check()
		if err != nil {
			return err
		}
		return Check(c)
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), "relay.tls_cert_file") {
		t.Errorf("error %v, want relay.tls_cert_file", err)
	}
	f.Relay.TLS = "self-signed"
	if err := check(); err != nil {
		t.Error(err)
	}
	if made, _ := os.ReadDir(dir); len(made) > 0 {
		t.Errorf("the check made %v", made)
	}
}

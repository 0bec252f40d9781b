package config_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/problem"
)

func TestSetKeepsAllElse(t *testing.T) {
	const van = "van_7"
	for name, test := range map[string]struct{ text, key, value, want string }{
		"a value":                 {"# which\ndevice_id = \"a\" # mine\n[log]\n", "device_id", van, "# which\ndevice_id = \"van_7\" # mine\n[log]\n"},
		"a literal text":          {"device_id='a'\n", "device_id", van, "device_id=\"van_7\"\n"},
		"a comment":               {"# Names the group.\n#device_id = \"x\"\n\n[log]\n", "device_id", van, "# Names the group.\ndevice_id = \"van_7\"\n\n[log]\n"},
		"a comment elsewhere":     {"[[receiver]]\n#device_id = \"x\"\n", "device_id", van, "device_id = \"van_7\"\n[[receiver]]\n#device_id = \"x\"\n"},
		"nothing":                 {"", "device_id", van, "device_id = \"van_7\"\n"},
		"no line end":             {"[relay]", "relay.listen", "off", "[relay]\nlisten = \"off\"\n"},
		"in a section":            {"[relay]\nlisten = \"a\"\n[log]\n", "relay.listen", "off", "[relay]\nlisten = \"off\"\n[log]\n"},
		"below a header":          {"[relay] # viewers\nhistory = 3\n", "relay.listen", "off", "[relay] # viewers\nlisten = \"off\"\nhistory = 3\n"},
		"a comment in a section":  {"[relay]\n# where\n # listen = \"a\"\nhistory = 3\n", "relay.listen", "off", "[relay]\n# where\nlisten = \"off\"\nhistory = 3\n"},
		"the comment of another":  {"[log]\n#[relay]\n#listen = \"a\"\n", "log.level", "warn", "[log]\nlevel = \"warn\"\n#[relay]\n#listen = \"a\"\n"},
		"a section in a comment":  {"# Viewers.\n#[relay]\n# Where.\n#listen = \"a\"\n[log]\n", "relay.listen", "off", "# Viewers.\n[relay]\n# Where.\nlisten = \"off\"\n[log]\n"},
		"no section":              {"device_id = \"a\"\n", "relay.listen", "off", "device_id = \"a\"\n\n[relay]\nlisten = \"off\"\n"},
		"a dotted key":            {"relay.listen = \"a\"\n[log]\n", "relay.listen", "off", "relay.listen = \"off\"\n[log]\n"},
		"beside a dotted key":     {"relay.history = 3\n[log]\n", "relay.listen", "off", "relay.history = 3\nrelay.listen = \"off\"\n[log]\n"},
		"in a repeated section":   {"[[uplink]]\n\tserver = \"ws://a\"\n", "uplink.server", "ws://b", "[[uplink]]\n\tserver = \"ws://b\"\n"},
		"no repeated section":     {"", "uplink.server", "ws://b", "\n[[uplink]]\nserver = \"ws://b\"\n"},
		"lines of Windows":        {"# which\r\n#device_id = \"x\"\r\n[log]\r\n", "device_id", van, "# which\r\ndevice_id = \"van_7\"\r\n[log]\r\n"},
		"a section on Windows":    {"[log]\r\n", "relay.listen", "off", "[log]\r\n\r\n[relay]\r\nlisten = \"off\"\r\n"},
		"a text of several lines": {"device_id = '''a'''\n[log]\n", "device_id", van, "device_id = \"van_7\"\n[log]\n"},
		"quotes":                  {"", "receiver.source", `/dev/a"b\c`, "\n[[receiver]]\nsource = \"/dev/a\\\"b\\\\c\"\n"},
	} {
		got, err := config.Set([]byte(test.text), test.key, test.value)
		if diff := cmp.Diff(test.want, string(got)); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

// What cannot be changed line by line is refused, and nothing is guessed.
func TestSetRefuses(t *testing.T) {
	for text, code := range map[string]problem.Code{
		"[[uplink]]\n[[uplink]]\n":           config.CodeRepeated,
		"uplink = [{ name = \"a\" }]\n":      config.CodeSyntax,
		"uplink = [{ server = \"ws://a\" }]": config.CodeSyntax,
		"[[uplink]\n":                        config.CodeSyntax,
	} {
		if got, err := config.Set([]byte(text), "uplink.server", "ws://b"); problem.CodeOf(err) != code || got != nil {
			t.Errorf("%q: %q, %v, want code %q", text, got, err, code)
		}
	}
	for _, value := range []string{"/dev/x\x1b[A", "/dev/\xe9", "a\nb"} {
		if got, err := config.Set(nil, "receiver.source", value); problem.CodeOf(err) != config.CodeValue || got != nil {
			t.Errorf("%q: %q, %v", value, got, err)
		}
	}
}

func TestCommentOut(t *testing.T) {
	for text, want := range map[string]string{
		"a = 1\n[[uplink]]\n# where\nserver = \"ws://a\"\n\nheaders = {\n}\n# viewers\n[relay]\nlisten = \"off\"\n": "a = 1\n#[[uplink]]\n# where\n#server = \"ws://a\"\n\n#headers = {\n#}\n# viewers\n[relay]\nlisten = \"off\"\n",
		"[relay]\n": "[relay]\n",
	} {
		got, err := config.CommentOut([]byte(text), "uplink")
		if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	if _, err := config.CommentOut([]byte("[[uplink]]\n[[uplink]]\n"), "uplink"); problem.CodeOf(err) != config.CodeRepeated {
		t.Errorf("two sections: %v", err)
	}
}

// TestSetInTheReference changes the file that the package installs: each line is what it was, or the same key without the number
// sign.
func TestSetInTheReference(t *testing.T) {
	reference, err := os.ReadFile("../../systemd/gpsbridge.toml")
	if err != nil {
		t.Fatal(err)
	}
	text, values := reference, [][2]string{
		{"device_id", "van_7"}, {"receiver.source", "/dev/ttyUSB0"}, {"uplink.server", "wss://a.example"},
		{"uplink.token_file", "/etc/gpsbridge/token"}, {"relay.token_file", "/etc/gpsbridge/viewer-token"}, {"relay.listen", "0.0.0.0:8947"},
	}
	for _, v := range values {
		var failed error
		if text, failed = config.Set(text, v[0], v[1]); failed != nil {
			t.Fatal(failed)
		}
	}
	was, is := strings.Split(string(reference), "\n"), strings.Split(string(text), "\n")
	if len(was) != len(is) {
		t.Fatalf("%d lines became %d", len(was), len(is))
	}
	changed := 0
	for i := range was {
		if was[i] == is[i] {
			continue
		}
		changed++
		key, _, _ := strings.Cut(strings.TrimPrefix(was[i], "#"), " = ")
		if !strings.HasPrefix(is[i], key) {
			t.Errorf("line %d: %q became %q", i+1, was[i], is[i])
		}
	}
	if want := len(values) + 1; changed != want { // with the header of [[uplink]]
		t.Errorf("%d lines changed, want %d", changed, want)
	}
	c, err := config.Parse("/etc/gpsbridge/gpsbridge.toml", text, nil, nil)
	if err != nil || c.DeviceID != "van_7" || c.Receivers[0].Source != "/dev/ttyUSB0" || c.Uplinks[0].Name != "a.example" || c.Relay.Listen != "0.0.0.0:8947" {
		t.Errorf("%+v, %v", c, err)
	}
	out, err := config.CommentOut(text, "uplink")
	again, errAgain := config.Set(out, "uplink.server", "wss://a.example")
	if err := errors.Join(err, errAgain); err != nil || strings.Contains(string(out), "\nserver") {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := config.Parse("", again, nil, nil); err != nil {
		t.Error(err)
	}
}

// FuzzSet changes any text: it is refused, or has the value, and can be changed again.
func FuzzSet(f *testing.F) {
	for _, text := range []string{"device_id = 'a'\n[[uplink]]\nserver = \"ws://a\"\n", "#[relay]\r\n#listen = 'a'\r\n[log]", "relay.listen = 'a'", "uplink = [{ server = 'a' }]", "relay = { listen = 'a' }", "[relay]\n[relay.x]\n", "a = '''\n[relay]\n'''"} {
		f.Add(text, "van_7")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		for _, key := range []string{"device_id", "relay.listen", "uplink.server"} {
			got, err := config.Set([]byte(text), key, value)
			if err != nil {
				continue
			}
			if again, err := config.Set(got, key, value); err != nil || !bytes.Equal(again, got) {
				t.Errorf("%s of %q: %q, the second time %q, %v", key, text, got, again, err)
			}
		}
		if got, err := config.CommentOut([]byte(text), "uplink"); err == nil {
			if again, err := config.CommentOut(got, "uplink"); err != nil || !bytes.Equal(again, got) {
				t.Errorf("%q: %q, the second time %q, %v", text, got, again, err)
			}
		}
	})
}

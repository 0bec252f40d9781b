package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gpsbridge/bridge/realtest"
)

// reference is a copy of the configuration that the package installs, with lines replaced.
func reference(t *testing.T, replace ...string) (path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "systemd/gpsbridge.toml"))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, path, strings.NewReplacer(replace...).Replace(string(text)))
	return path
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSetupRefuses: a wrong answer is one line, and changes nothing.
func TestSetupRefuses(t *testing.T) {
	bad, token := filepath.Join(t.TempDir(), "bad"), filepath.Join(t.TempDir(), "token")
	writeFile(t, bad, "two words\n")
	writeFile(t, token, "secret\n")
	for _, test := range []struct{ file, line, want string }{
		{"", "", `no terminal to ask at: give the tracking server with --server URL, or --server none\n$`},
		{"", "--server tracking.example.org", `--server: "tracking.example.org" is not a WebSocket URL: use ws://HOST`},
		{"", "--server http://a/?token=SECRET", `--server: "http://a/" is not a WebSocket URL`},
		{"", "--server none --device-id van-7", `--device-id: "van-7" is not allowed: use`},
		{"", "--server none --device ftp://x", `--device: .*ftp://x`},
		{"", "--server none --token-file " + token, `--token-file: there is no tracking server to send it to: give one with --server URL`},
		{"", "--server ws://a --token-file " + bad, `--token-file: file ".*bad" does not hold a token`},
		{"", "--server none --phones=often", `--phones: "often" is not an answer: use y or n`},
		{"[[uplink]]\nserver = \"ws://a\"\n[[uplink]]\nserver = \"ws://b\"\n", "--server ws://c", `--server: the file has 2 \[\[uplink\]\] sections: change them in the file`},
		{"[relay]\nlissten = \"x\"\n", "--server none", `:2: unknown key "relay\.lissten"`},
		{"[[uplink]]\nserver = \"ws://a\"\nca_file = \"/nonexistent/ca.pem\"\n", "--device-id van_7", `ca\.pem" does not exist: .*gpsbridge\.toml is as it was\n$`},
	} {
		path := reference(t)
		if test.file != "" {
			writeFile(t, path, test.file)
		}
		before := contents(t, path)
		code, stdout, stderr := invoke(t, "", append([]string{"setup", "-c", path}, strings.Fields(test.line)...)...)
		if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !regexp.MustCompile(test.want).MatchString(stderr) {
			t.Errorf("gpsbridge setup %s: exit code %d, stdout %q, stderr %q, want 2, nothing, one line that matches %q", test.line, code, stdout, stderr, test.want)
		}
		if contents(t, path) != before {
			t.Errorf("gpsbridge setup %s has changed the file", test.line)
		}
	}
	if code, _, stderr := invoke(t, "", "setup", "-c", "/nonexistent/gpsbridge.toml", "--server", "none"); code != exitUsage || !strings.Contains(stderr, "directory /nonexistent does not exist: install the package") {
		t.Errorf("without a directory: exit code %d, %q", code, stderr)
	}
}

// TestQRCodeIsTheText reads what is drawn back, for texts of several lengths.
func TestQRCodeIsTheText(t *testing.T) {
	for _, text := range []string{"http://10.0.0.1/", "http://192.168.100.100:8947/?device=van_7#token=CHM3OX3BA33AFHZIHJTHO4WF3F", strings.Repeat("https://example.org/", 12)} {
		drawn, err := qrCode(text)
		if got := realtest.ScanQR(t, drawn); err != nil || got != text {
			t.Errorf("%q: read back as %q, %v", text, got, err)
		}
	}
}

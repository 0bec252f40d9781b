package secret_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/secret"
)

func TestReadTakesOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for text, want := range map[string]struct {
		token string
		code  problem.Code
	}{
		"abc\n": {"abc", ""}, " a-b_c \r\n": {"a-b_c", ""},
		"": {"", secret.CodeInvalid}, "\n": {"", secret.CodeInvalid}, "two words": {"", secret.CodeInvalid},
		"two\nlines": {"", secret.CodeInvalid}, "café": {"", secret.CodeInvalid}, "a\x00b": {"", secret.CodeInvalid},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := secret.Read(path)
		if token != want.token || problem.CodeOf(err) != want.code || err != nil && strings.Contains(err.Error(), "two") {
			t.Errorf("%q: token %q, error %v, want %q and code %q", text, token, err, want.token, want.code)
		}
	}
	if _, err := secret.Read(path + ".missing"); problem.CodeOf(err) != secret.CodeMissing {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := secret.Read(filepath.Dir(path)); problem.CodeOf(err) != secret.CodeUnreadable {
		t.Errorf("a directory: %v", err)
	}
	pipe := path + ".pipe" // which anyone who may write there can put in its place, and root's commands would wait
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.Read(pipe); problem.CodeOf(err) != secret.CodeUnreadable {
		t.Errorf("a pipe: %v", err)
	}
}

func TestReadOrCreateMakesATokenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	first, err := secret.ReadOrCreate(path)
	if err != nil || len(first) < 20 {
		t.Fatalf("token %q, error %v", first, err)
	}
	if again, err := secret.ReadOrCreate(path); again != first || err != nil {
		t.Errorf("the second time %q (%v), want %q", again, err, first)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, want a file for its owner alone", info.Mode(), err)
	}
	if _, err := secret.ReadOrCreate("/nonexistent/token"); problem.CodeOf(err) != secret.CodeUnreadable {
		t.Errorf("where nothing can be created: %v", err)
	}
}

func TestRedactURL(t *testing.T) {
	for address, want := range map[string]string{
		"wss://a.example/x/":                  "wss://a.example/x/",
		"wss://me:SECRET@a.example/x/#SECRET": "wss://a.example/x/",
		"ws://a/x/?token=SECRET&b=SECRET&c":   "ws://a/x/?token=...&b=...&c=...",
		"ws://a b":                            "",
	} {
		if got := secret.RedactURL(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

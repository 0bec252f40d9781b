package serial

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// A user who may write in the state directory cannot lead the daemon to another file.
func TestMemoryFollowsNoLinks(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	const text = "another's"
	if err := os.WriteFile(outside, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMemory(t.TempDir(), "auto", slog.New(slog.DiscardHandler))
	for _, path := range []string{m.file, m.file + ".new"} {
		if err := os.Symlink(outside, path); err != nil {
			t.Fatal(err)
		}
	}
	m.keep("/dev/ttyUSB0", 9600)
	if got, err := os.ReadFile(outside); err != nil || string(got) != text {
		t.Errorf("the file outside is now %q (%v), want %q", got, err, text)
	}
	if again := newMemory(filepath.Dir(m.file), "auto", slog.New(slog.DiscardHandler)); again.baud("/dev/ttyUSB0") != 9600 {
		t.Error("what was kept is not read again")
	}
}

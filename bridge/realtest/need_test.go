package realtest

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// verdict is a testing.TB that records how Need ended instead of ending the test.
type verdict struct {
	testing.TB
	failed, skipped string
}

func (v *verdict) Helper() {}

func (v *verdict) Fatal(args ...any) {
	v.failed = args[0].(string)
	runtime.Goexit()
}

func (v *verdict) Skip(args ...any) {
	v.skipped = args[0].(string)
	runtime.Goexit()
}

func needed(t *testing.T, p Part) *verdict {
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		Need(v, p)
	}()
	<-done
	return v
}

func TestNeed(t *testing.T) {
	if testing.Short() {
		t.Skip("-short skips what it tests")
	}
	const lost Part = "a part that no machine has"
	parts[lost] = part{inPath("gpsbridge-no-such-program"), apt("no-such-package")}
	t.Cleanup(func() { delete(parts, lost) })
	nowhere := filepath.Join(t.TempDir(), "nowhere")

	tests := []struct {
		name          string
		part          Part
		real, corpus  string
		fails, skips  bool
		saysToInstall string
	}{
		{"missing", lost, "", "", false, true, "apt-get install -y --no-install-recommends no-such-package"},
		{"missing where everything must be real", lost, "1", "", true, false, "no-such-package"},
		{"corpus there", Corpus, "1", t.TempDir(), false, false, ""},
		{"corpus not there", Corpus, "", nowhere, false, true, EnvCorpus},
		{"corpus not there where everything must be real", Corpus, "1", nowhere, true, false, EnvCorpus},
		{"corpus said to be absent", Corpus, "1", "absent", false, true, EnvCorpus},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(EnvReal, tt.real)
			t.Setenv(EnvCorpus, tt.corpus)
			v := needed(t, tt.part)
			if got := v.failed != ""; got != tt.fails {
				t.Errorf("failed = %q, want a failure: %v", v.failed, tt.fails)
			}
			if got := v.skipped != ""; got != tt.skips {
				t.Errorf("skipped = %q, want a skip: %v", v.skipped, tt.skips)
			}
			said := v.failed + v.skipped
			if !strings.Contains(said, tt.saysToInstall) || strings.Contains(said, "\n") {
				t.Errorf("said %q, want one line with %q", said, tt.saysToInstall)
			}
		})
	}
}

func TestPythonModuleMissing(t *testing.T) {
	Need(t, Django)
	err := pythonHas("django", "gpsbridge_no_such_module")()
	if err == nil || !strings.Contains(err.Error(), "lacks gpsbridge_no_such_module") {
		t.Errorf("got %v, want an error that names the missing module alone", err)
	}
}

func TestCorpusBesideTheCheckout(t *testing.T) {
	root := t.TempDir()
	inside := filepath.Join(root, "checkout", "bridge", "part")
	want := filepath.Join(root, "shared", "corpus", "gpsd")
	for _, dir := range []string{inside, want} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "checkout", "go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvCorpus, "")
	t.Chdir(inside)
	got, err := corpusDir()
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("corpus directory %s, want %s", got, want)
	}
}

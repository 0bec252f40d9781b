package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersionsSortAsTheyWereMade(t *testing.T) {
	const hash, seconds = "0123456789abcdef0123", "1795442400"
	for _, test := range []struct {
		described     string
		dirty         bool
		debian, stamp string
	}{
		{"", false, "0.0.0+20261123140000.g0123456789ab", "0.0.0+20261123140000.g0123456789ab"},
		{"v1.2.3-0-g0123456789ab", false, "1.2.3", "1.2.3+g0123456789ab"},
		{"v1.2.3-7-g0123456789ab", false, "1.2.3+20261123140000.g0123456789ab", "1.2.3+20261123140000.g0123456789ab"},
		{"v1.2.3-0-g0123456789ab", true, "1.2.3+20261123140000.g0123456789ab.dirty", "1.2.3+20261123140000.g0123456789ab.dirty"},
	} {
		v, err := newVersion(hash, seconds, test.described, test.dirty)
		if err != nil {
			t.Fatal(err)
		}
		if v.debian() != test.debian || v.stamp() != test.stamp {
			t.Errorf("%q: package %s and program %s, want %s and %s", test.described, v.debian(), v.stamp(), test.debian, test.stamp)
		}
	}
	if _, err := newVersion(hash, "yesterday", "", false); err == nil {
		t.Error("a time that is none is no error")
	}
}

func TestProgramManual(t *testing.T) {
	got := programManual("gpsbridge reads a receiver.", []string{
		"gpsbridge run [-c FILE] [--server URL]: the daemon\n  -c FILE\n    \tconfiguration FILE\n  --server URL\n    \t.local or not\n",
		"gpsbridge version : print the version\n",
	})
	for _, want := range []string{
		"gpsbridge \\- reads a receiver\n",
		".B gpsbridge run\n[\\-c FILE] [\\-\\-server URL]\n",
		".SS gpsbridge run\nthe daemon\n.TP\n.B \\-c FILE\nconfiguration FILE\n.TP\n.B \\-\\-server URL\n\\&.local or not\n",
		".SS gpsbridge version\nprint the version\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestConfigManual(t *testing.T) {
	got := configManual("gpsbridge.toml", "# The head.\n\n# About it.\n[receiver]\n# What it is:\n#   \"a\"  one\n#name = \"a\"\n#other = 2\n# Last.\nlast = 3\n")
	want := ".SH NAME\ngpsbridge.toml \\- configuration of gpsbridge\n.SH DESCRIPTION\nThe head.\n.PP\n" +
		".SS [receiver]\nAbout it.\n.PP\n.TP\n.B name = \\(dqa\\(dq\n.TQ\n.B other = 2\nWhat it is:\n.br\n\\(dqa\\(dq  one\n" +
		".TP\n.B last = 3\nLast.\n.SH SEE ALSO\n.BR gpsbridge (1)\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNoticesAreThereOrSaid(t *testing.T) {
	dir := t.TempDir()
	if _, err := notices(dir, true); err == nil {
		t.Error("a module without a licence is no error")
	}
	text := "Files: a/*\n\n                                 Apache License\n                           Version 2.0, January 2004\n and so on\n" +
		"   END OF TERMS AND CONDITIONS\n\n   APPENDIX: How to apply it:\n\n identification within third-party archives.\n\n   Copyright of one\n\nFiles: b/*\n"
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := notices(dir, true); err != nil || !strings.Contains(got, "common-licenses/Apache-2.0") || strings.Contains(got, "and so on") ||
		!strings.Contains(got, "Copyright of one\n\nFiles: b/*") || strings.Contains(got, "archives") {
		t.Errorf("got %q, %v, want the name of the common text, and what is beside it", got, err)
	}
	if got, err := notices(dir, false); err != nil || got != text {
		t.Errorf("outside Debian: %q, %v, want the text", got, err)
	}
}

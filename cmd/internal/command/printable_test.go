package command

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"fix 3D, 84° ± 1.2 m · 渋谷\n\tok": "fix 3D, 84° ± 1.2 m · 渋谷\n\tok",
		"\x1b]0;owned\x07":               "\uFFFD]0;owned\uFFFD",
		"\x1b[2J":                        "\uFFFD[2J",
		"a\rb\bc\x7fd\x00":               "a\uFFFDb\uFFFDc\uFFFDd\uFFFD",
		"\u009b31m":                      "\uFFFD31m",
		"\x9b31m":                        "\uFFFD31m", // a C1 character of Latin-1
		"user\u202egnp.exe\u2066":        "user\uFFFDgnp.exe\uFFFD",
		"\u200bnothing\ufeff":            "\uFFFDnothing\uFFFD",
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

// written is what comes out of a Terminal that p is written to in pieces of n bytes.
func written(t *testing.T, p []byte, n int) string {
	t.Helper()
	var out strings.Builder
	terminal := &Terminal{out: &out}
	for len(p) > 0 {
		piece := p[:min(n, len(p))]
		if k, err := terminal.Write(piece); k != len(piece) || err != nil {
			t.Errorf("wrote %d of %d, %v", k, len(piece), err)
		}
		p = p[len(piece):]
	}
	return out.String()
}

// FuzzTerminal: whatever is written, in whatever pieces, nothing that a terminal acts on gets through, and printable text is
// all there.
func FuzzTerminal(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31mred\x1b[0m", "°±\u202e渋", "\xc2", "\xf0\x9f\x9b\xb0", "a\xffb\x9b", "\xe2\x80\xae", "\r\n"} {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, p []byte, n int) {
		if n < 1 || n > 64 || len(p) > 4096 {
			t.Skip()
		}
		got := written(t, p, n)
		if !utf8.ValidString(got) {
			t.Fatalf("%q became %q, which is not UTF-8", p, got)
		}
		for _, r := range got {
			switch {
			case r == '\n', r == '\t':
			case r < 0x20, r >= 0x7f && r < 0xa0, strings.ContainsRune("\u061c\u200e\u200f", r),
				r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
				t.Fatalf("%q let %U through", p, r)
			}
		}
		if want := Printable(string(p)); utf8.Valid(p) && got != want {
			t.Fatalf("in pieces of %d: %q, at once: %q", n, got, want)
		}
		ascii := bytes.Map(func(r rune) rune {
			if r >= ' ' && r < 0x7f {
				return r
			}
			return -1
		}, p)
		if kept := strings.Map(func(r rune) rune {
			if r >= ' ' && r < 0x7f {
				return r
			}
			return -1
		}, got); kept != string(ascii) {
			t.Fatalf("of %q only %q is shown", ascii, kept)
		}
	})
}

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		line            string
		indent, columns int
		want            []string
	}{
		{"fix       3D, 0.4 s old", 10, 40, []string{"fix       3D, 0.4 s old"}},
		{"fix       3D, 0.4 s old", 10, 22, []string{"fix       3D, 0.4 s", "          old"}},
		{"uplink    wss://tracking.example.org/ away", 10, 24, []string{"uplink    wss://tracking", "          .example.org/", "          away"}},
		{"fix       3D, 0.4 s old", 10, 12, []string{"fix", "    3D, 0.4", "    s old"}}, // hardly room
		{"fix", 10, 2, []string{"fi", "x"}},
		{"fix       3D, 0.4 s old", 10, 0, []string{"fix       3D, 0.4 s old"}}, // no terminal
		{"", 10, 40, []string{""}},
	} {
		if diff := cmp.Diff(test.want, wrap(test.line, test.indent, test.columns)); diff != "" {
			t.Errorf("%q in %d columns (-want +got):\n%s", test.line, test.columns, diff)
		}
	}
}

// Whatever is wrapped fits, and not a letter is lost.
func TestWrapKeepsEverything(t *testing.T) {
	letters := func(s string) string { return strings.Join(strings.Fields(s), "") }
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.StringOfN(rapid.RuneFrom([]rune("ab é .")), 0, 200, -1).Draw(t, "line")
		indent, columns := rapid.IntRange(0, 20).Draw(t, "indent"), rapid.IntRange(1, 120).Draw(t, "columns")
		lines := wrap(line, indent, columns)
		for _, l := range lines {
			if len([]rune(l)) > columns {
				t.Fatalf("%q is longer than %d", l, columns)
			}
		}
		if got := letters(strings.Join(lines, " ")); got != letters(line) {
			t.Fatalf("%q became %q", line, lines)
		}
	})
}

package command

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func completed() Program {
	fly := Command{Name: "fly", Args: "[--far] [FILE]", About: "goes away, isn't it", Run: func(_ context.Context, p Process, c Command, args []string) error {
		fs := c.Flags()
		fs.Bool("far", false, "far [very] away")
		fs.String("c", "", "configuration `FILE`")
		_, err := c.Parse(p, fs, args, 1)
		return err
	}}
	nest := fly
	nest.Name, nest.Words = "nest", []string{"build", "leave"}
	g := Program{Name: "bird", Commands: []Command{fly, nest}}
	g.Hidden = []Command{g.Complete()}
	return g
}

// asBird is the environment variable under which the test binary is the program that the scripts ask.
const asBird = "TEST_COMMAND_AS_BIRD"

func TestMain(m *testing.M) {
	if os.Getenv(asBird) != "" {
		completed().Main()
	}
	os.Exit(m.Run())
}

// TestCompletion has each shell that is installed complete the beginning of a command line.
func TestCompletion(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bird"), []byte("#!/bin/sh\n"+asBird+"=1 exec "+self+" \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	const bash = `eval "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bird; printf '%s\n' "${COMPREPLY[@]}"`
	const fish = `echo $argv[1] | source; complete -C "$argv[2..]" | string replace -r '\t.*' ''; true`
	for _, test := range []struct {
		words []string // the last is the one to complete
		want  string
	}{
		{[]string{"bird", "f"}, "fly"},
		{[]string{"bird", "ne"}, "nest"},
		{[]string{"bird", "fly", "--f"}, "--far"},
		{[]string{"bird", "nest", "--fa"}, "--far"},
		{[]string{"bird", "nest", "le"}, "leave"},
	} {
		for shell, args := range map[string][]string{
			"bash": append([]string{"-c", bash, "-", script(t, "bash")}, test.words...),
			"fish": append([]string{"-N", "-c", fish, script(t, "fish")}, test.words...),
		} {
			if _, err := exec.LookPath(shell); err != nil {
				continue
			}
			out, err := exec.Command(shell, args...).CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != test.want {
				t.Errorf("%s: %q is completed to %q, %v; want %q", shell, test.words, got, err, test.want)
			}
		}
	}
	if _, err := exec.LookPath("zsh"); err == nil {
		// Its completion runs in an interactive shell alone: here stands what it is handed.
		const zsh = `compdef() {}; _describe() { print -l -- $list; }; _files() {}; words=(bird nest x); CURRENT=3; eval "$1"; _bird`
		out, err := exec.Command("zsh", "-f", "-c", zsh, "-", script(t, "zsh")).CombinedOutput()
		if want := "--far:far [very] away\n-c:configuration FILE\nbuild\nleave\n"; err != nil || !sameLines(string(out), want) {
			t.Errorf("zsh: %v, %s, want\n%s", err, out, want)
		}
	}
}

func sameLines(a, b string) bool {
	lines := func(s string) []string { return slices.Sorted(strings.Lines(s)) }
	return slices.Equal(lines(a), lines(b))
}

// script is what Completion writes for a shell.
func script(t *testing.T, shell string) string {
	t.Helper()
	var b strings.Builder
	if err := completed().Completion(&b, shell); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCompletionOfAnUnknownShell(t *testing.T) {
	var b strings.Builder
	if err := completed().Completion(&b, "cmd"); err == nil || !strings.Contains(err.Error(), "use bash, zsh, fish") || b.Len() > 0 {
		t.Errorf("%v, wrote %q", err, b.String())
	}
}

package command

import (
	"context"
	"os/exec"
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
	return Program{Name: "bird", Commands: []Command{fly, nest}}
}

// TestCompletion has each shell that is installed complete the beginning of a command line.
func TestCompletion(t *testing.T) {
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
		check := exec.Command("zsh", "-n")
		check.Stdin = strings.NewReader(script(t, "zsh"))
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("zsh: %v, %s", err, out)
		}
	}
}

// script is what Completion writes for a shell.
func script(t *testing.T, shell string) string {
	t.Helper()
	var b strings.Builder
	if err := completed().Completion(&b, shell); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fly", "nest", "far", "leave"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s: no %q in\n%s", shell, want, b.String())
		}
	}
	return b.String()
}

func TestCompletionOfAnUnknownShell(t *testing.T) {
	var b strings.Builder
	if err := completed().Completion(&b, "cmd"); err == nil || !strings.Contains(err.Error(), "use bash, zsh, fish") || b.Len() > 0 {
		t.Errorf("%v, wrote %q", err, b.String())
	}
}

package realtest

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestProcessOutputAndExit(t *testing.T) {
	p := Start(t, "sh", exec.Command("sh", "-c", "echo ready; read line; echo gone >&2; exit 3"))
	in := func(word string) func(string) bool {
		return func(out string) bool { return strings.Contains(out, word) }
	}
	// Without stdin, read ends at once.
	if out, err := p.WaitOutput(answer, in("gone")); err != nil || out != "ready\ngone\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if code, err := p.Exit(answer); err != nil || code != 3 {
		t.Errorf("exit %d, %v, want 3", code, err)
	}
	if _, err := p.WaitOutput(answer, in("never")); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v, want that it has ended", err)
	}
}

func TestProcessSignalled(t *testing.T) {
	p := Start(t, "sleep", exec.Command("sleep", "600"))
	if _, err := p.Exit(time.Millisecond); err == nil {
		t.Error("ended at once")
	}
	p.Signal(syscall.SIGINT)
	if code, err := p.Exit(answer); err != nil || code != -1 {
		t.Errorf("exit %d, %v, want -1", code, err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	w := newTail()
	line := strings.Repeat("x", 999) + "\n"
	for range 1000 {
		w.Write([]byte(line))
	}
	w.Write([]byte("the end"))
	text, _ := w.text()
	if len(text) != tailSize || !strings.HasSuffix(text, "\nthe end") || len(w.data) > 2*tailSize {
		t.Errorf("kept %d of %d bytes, ending in %q", len(text), len(w.data), text[max(0, len(text)-10):])
	}
}

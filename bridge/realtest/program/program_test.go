package program

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is far longer than a shell needs on a loaded machine.
const answer = time.Minute

func start(t *testing.T, name string, args ...string) *Program {
	t.Helper()
	p, err := Start(name, exec.Command(name, args...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestOutputAndExit(t *testing.T) {
	p := start(t, "sh", "-c", "echo ready; read line; echo gone >&2; exit 3")
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
	if err := p.Alive(); err == nil || !strings.HasSuffix(err.Error(), ": gone") {
		t.Errorf("alive: %v, want its last line", err)
	}
}

func TestSignalled(t *testing.T) {
	p := start(t, "sleep", "600")
	if _, err := p.Exit(time.Millisecond); err == nil {
		t.Error("ended at once")
	}
	p.Signal(syscall.SIGINT)
	if code, err := p.Exit(answer); err != nil || code != -1 {
		t.Errorf("exit %d, %v, want -1", code, err)
	}
}

func TestStopKillsWhatStays(t *testing.T) {
	p := start(t, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 600; done")
	if _, err := p.WaitOutput(answer, func(out string) bool { return out != "" }); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(time.Millisecond); err == nil || p.Alive() == nil {
		t.Errorf("stop: %v, alive %v, want that it had to be killed", err, p.Alive())
	}
}

func TestAwaitGivesUp(t *testing.T) {
	never := errors.New("never")
	p := start(t, "sleep", "600")
	if err := p.Await(t.Context(), time.Millisecond, func() error { return never }); !errors.Is(err, never) {
		t.Errorf("await: %v, want why it is not ready", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := p.Await(ctx, answer, func() error { cancel(); return never }); !errors.Is(err, context.Canceled) {
		t.Errorf("await: %v, want that of the context", err)
	}
	p.Kill()
	if err := p.Await(t.Context(), answer, func() error { return never }); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("await: %v, want that it has ended", err)
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
	if got := lastLine(text); got != "the end" {
		t.Errorf("last line %q", got)
	}
	if got := lastLines(text); len(got) != 4<<10 || !strings.HasSuffix(got, "\nthe end") {
		t.Errorf("the last lines are %d bytes, want 4 KiB", len(got))
	}
	if got := lastLines(strings.Repeat("x\n", 100)); got != strings.Repeat("x\n", 30) {
		t.Errorf("the last lines are %q, want 30", got)
	}
}

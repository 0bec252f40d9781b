package realtest

import (
	"os/exec"
	"testing"
	"time"

	"gpsbridge/bridge/realtest/program"
)

const (
	// startTimeout bounds the start of a server: they need 0.3 to 1 s on a quiet machine, and tests share theirs.
	startTimeout = 4 * time.Minute
	// stopTimeout bounds an orderly stop. A Uvicorn with Redis has been seen to stay for minutes after SIGTERM.
	stopTimeout = time.Minute
)

// Process is one run of a program, ended at the latest when the test ends.
type Process = program.Program

// Start starts a program. What it prints on stdout and stderr is kept, unless cmd sends it elsewhere, and the last lines are shown when the
// test fails. A test binary that dies without cleaning up (a timeout, SIGKILL) leaves no program running.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p, err := program.Start(name, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("last output of %s (pid %d):\n%s", name, p.PID(), p.LastLines())
		}
	})
	return p
}

// FreePort returns a TCP port of 127.0.0.1 that is free, as [program.FreePort].
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := program.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func hostPort(port int) string { return program.Loopback(port) }

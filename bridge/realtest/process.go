package realtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// startTimeout bounds the start of a server: they take 0.3 to 1 s on a quiet machine, and tests share theirs.
	startTimeout = 30 * time.Second
	// stopTimeout bounds an orderly stop. A Uvicorn with Redis has been seen to stay for minutes after SIGTERM.
	stopTimeout = 10 * time.Second
	// pollEvery is how often something outside this process is asked for a condition that it cannot announce.
	pollEvery = 20 * time.Millisecond
)

// Process is one run of a program, ended at the latest when the test ends.
type Process struct {
	name string
	cmd  *exec.Cmd
	out  *tail
	done chan struct{} // closed when the process has been waited for
}

// Start starts a program. What it prints on stdout and stderr is kept, and shown when the test fails; the fields for
// them must not be set in cmd.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{name: name, cmd: cmd, out: newTail(), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	// A test binary that dies without cleaning up (a timeout, SIGKILL) must not leave programs behind.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.WaitDelay = time.Second

	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		// The death signal comes when the thread that started the child ends, so that thread stays to wait for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in ProcessState; that it ended is all that is asked here
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("last output of %s (pid %d):\n%s", name, cmd.Process.Pid, p.Output())
		}
	})
	return p
}

// Kill ends the process with SIGKILL and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // already ended is as good
	<-p.done
}

// Signal sends a signal. To a process that has ended it does nothing.
func (p *Process) Signal(sig os.Signal) {
	_ = p.cmd.Process.Signal(sig)
}

// Exit waits for the process to end by itself and returns its exit code, -1 when a signal ended it. The error says that
// it has not ended within the timeout.
func (p *Process) Exit(timeout time.Duration) (code int, err error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(timeout):
		return 0, fmt.Errorf("%s has not ended within %v", p.name, timeout)
	}
}

// Output returns what the process has printed so far, at most the last 64 KiB.
func (p *Process) Output() string {
	text, _ := p.out.text()
	return text
}

// WaitOutput waits until what the process has printed satisfies reached, and returns it. The error says that the process
// ended, or the time was over, before that.
func (p *Process) WaitOutput(timeout time.Duration, reached func(output string) bool) (string, error) {
	deadline := time.After(timeout)
	for ended := p.done; ; {
		text, more := p.out.text()
		if reached(text) {
			return text, nil
		}
		if ended == nil {
			return text, fmt.Errorf("%s ended (%s) without the output that was waited for:\n%s", p.name, p.cmd.ProcessState, text)
		}
		select {
		case <-more:
		case <-ended:
			ended = nil // look once more
		case <-deadline:
			return text, fmt.Errorf("%s has not printed what was waited for within %v:\n%s", p.name, timeout, text)
		}
	}
}

// stop ends the process with SIGTERM, and with SIGKILL when that took longer than stopTimeout; it says which.
func (p *Process) stop() error {
	p.Signal(syscall.SIGTERM)
	if _, err := p.Exit(stopTimeout); err != nil {
		p.Kill()
		return fmt.Errorf("stop: %w of SIGTERM, killed", err)
	}
	return nil
}

// await asks ready until it returns nil. It gives up when the process ends or after startTimeout.
func (p *Process) await(ready func() error) error {
	deadline := time.After(startTimeout)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("start %s: it ended: %s\n%s", p.name, p.cmd.ProcessState, p.Output())
		case <-deadline:
			return fmt.Errorf("start %s: not ready after %v: %w\n%s", p.name, startTimeout, err, p.Output())
		}
	}
}

// tailSize is what a tail keeps: a traceback of Django under load is a few kilobytes, and they come in rows.
const tailSize = 64 << 10

// tail is a writer that keeps the end of what was written. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	data []byte        // guarded by mu
	more chan struct{} // guarded by mu; closed and replaced at each write
}

func newTail() *tail {
	return &tail{more: make(chan struct{})}
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.data = append(w.data, p...)
	if extra := len(w.data) - tailSize; extra > tailSize {
		w.data = append(w.data[:0], w.data[extra:]...)
	}
	close(w.more)
	w.more = make(chan struct{})
	return len(p), nil
}

// text returns the end of what was written, and a channel that is closed at the next write.
func (w *tail) text() (string, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.data[max(0, len(w.data)-tailSize):]), w.more
}

// FreePort returns a TCP port of 127.0.0.1 on which nobody listens. It lies below the range from which Linux takes the
// ports of outgoing connections: a client that keeps dialling a killed server inside that range can be given that very
// port, connect to itself, and hold the port against the server's return.
func FreePort(t testing.TB) int {
	t.Helper()
	const low, high, tries = 20000, 30000, 100
	for range tries {
		port := low + rand.IntN(high-low)
		l, err := net.Listen("tcp", hostPort(port))
		if err != nil {
			continue
		}
		_ = l.Close()
		return port
	}
	t.Fatalf("find a free port of 127.0.0.1: %d tries between %d and %d were all taken", tries, low, high)
	return 0
}

func hostPort(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// dials returns a readiness check: somebody accepts connections on the port.
func dials(port int) func() error {
	return func() error {
		c, err := net.DialTimeout("tcp", hostPort(port), time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

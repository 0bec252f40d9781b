package realtest

import (
	"fmt"
	"math/rand/v2"
	"net"
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

// process is one run of a program, ended at the latest when the test ends.
type process struct {
	name string
	cmd  *exec.Cmd
	out  *tail
	done chan struct{} // closed when the process has been waited for
}

// startProcess starts a program, keeps the end of what it prints, and shows that when the test fails.
func startProcess(t testing.TB, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, out: new(tail), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	// A test binary that dies without cleaning up (a timeout, SIGKILL) must not leave servers behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
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
		p.kill()
		if t.Failed() {
			t.Logf("last output of %s (pid %d):\n%s", name, cmd.Process.Pid, p.out)
		}
	})
	return p
}

// kill ends the process with SIGKILL and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // already ended is as good
	<-p.done
}

// stop ends the process with SIGTERM, and with SIGKILL when that took longer than stopTimeout; it says which.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("stop %s: still there %v after SIGTERM, killed", p.name, stopTimeout)
	}
}

// ended says whether the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// await asks ready until it returns nil. It gives up when the process ends or after startTimeout.
func (p *process) await(ready func() error) error {
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
			return fmt.Errorf("start %s: it ended: %s\n%s", p.name, p.cmd.ProcessState, p.out)
		case <-deadline:
			return fmt.Errorf("start %s: not ready after %v: %w\n%s", p.name, startTimeout, err, p.out)
		}
	}
}

// tailSize is what a tail keeps: a traceback of Django under load is a few kilobytes, and they come in rows.
const tailSize = 64 << 10

// tail is a writer that keeps the end of what was written. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	data []byte // guarded by mu
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.data = append(w.data, p...)
	if extra := len(w.data) - tailSize; extra > tailSize {
		w.data = append(w.data[:0], w.data[extra:]...)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.data[max(0, len(w.data)-tailSize):])
}

// freePort returns a TCP port of 127.0.0.1 on which nobody listens. It lies below the range from which Linux takes the
// ports of outgoing connections: a client that keeps dialling a killed server inside that range can be given that very
// port, connect to itself, and hold the port against the server's return.
func freePort(t testing.TB) int {
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

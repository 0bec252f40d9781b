// Package program starts programs, watches what they print, and ends them by their process ID. Tests use it through
// package realtest, and measurements beside other programs as it is; the daemon does not know it.
package program

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// pollEvery is how often something outside this process is asked for a condition that it cannot announce.
const pollEvery = 20 * time.Millisecond

// Program is one run of a program. Its methods may be called from any goroutine.
type Program struct {
	name string
	cmd  *exec.Cmd
	out  *tail
	done chan struct{} // closed when the process has been waited for
}

// Start starts cmd, under a name for errors. Of stdout and stderr it keeps what cmd sends nowhere else. A program whose
// starter dies without ending it gets SIGKILL, or the Pdeathsig that cmd names.
func Start(name string, cmd *exec.Cmd) (*Program, error) {
	p := &Program{name: name, cmd: cmd, out: newTail(), done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.out
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	if cmd.SysProcAttr.Pdeathsig == 0 {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
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
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// Name is the name that was given to Start.
func (p *Program) Name() string { return p.name }

// PID is its process ID.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Kill ends the process with SIGKILL and returns when it is gone.
func (p *Program) Kill() {
	_ = p.cmd.Process.Kill() // already ended is as good
	<-p.done
}

// Signal sends a signal. To a process that has ended it does nothing.
func (p *Program) Signal(sig os.Signal) {
	_ = p.cmd.Process.Signal(sig)
}

// Stop ends the process with SIGTERM, and with SIGKILL when that lasted longer than timeout, which is the error.
func (p *Program) Stop(timeout time.Duration) error {
	p.Signal(syscall.SIGTERM)
	if _, err := p.Exit(timeout); err != nil {
		p.Kill()
		return fmt.Errorf("stop: %w of SIGTERM, killed", err)
	}
	return nil
}

// Exit waits for the process to end by itself and returns its exit code, -1 when a signal ended it. The error is that
// it has not ended within the timeout.
func (p *Program) Exit(timeout time.Duration) (code int, err error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(timeout):
		return 0, fmt.Errorf("%s has not ended within %v", p.name, timeout)
	}
}

// Alive returns nil while the process runs, then an error with how it ended and what it printed last.
func (p *Program) Alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended early (%s): %s", p.name, p.cmd.ProcessState, p.LastLine())
	default:
		return nil
	}
}

// Output returns what the process has printed so far, at most the last 64 KiB.
func (p *Program) Output() string {
	text, _ := p.out.text()
	return text
}

// LastLines returns the end of Output, at most 30 lines and 4 KiB, for the report of a failure.
func (p *Program) LastLines() string {
	return lastLines(p.Output())
}

// LastLine returns the last line of Output, where a program reports why it ended.
func (p *Program) LastLine() string {
	return lastLine(p.Output())
}

// WaitOutput waits until what the process has printed satisfies reached, and returns it. The error is that the process
// ended, or the time was over, before that.
func (p *Program) WaitOutput(timeout time.Duration, reached func(output string) bool) (string, error) {
	deadline := time.After(timeout)
	for ended := p.done; ; {
		text, more := p.out.text()
		if reached(text) {
			return text, nil
		}
		if ended == nil {
			return text, fmt.Errorf("%s ended (%s) without the output that was waited for:\n%s", p.name, p.cmd.ProcessState, lastLines(text))
		}
		select {
		case <-more:
		case <-ended:
			ended = nil // look once more
		case <-deadline:
			return text, fmt.Errorf("%s has not printed what was waited for within %v:\n%s", p.name, timeout, lastLines(text))
		}
	}
}

// Await asks ready until it returns nil. It gives up when the process or ctx ends, or after timeout.
func (p *Program) Await(ctx context.Context, timeout time.Duration, ready func() error) error {
	deadline := time.After(timeout)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return p.Alive()
		case <-deadline:
			return fmt.Errorf("start %s: not ready after %v: %w: %s", p.name, timeout, err, p.LastLine())
		}
	}
}

// FreePort returns a TCP port of 127.0.0.1 that is free. It lies below the range from which Linux takes the
// ports of outgoing connections: a client that keeps dialling a killed server inside that range can be given that very
// port, connect to itself, and hold the port against the server's return.
func FreePort() (int, error) {
	const low, high, tries = 20000, 30000, 100
	for range tries {
		port := low + rand.IntN(high-low)
		l, err := net.Listen("tcp", Loopback(port))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("find a free port of 127.0.0.1: all that were tried are in use")
}

// Loopback returns 127.0.0.1:port.
func Loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// Listens is for Await: nil when a program accepts connections on the port of 127.0.0.1.
func Listens(port int) func() error {
	return func() error {
		c, err := net.DialTimeout("tcp", Loopback(port), time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startTimeout bounds the start of a program: tens of milliseconds on a quiet machine.
	startTimeout = 15 * time.Second
	// stopTimeout bounds an orderly stop. gpsbridge takes up to five seconds, and none without a tracking server.
	stopTimeout = 6 * time.Second
	// pollEvery is how often something is asked that does not announce itself.
	pollEvery = 10 * time.Millisecond
)

// program is one run of a program.
type program struct {
	name string
	cmd  *exec.Cmd
	out  *tail
	done chan struct{} // closed when it has been waited for
}

// start starts a program, which does not hear the Ctrl-C at the terminal: it is this one's to stop.
func start(name string, cmd *exec.Cmd) (*program, error) {
	p := &program{name: name, cmd: cmd, out: new(tail), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	cmd.WaitDelay = time.Second
	// Where compare is killed itself, the kernel ends the program. gpsd escapes it when it gives up its rights.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		// That signal comes when the thread that started the program ends, so that thread stays to wait for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// pid is its process ID.
func (p *program) pid() int { return p.cmd.Process.Pid }

// stop ends the program by its process ID, with SIGKILL when SIGTERM does not.
func (p *program) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // already ended is as good
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// alive returns an error when the program has ended.
func (p *program) alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended early (%s): %s", p.name, p.cmd.ProcessState, p.out.lastLine())
	default:
		return nil
	}
}

// await asks ready until it returns nil, the program or ctx has ended, or startTimeout is over.
func (p *program) await(ctx context.Context, ready func() error) error {
	limited, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		if dead := p.alive(); dead != nil {
			return dead
		}
		if !sleepUntil(limited, time.Now().Add(pollEvery)) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%s is not ready after %v: %w: %s", p.name, startTimeout, err, p.out.lastLine())
		}
	}
}

// tail keeps the end of what a program prints.
type tail struct {
	mu   sync.Mutex
	data []byte
}

// tailSize is enough for the line that says why a program ended.
const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	t.data = t.data[max(0, len(t.data)-tailSize):]
	return len(p), nil
}

func (t *tail) lastLine() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.data)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "it printed nothing"
}

// freePort returns an address of loopback on which nobody listens, below the range from which Linux takes the ports of
// outgoing connections.
func freePort() (string, error) {
	const low, high, tries = 20000, 30000, 100
	for range tries {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(low+rand.IntN(high-low)))
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("find a free port of 127.0.0.1: all that were tried are taken")
}

// buildGpsbridge builds the program as it is shipped, into folder.
func buildGpsbridge(ctx context.Context, folder string) (string, error) {
	path := folder + "/gpsbridge"
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", path, "gpsbridge/cmd/gpsbridge")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("build gpsbridge: %w: %s: run compare in the checkout, or name a built program with --gpsbridge",
			err, firstComplaint(out))
	}
	return path, nil
}

// firstComplaint is the first line of a compiler's output that is not the name of a package.
func firstComplaint(out []byte) string {
	for line := range bytes.Lines(out) {
		if !bytes.HasPrefix(line, []byte{'#'}) {
			return string(bytes.TrimSpace(line))
		}
	}
	return "it does not say why"
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gpsbridge/bridge/realtest/program"
	"gpsbridge/cmd/internal/command"
)

const (
	// startTimeout bounds the start of a program: a second for Django, tens of milliseconds for the others, on a quiet
	// machine.
	startTimeout = 15 * time.Second
	// stopTimeout bounds an orderly stop. gpsbridge needs up to five seconds, and none without a tracking server.
	stopTimeout = 6 * time.Second
	// stalled is how long a program may accept no bytes: they read them in microseconds.
	stalled = 10 * time.Second
)

// start starts a program in a process group of its own, so that Ctrl-C at the terminal does not reach it: compare stops
// it. Where compare is killed itself, the kernel ends the program; gpsd escapes that when it gives up its rights.
func start(name string, cmd *exec.Cmd) (*program.Program, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return program.Start(name, cmd)
}

// stop ends a program in order, or kills it, which is as good here.
func stop(p *program.Program) { _ = p.Stop(stopTimeout) }

// cleanEnvironment is this process's without the settings of gpsbridge, so that no configuration of the user counts.
func cleanEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GPSBRIDGE_") })
}

// buildGpsbridge builds the program as it is packaged, into dir.
func buildGpsbridge(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "gpsbridge")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", path, "gpsbridge/cmd/gpsbridge")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build gpsbridge: %w: %s: run compare in the checkout, or name a built program with --gpsbridge",
			err, bytes.TrimSpace(out))
	}
	return path, nil
}

// measured has run measure the program at path, or a build of this checkout where that is "", with a directory for its files, and prints
// the report that it has filled in.
func measured(ctx context.Context, w command.Process, report interface{ print(w io.Writer) error }, asJSON bool, path string, run func(path, dir string) error) error {
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if path == "" {
		if path, err = buildGpsbridge(ctx, dir); err != nil {
			return err
		}
	}
	if err := run(path, dir); err != nil {
		return err
	}
	if asJSON {
		return printJSON(w.Stdout, report)
	}
	return report.print(w.Stdout)
}

// machine is what a report was measured on.
type machine struct {
	CPUs int    `json:"cpus"`
	Load string `json:"load"` // at the start: above CPUs other programs disturb the measurement
	Go   string `json:"go"`
}

func thisMachine() machine {
	return machine{CPUs: runtime.NumCPU(), Load: loadAverage(), Go: runtime.Version()}
}

// cpuTime is the CPU time that processes have used, over all their threads, in the kernel and outside. The scheduler counts
// it in nanoseconds; /proc/PID/stat has it in hundredths of a second only. The time of a thread that has ended is missing:
// none of the programs ends any while it is measured.
func cpuTime(programs ...*program.Program) (time.Duration, error) {
	var total time.Duration
	for _, p := range programs {
		if err := p.Alive(); err != nil {
			return 0, err
		}
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.PID()))
		if err != nil {
			return 0, err
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				return 0, fmt.Errorf("read CPU time: %w", err)
			}
			ns, _, _ := bytes.Cut(b, []byte{' '})
			n, err := strconv.ParseInt(string(ns), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read CPU time from %s: %w", f, err)
			}
			total += time.Duration(n)
		}
	}
	return total, nil
}

const (
	resident = "VmRSS:"   // memory in RAM: the process's own, and what it shares with others, such as the code of libraries
	private  = "RssAnon:" // the process's own alone
	peak     = "VmHWM:"   // the most that was resident so far
)

// memory adds up a figure of /proc/PID/status over processes, in MB (1e6 bytes).
func memory(key string, programs ...*program.Program) (mb float64, err error) {
	for _, p := range programs {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
		if err != nil {
			return 0, fmt.Errorf("read memory: %w", err)
		}
		var kB float64
		_, after, _ := bytes.Cut(b, []byte(key))
		if _, err := fmt.Sscan(string(after), &kB); err != nil {
			return 0, fmt.Errorf("read memory of process %d: no figure %s: %w", p.PID(), key, err)
		}
		mb += kB * 1024 / 1e6
	}
	return mb, nil
}

// loadAverage is how many processes wanted a CPU in the last minute, "unknown" where the system does not state it.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(b), " ")
	return load
}

// sleepUntil waits, and returns false when ctx has ended.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// percentile is the value at or below which the share p (0 to 1) of all values lies, by nearest rank. sorted must not be
// empty.
func percentile[T any](sorted []T, p float64) T {
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

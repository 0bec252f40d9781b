package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"gpsbridge/bridge/realtest/program"
)

const (
	// startTimeout bounds the start of a program: a second for Django, tens of milliseconds for the others, on a quiet
	// machine.
	startTimeout = 15 * time.Second
	// stopTimeout bounds an orderly stop. gpsbridge takes up to five seconds, and none without a tracking server.
	stopTimeout = 6 * time.Second
	// pollEvery is how often something is asked that does not announce itself.
	pollEvery = 10 * time.Millisecond
)

// start starts a program, which does not hear the Ctrl-C at the terminal: it is this one's to stop. Where compare is
// killed itself, the kernel ends the program; gpsd escapes that when it gives up its rights.
func start(name string, cmd *exec.Cmd) (*program.Program, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return program.Start(name, cmd)
}

// freePort returns an address of loopback on which nobody listens.
func freePort() (string, error) {
	port, err := program.FreePort()
	return program.Loopback(port), err
}

// cleanEnvironment is this process's without the settings of gpsbridge: no configuration of the person who compares.
func cleanEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GPSBRIDGE_") })
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

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gpsbridge/bridge/realtest/program"
)

// contender is one of the programs that are compared: it reads a line of its own, and a client listens to it.
type contender struct {
	program *program.Program
	line    *line
	client  *client
}

// device is the device ID that gpsbridge has here.
const device = "compare"

// starter starts a contender on a line whose speed is baud.
type starter struct {
	name  string
	start func(ctx context.Context, l *line, baud int) (*program.Program, *client, error)
}

// startAll starts every contender on a line of its own. The caller stops those that are returned, with an error too.
func startAll(ctx context.Context, starters []starter, baud int) ([]*contender, error) {
	var all []*contender
	for _, s := range starters {
		l, err := openLine()
		if err != nil {
			return all, err
		}
		c := &contender{line: l}
		all = append(all, c)
		if c.program, c.client, err = s.start(ctx, l, baud); err != nil {
			return all, err
		}
	}
	return all, nil
}

func stopAll(all []*contender) {
	for _, c := range all {
		if c.client != nil {
			c.client.close()
		}
		if c.program != nil {
			_ = c.program.Stop(stopTimeout) // killed is as good
		}
		_ = c.line.Close() // the program is gone, nobody reads any more
	}
}

// used reads what the program has used so far.
func (c *contender) used() (time.Duration, error) {
	if err := c.program.Alive(); err != nil {
		return 0, err
	}
	return cpuTime(c.program.PID())
}

// memory is the program's resident memory in megabytes.
func (c *contender) memory() (float64, error) {
	n, err := residentMemory(c.program.PID())
	return float64(n) / 1e6, err
}

// arrivals takes what the client has received.
func (c *contender) arrivals() ([]arrival, error) {
	all, err := c.client.take()
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w: %s", c.program.Name(), err, c.program.LastLine())
	}
	return all, nil
}

// installGPSD is what to do where gpsd is missing.
const installGPSD = "apt-get install -y --no-install-recommends gpsd"

// findGPSD returns the path and the version of gpsd. Distributions install it where users' PATH does not lead.
func findGPSD(ctx context.Context) (path, version string, err error) {
	path, err = exec.LookPath("gpsd")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/gpsd")
	}
	if err != nil {
		return "", "", fmt.Errorf("gpsd is missing: %s", installGPSD)
	}
	out, err := exec.CommandContext(ctx, path, "-V").Output()
	if err != nil {
		return "", "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	version = regexp.MustCompile(`[0-9][0-9a-z.~]*`).FindString(string(out))
	return path, version, nil
}

// gpsd is Debian's program, as it runs for one receiver that it must not reconfigure: -N in the foreground, -n reading
// without waiting for a client, -b never writing to the receiver.
func gpsd(path string) starter {
	start := func(ctx context.Context, l *line, _ int) (*program.Program, *client, error) {
		addr, err := freePort()
		if err != nil {
			return nil, nil, err
		}
		port := addr[strings.LastIndexByte(addr, ':')+1:]
		// A line whose speed a pseudo-terminal would not change anyway.
		p, err := start("gpsd", exec.Command(path, "-N", "-n", "-b", "-S", port, l.Path))
		if err != nil {
			return nil, nil, err
		}
		c, err := connect(ctx, p, func() (*client, error) { return watchGPSD(ctx, addr) })
		return p, c, err
	}
	return starter{name: "gpsd", start: start}
}

// gpsbridge is the daemon without a tracking server, watched by a viewer of its own relay. Builds are told apart by the
// names of their files.
func gpsbridge(path string) starter {
	name := filepath.Base(path)
	start := func(ctx context.Context, l *line, baud int) (*program.Program, *client, error) {
		addr, err := freePort()
		if err != nil {
			return nil, nil, err
		}
		cmd := exec.Command(path, "run", "--device", l.Path+"?baud="+strconv.Itoa(baud), "--device-id", device, "--listen", addr)
		cmd.Env = cleanEnvironment()
		p, err := start(name, cmd)
		if err != nil {
			return nil, nil, err
		}
		c, err := connect(ctx, p, func() (*client, error) { return watchGroup(ctx, addr, device) })
		return p, c, err
	}
	return starter{name: name, start: start}
}

// connect makes a client of a program that has just been started. The program is returned to the caller to stop in any
// case.
func connect(ctx context.Context, p *program.Program, dial func() (*client, error)) (*client, error) {
	var c *client
	err := p.Await(ctx, startTimeout, func() (err error) {
		c, err = dial()
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s", p.Name()), err)
	}
	return c, nil
}

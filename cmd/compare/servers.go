package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"gpsbridge/bridge/realtest/django"
	"gpsbridge/bridge/realtest/program"
)

// server is one of those that are compared as a tracking server.
type server struct {
	name    string // for --servers
	title   string // in the table
	missing func() error
	// start starts it, with a folder of its own and on so many processors (0 for all).
	start func(ctx context.Context, folder string, cores int) (*serving, error)
}

// serving is a server that runs.
type serving struct {
	programs []*program.Program // what serves: their processor time and memory are counted
	addr     string
	raw      bool // no handshake: see order.Raw
	publish  func(ctx context.Context) (sink, error)
	end      func()
}

const apt = "apt-get install -y --no-install-recommends "

// servers are all that can be compared. The first one is what the others are compared with.
func servers(gpsbridge string) []server {
	present := func() error { return nil }
	return []server{
		{"floor", "floor: write(2)", present, startFloor},
		{"relay", "gpsbridge relay", present, func(ctx context.Context, folder string, cores int) (*serving, error) {
			return startRelay(ctx, gpsbridge, folder, cores)
		}},
		{"daphne", "Daphne, in memory", lacksDaphne, func(ctx context.Context, folder string, _ int) (*serving, error) {
			return startDaphne(ctx, folder, nil)
		}},
		{"daphne-redis", "Daphne, Redis", lacksRedis, startDaphneRedis},
	}
}

func lacksDaphne() error {
	if django.Lacks("django", "channels", "daphne") != nil {
		return fmt.Errorf("not installed: %spython3-django python3-django-channels daphne", apt)
	}
	return nil
}

func lacksRedis() error {
	if err := lacksDaphne(); err != nil {
		return err
	}
	if _, err := exec.LookPath("redis-server"); err != nil || django.Lacks("channels_redis") != nil {
		return fmt.Errorf("not installed: %spython3-channels-redis redis-server", apt)
	}
	return nil
}

// startFloor starts the floor, which hears its publisher on stdin.
func startFloor(ctx context.Context, _ string, _ int) (*serving, error) {
	r, err := startRole("floor")
	if err != nil {
		return nil, err
	}
	var at floorAnswer
	if err := r.hear(ctx, &at); err != nil {
		r.end()
		return nil, err
	}
	return &serving{
		programs: []*program.Program{r.Program}, addr: at.Addr, raw: true, end: r.end,
		publish: func(context.Context) (sink, error) { return floorSink{r.in}, nil },
	}, nil
}

// relayConns is above the viewers that the relay is measured with: its default is for a vehicle.
const relayConns = 60_000

// startRelay starts the built program. What comes over loopback it does not throttle.
func startRelay(ctx context.Context, path, folder string, cores int) (*serving, error) {
	tokenFile := filepath.Join(folder, "token")
	s, err := startServer(ctx, "gpsbridge relay", func(port int) (*exec.Cmd, error) {
		cmd := exec.Command(path, "relay", "--listen", program.Loopback(port), "--publish-token-file", tokenFile,
			"--max-conns", strconv.Itoa(relayConns))
		cmd.Env = cleanEnvironment()
		if cores > 0 {
			cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(cores))
		}
		return cmd, nil
	})
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		s.end()
		return nil, fmt.Errorf("read the relay's token: %w", err)
	}
	s.publish = func(ctx context.Context) (sink, error) {
		return dialSink(ctx, s.addr, strings.TrimSpace(string(token)))
	}
	return s, nil
}

// startDaphne starts the Django application of the tests, with further settings in its environment.
func startDaphne(ctx context.Context, folder string, settings []string) (*serving, error) {
	if err := django.Write(folder); err != nil {
		return nil, err
	}
	s, err := startServer(ctx, "Daphne", func(port int) (*exec.Cmd, error) {
		cmd, err := django.Daphne(folder, port)
		if err == nil {
			cmd.Env = append(cmd.Env, settings...)
		}
		return cmd, err
	})
	if err != nil {
		return nil, err
	}
	s.publish = func(ctx context.Context) (sink, error) { return dialSink(ctx, s.addr, "") }
	return s, nil
}

// startDaphneRedis starts Daphne with a Redis of its own. Both serve, so both are counted.
func startDaphneRedis(ctx context.Context, folder string, _ int) (*serving, error) {
	redis, err := startServer(ctx, "redis-server", func(port int) (*exec.Cmd, error) {
		return exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", folder,
			"--save", "", "--appendonly", "no"), nil
	})
	if err != nil {
		return nil, err
	}
	s, err := startDaphne(ctx, folder, []string{"TRACKING_REDIS_URL=redis://" + redis.addr + "/0"})
	if err != nil {
		redis.end()
		return nil, err
	}
	end := s.end
	s.end = func() { end(); redis.end() }
	s.programs = append(s.programs, redis.programs...)
	return s, nil
}

// startServer starts a program that listens on a free port, and returns when it does.
func startServer(ctx context.Context, name string, command func(port int) (*exec.Cmd, error)) (*serving, error) {
	port, err := program.FreePort()
	if err != nil {
		return nil, err
	}
	cmd, err := command(port)
	if err != nil {
		return nil, err
	}
	p, err := start(name, cmd)
	if err != nil {
		return nil, err
	}
	s := &serving{programs: []*program.Program{p}, addr: program.Loopback(port)}
	s.end = func() { _ = p.Stop(stopTimeout) } // killed is as good
	if err := p.Await(ctx, startTimeout, program.Listens(port)); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// used is the processor time of all that serves.
func (s *serving) used() (cpu float64, err error) {
	for _, p := range s.programs {
		if err := p.Alive(); err != nil {
			return 0, err
		}
		one, err := cpuTime(p.PID())
		if err != nil {
			return 0, err
		}
		cpu += one.Seconds()
	}
	return cpu, nil
}

// memory is the resident memory of all that serves, in megabytes.
func (s *serving) memory() (mb float64, err error) {
	for _, p := range s.programs {
		n, err := residentMemory(p.PID())
		if err != nil {
			return 0, err
		}
		mb += float64(n) / 1e6
	}
	return mb, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/realtest/django"
	"gpsbridge/bridge/realtest/program"
)

// server is one of those that are compared as a tracking server.
type server struct {
	name    string // for --servers
	title   string // in the table
	missing func() error
	// start starts it, with a directory of its own and on so many CPUs (0 for all).
	start func(ctx context.Context, dir string, cores int) (*serving, error)
}

// serving is a server that runs.
type serving struct {
	programs []*program.Program // what serves: their CPU time and memory are counted
	addr     string
	others   []string // further addresses, over which viewers are spread
	raw      bool     // it is the floor, which knows no handshake
	// publisher joins the group as a tracker and returns how to send a message, and how to leave.
	publisher func(ctx context.Context) (send func(msg []byte) error, leave func(), err error)
	end       func()
}

const apt = "apt-get install -y --no-install-recommends "

// servers are all that can be compared. The first one is what the others are compared with.
func servers(gpsbridge string) []server {
	present := func() error { return nil }
	return []server{
		{"floor", "floor: write(2)", present, startFloor},
		{"relay", "gpsbridge relay", present, func(ctx context.Context, dir string, cores int) (*serving, error) {
			return startRelay(ctx, gpsbridge, dir, cores)
		}},
		{"daphne", "Daphne, in memory", lacksDaphne, func(ctx context.Context, dir string, _ int) (*serving, error) {
			return startDaphne(ctx, dir)
		}},
		{"daphne-redis", "Daphne, Redis", lacksRedis, func(ctx context.Context, dir string, _ int) (*serving, error) {
			return startOnRedis(ctx, dir, 1, func(redis string) (*serving, error) { return startDaphne(ctx, dir, "TRACKING_REDIS_URL="+redis) })
		}},
		{"relays", "3 relays, Redis", lacksRedis, func(ctx context.Context, dir string, cores int) (*serving, error) {
			return startOnRedis(ctx, dir, 3, func(redis string) (*serving, error) {
				return startRelay(ctx, gpsbridge, dir, cores, "--layer", redis, "--layer-kind", "pubsub", "--layer-durable", "none")
			})
		}},
		{"daphnes", "3 Daphnes, Redis", lacksRedis, func(ctx context.Context, dir string, _ int) (*serving, error) {
			return startOnRedis(ctx, dir, 3, func(redis string) (*serving, error) {
				return startDaphne(ctx, dir, "TRACKING_REDIS_URL="+redis, "TRACKING_LAYER=pubsub")
			})
		}},
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

func startFloor(ctx context.Context, _ string, _ int) (*serving, error) {
	r, err := startRole("floor")
	if err != nil {
		return nil, err
	}
	s := &serving{programs: []*program.Program{r.Program}, raw: true, end: r.end}
	if err := r.call(ctx, "Addr", struct{}{}, &s.addr); err != nil {
		r.end()
		return nil, err
	}
	s.publisher = func(context.Context) (func([]byte) error, func(), error) {
		return func(msg []byte) error { return r.call(ctx, "Send", msg, &struct{}{}) }, func() {}, nil
	}
	return s, nil
}

// relayConns is above the viewers that the relay is measured with: its default is for a vehicle.
const relayConns = 60_000

// startRelay starts the built program. What comes over loopback it does not throttle.
func startRelay(ctx context.Context, path, dir string, cores int, args ...string) (*serving, error) {
	tokenFile := filepath.Join(dir, "token")
	s, err := startServer(ctx, "gpsbridge relay", func(port int) (*exec.Cmd, error) {
		cmd := exec.Command(path, append([]string{"relay", "--listen", program.Loopback(port), "--publish-token-file", tokenFile,
			"--max-conns", strconv.Itoa(relayConns), "--admit", "0"}, args...)...)
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
	s.publisher = publishTo(s.addr, http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(token))}})
	return s, nil
}

// startDaphne starts the project in bridge/django with its plain consumer, with further settings in its environment.
func startDaphne(ctx context.Context, dir string, settings ...string) (*serving, error) {
	s, err := startServer(ctx, "Daphne", func(port int) (*exec.Cmd, error) {
		cmd, err := django.Daphne(dir, port)
		if err == nil {
			cmd.Env = append(append(cmd.Env, "TRACKING_CONSUMER=tracking.consumers.TrackingConsumer"), settings...)
		}
		return cmd, err
	})
	if err == nil {
		s.publisher = publishTo(s.addr, nil)
	}
	return s, err
}

// startRedis starts a Redis that writes nothing to disk.
func startRedis(ctx context.Context, dir string) (*serving, error) {
	return startServer(ctx, "redis-server", func(port int) (*exec.Cmd, error) {
		return exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
			"--save", "", "--appendonly", "no"), nil
	})
}

// startOnRedis starts a Redis, and so many servers that share its groups. All serve, so all are counted. The publisher is at the first.
func startOnRedis(ctx context.Context, dir string, servers int, start func(redis string) (*serving, error)) (*serving, error) {
	all, err := startRedis(ctx, dir)
	if err != nil {
		return nil, err
	}
	url := "redis://" + all.addr + "/0"
	for range servers {
		if all, err = beside(all, func() (*serving, error) { return start(url) }); err != nil {
			return nil, err
		}
	}
	all.addr, all.others = all.others[0], all.others[1:] // without that of Redis
	return all, nil
}

// beside starts one more server, which ends with those before it, and has them counted too.
func beside(before *serving, start func() (*serving, error)) (*serving, error) {
	s, err := start()
	if err != nil {
		before.end()
		return nil, err
	}
	all := *before
	all.programs, all.others = append(all.programs, s.programs...), append(all.others, s.addr)
	all.end = func() { s.end(); before.end() }
	if all.publisher == nil {
		all.publisher = s.publisher
	}
	return &all, nil
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
	s := &serving{programs: []*program.Program{p}, addr: program.Loopback(port), end: func() { stop(p) }}
	if err := p.Await(ctx, startTimeout, program.Listens(port)); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// publishTo publishes as trackers do, over a WebSocket. The echoes are read, or the server would stop reading.
func publishTo(addr string, header http.Header) func(context.Context) (func([]byte) error, func(), error) {
	return func(ctx context.Context) (func([]byte) error, func(), error) {
		conn, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+addr+groupPath, header)
		if err != nil {
			return nil, nil, fmt.Errorf("join %s as publisher: %w", addr, err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				_, echo, err := conn.NextReader()
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, echo) // the next one reports what is wrong
			}
		}()
		send := func(msg []byte) error {
			return errors.Join(conn.SetWriteDeadline(time.Now().Add(stalled)), conn.WriteMessage(websocket.TextMessage, msg))
		}
		return send, func() { _ = conn.Close(); <-done }, nil
	}
}

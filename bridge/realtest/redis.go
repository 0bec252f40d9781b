package realtest

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// RedisStore is a running redis-server on a port of its own that writes nothing to disk.
type RedisStore struct {
	t       testing.TB
	dir     string
	port    int
	process *Process
}

// StartRedis starts a redis-server and returns when it answers. It needs [RedisServer]; the server is killed when the
// test ends.
func StartRedis(t testing.TB) *RedisStore {
	t.Helper()
	Need(t, RedisServer)
	r := &RedisStore{t: t, dir: t.TempDir(), port: FreePort(t)}
	r.start()
	return r
}

func (r *RedisStore) start() {
	r.t.Helper()
	r.process = Start(r.t, "redis-server", exec.Command("redis-server",
		"--bind", "127.0.0.1", "--port", strconv.Itoa(r.port), "--dir", r.dir, "--save", "", "--appendonly", "no"))
	if err := r.process.Await(r.t.Context(), startTimeout, func() error { return r.command("PING", "+PONG") }); err != nil {
		r.t.Fatal(err)
	}
}

// URL returns redis://127.0.0.1:PORT/0.
func (r *RedisStore) URL() string {
	return "redis://" + hostPort(r.port) + "/0"
}

// Kill ends Redis with SIGKILL; what it held is gone.
func (r *RedisStore) Kill() {
	r.process.Kill()
}

// Hang stops Redis without closing anything (SIGSTOP). Wake ends that.
func (r *RedisStore) Hang() {
	r.process.Signal(syscall.SIGSTOP)
}

// Wake lets Redis go on that Hang has stopped.
func (r *RedisStore) Wake() {
	r.process.Signal(syscall.SIGCONT)
}

// Restart kills Redis if it still runs, and starts an empty one on the same port.
func (r *RedisStore) Restart() {
	r.t.Helper()
	r.process.Kill()
	r.start()
}

// FlushAll forgets every key, connections staying as they are: to its clients that is what a failover to an empty Redis
// looks like.
func (r *RedisStore) FlushAll() {
	r.t.Helper()
	if err := r.command("FLUSHALL", "+OK"); err != nil {
		r.t.Fatal(err)
	}
}

// command sends one command in Redis' inline form and compares the one line of answer.
func (r *RedisStore) command(name, want string) error {
	c, err := net.DialTimeout("tcp", hostPort(r.port), time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "%s\r\n", name); err != nil {
		return err
	}
	got, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return fmt.Errorf("redis %s: %w", name, err)
	}
	if got = strings.TrimSpace(got); got != want {
		return fmt.Errorf("redis %s: got %q, want %q", name, got, want)
	}
	return nil
}

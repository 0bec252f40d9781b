package realtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gpsbridge/bridge/realtest/authority"
)

// RedisOptions choose how a Redis runs. The zero value is one on a port of 127.0.0.1 that writes nothing to disk.
type RedisOptions struct {
	Config   []string // further lines of its configuration file, such as "appendonly yes"
	Password string   // that clients have to give; "" for none
	TLS      bool     // its port expects TLS, with a certificate for 127.0.0.1 that Authority's file verifies
	Socket   bool     // it listens on a Unix socket in place of a port
	Host     *Host    // where it runs; nil for this machine
}

// RedisStore is a redis-server, or a Redis Sentinel, with a directory and an address of its own.
type RedisStore struct {
	t       testing.TB
	options RedisOptions
	dir     string // holds redis.conf, which Redis changes itself when Sentinel gives it another master
	ip      string
	port    int
	args    []string       // after the configuration file
	roots   *x509.CertPool // that verify it, with TLS
	process *Process
}

// StartRedis starts a redis-server with the zero [RedisOptions] and returns when it answers.
func StartRedis(t testing.TB) *RedisStore {
	t.Helper()
	return StartRedisWith(t, RedisOptions{})
}

// StartRedisWith starts a redis-server and returns when it answers. It needs [RedisServer]; the server is killed when the test ends.
func StartRedisWith(t testing.TB, o RedisOptions) *RedisStore {
	t.Helper()
	Need(t, RedisServer)
	r := newRedis(t, o, 6379)
	r.start()
	return r
}

// newRedis prepares one that is not started yet. At a host of a network, which is its alone, it has the usual port.
func newRedis(t testing.TB, o RedisOptions, usual int) *RedisStore {
	t.Helper()
	r := &RedisStore{t: t, options: o, dir: t.TempDir(), ip: "127.0.0.1"}
	if o.Host != nil {
		r.ip, r.port = o.Host.IP(), usual
	} else {
		r.port = FreePort(t)
	}
	lines := []string{"dir " + r.dir, "bind " + r.ip, "protected-mode no", `save ""`, "appendonly no", "repl-diskless-sync-delay 0", "loglevel warning"}
	port := "port " + strconv.Itoa(r.port)
	if o.Password != "" {
		lines = append(lines, "requirepass "+o.Password, "masterauth "+o.Password)
	}
	if o.TLS {
		a := newAuthority(t, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
		der, key := a.leaf("redis", x509.ExtKeyUsageServerAuth)
		err := errors.Join(authority.WriteCert(r.file("authority.pem"), a.Cert().Raw),
			authority.WriteCert(r.file("redis.pem"), der), authority.WriteKey(r.file("redis.key"), key))
		if err != nil {
			t.Fatal(err)
		}
		r.roots = x509.NewCertPool()
		r.roots.AddCert(a.Cert())
		port = "port 0\ntls-" + port
		lines = append(lines, "tls-auth-clients no", "tls-ca-cert-file "+r.Authority(), "tls-cert-file "+r.file("redis.pem"), "tls-key-file "+r.file("redis.key"))
	}
	if o.Socket {
		port = "port 0\nunixsocket " + r.socket()
	}
	r.configure(append(append(lines, port), o.Config...))
	return r
}

// configure writes its configuration file.
func (r *RedisStore) configure(lines []string) {
	r.t.Helper()
	if err := os.WriteFile(r.file("redis.conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *RedisStore) start() {
	r.t.Helper()
	cmd := exec.Command("redis-server", append([]string{r.file("redis.conf")}, r.args...)...)
	if r.options.Host != nil {
		cmd = r.options.Host.Command(cmd)
	}
	r.process = Start(r.t, "redis-server", cmd)
	err := r.process.Await(r.t.Context(), startTimeout, func() error {
		_, err := r.Command("PING")
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *RedisStore) file(name string) string { return filepath.Join(r.dir, name) }
func (r *RedisStore) socket() string          { return r.file("redis.sock") }

// Authority names the file with the authority, as PEM, that verifies a Redis with TLS.
func (r *RedisStore) Authority() string { return r.file("authority.pem") }

// Addr returns host:port.
func (r *RedisStore) Addr() string { return net.JoinHostPort(r.ip, strconv.Itoa(r.port)) }

// URL returns redis://127.0.0.1:PORT/0, with rediss for TLS, or redis+unix:///PATH, each with the password.
func (r *RedisStore) URL() string {
	u := url.URL{Scheme: "redis", Host: r.Addr(), Path: "/0"}
	switch {
	case r.options.Socket:
		u.Scheme, u.Host, u.Path = "redis+unix", "", r.socket()
	case r.options.TLS:
		u.Scheme = "rediss"
	}
	if r.options.Password != "" {
		u.User = url.UserPassword("", r.options.Password)
	}
	return u.String()
}

// Kill ends Redis with SIGKILL; what it held is gone, but what its options had it write to disk.
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

// Restart kills Redis if it still runs, and starts it on the same port: empty, where its options have it write nothing to disk.
func (r *RedisStore) Restart() {
	r.t.Helper()
	r.process.Kill()
	r.start()
}

// FlushAll forgets every key, connections staying as they are: to its clients that is what a failover to an empty Redis
// looks like.
func (r *RedisStore) FlushAll() {
	r.t.Helper()
	r.Do("FLUSHALL")
}

// Do is [RedisStore.Command] that waits for the answer for as long as a busy machine may need, and fails the test for an error.
func (r *RedisStore) Do(command ...string) string {
	r.t.Helper()
	answer, err := r.within(startTimeout, command)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer
}

// Command sends one command from where Redis runs, and returns the answer: arrays as their elements, one a line; nil as "". An answer that
// is an error is an error. It does not wait long for one: conditions are asked for again and again.
func (r *RedisStore) Command(command ...string) (string, error) {
	return r.within(5*time.Second, command)
}

func (r *RedisStore) within(timeout time.Duration, command []string) (string, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), timeout)
	defer cancel()
	answer, err := r.ask(ctx, command)
	if err != nil {
		return "", fmt.Errorf("redis at %s: %s: %w", r.Addr(), command[0], err)
	}
	return answer, nil
}

func (r *RedisStore) ask(ctx context.Context, command []string) (string, error) {
	c, err := r.dial(ctx)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if at, limited := ctx.Deadline(); limited {
		if err := c.SetDeadline(at); err != nil {
			return "", err
		}
	}
	answers := bufio.NewReader(c)
	commands := [][]string{command}
	if r.options.Password != "" {
		commands = [][]string{{"AUTH", r.options.Password}, command}
	}
	var answer string
	for _, words := range commands {
		if _, err := io.WriteString(c, request(words)); err != nil {
			return "", err
		}
		if answer, err = readAnswer(answers); err != nil {
			return "", err
		}
	}
	return answer, nil
}

func (r *RedisStore) dial(ctx context.Context) (c net.Conn, err error) {
	switch {
	case r.options.Socket:
		return new(net.Dialer).DialContext(ctx, "unix", r.socket())
	case r.options.Host != nil:
		c, err = r.options.Host.Dial(ctx, "tcp", r.Addr())
	default:
		c, err = new(net.Dialer).DialContext(ctx, "tcp", r.Addr())
	}
	if err == nil && r.options.TLS {
		c = tls.Client(c, &tls.Config{RootCAs: r.roots, ServerName: r.ip})
	}
	return c, err
}

// request is a command as Redis expects it (RESP2).
func request(words []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	return b.String()
}

// readAnswer reads one answer of Redis (RESP2), see [RedisStore.Command].
func readAnswer(from *bufio.Reader) (string, error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, line := line[0], strings.TrimSpace(line[1:])
	switch kind {
	case '-':
		return "", errors.New(line)
	case '+', ':':
		return line, nil
	}
	n, err := strconv.Atoi(line)
	if err != nil || n < 0 {
		return "", err
	}
	if kind == '$' {
		text := make([]byte, n+len("\r\n"))
		_, err := io.ReadFull(from, text)
		return string(text[:n]), err
	}
	elements := make([]string, n)
	for i := range elements {
		if elements[i], err = readAnswer(from); err != nil {
			return "", err
		}
	}
	return strings.Join(elements, "\n"), nil
}

package realtest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// proxied starts a listener, and returns a proxy to it and the connections that arrive there.
func proxied(t *testing.T) (*Proxy, <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 10)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return StartProxy(t, l.Addr().String()), accepted
}

// both opens a connection through a proxy and returns its two ends.
func both(t *testing.T, p *Proxy, accepted <-chan net.Conn) (client, server net.Conn) {
	t.Helper()
	client, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() { client.Close(); server.Close() })
	send(t, client, "hello\n")
	hear(t, server, "hello\n")
	return client, server
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(answer))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v, want %q", got, err, want)
	}
}

// silent checks that nothing comes, not even an end. What must not happen can only be waited for a while.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := c.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v, want nothing for a while", n, err)
	}
}

func TestProxyPassesBothWaysAndTheEnd(t *testing.T) {
	p, accepted := proxied(t)
	client, server := both(t, p, accepted)
	long := make([]byte, 100_000)
	go client.Write(long)
	hear(t, server, string(long))
	send(t, server, "answer\n")
	hear(t, client, "answer\n")
	client.Close()
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("server read %v, want the end", err)
	}
}

func TestProxyStalls(t *testing.T) {
	p, accepted := proxied(t)
	client, server := both(t, p, accepted)
	p.Stall()
	send(t, client, "up\n")
	send(t, server, "down\n")
	silent(t, server)
	silent(t, client)
	p.Restore()
	hear(t, server, "up\n")
	hear(t, client, "down\n")
}

func TestProxyBlackHole(t *testing.T) {
	p, accepted := proxied(t)
	client, server := both(t, p, accepted)
	idle, idleServer := both(t, p, accepted)
	p.BlackHole()
	send(t, client, "up\n")
	silent(t, server)
	late, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	send(t, late, "hello\n")
	silent(t, late)
	p.Restore()
	send(t, client, "more\n")
	send(t, server, "down\n")
	silent(t, server)
	silent(t, client)
	client.Close()
	silent(t, server)
	send(t, idle, "up\n") // of which nothing was swallowed
	hear(t, idleServer, "up\n")
	both(t, p, accepted)
}

func TestProxyIsSlow(t *testing.T) {
	p, accepted := proxied(t)
	client, server := both(t, p, accepted)
	const each = 50 * time.Millisecond
	p.Slow(each)
	start := time.Now()
	for range 3 {
		send(t, client, "ping\n")
		hear(t, server, "ping\n")
		send(t, server, "pong\n")
		hear(t, client, "pong\n")
	}
	if took := time.Since(start); took < 6*each {
		t.Errorf("3 round trips took %v, want %v or more", took, 6*each)
	}
}

func TestProxyResets(t *testing.T) {
	p, accepted := proxied(t)
	client, server := both(t, p, accepted)
	p.Reset()
	for name, c := range map[string]net.Conn{"client": client, "server": server} {
		c.SetReadDeadline(time.Now().Add(answer))
		if _, err := bufio.NewReader(c).ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s read %v, want a reset", name, err)
		}
	}
	both(t, p, accepted)
}

func TestProxyWithoutServer(t *testing.T) {
	p := StartProxy(t, hostPort(FreePort(t)))
	c, err := net.Dial("tcp", p.Addr())
	if err == nil {
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(answer))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) { // by then, or while still connecting
		t.Errorf("connected and read %v, want a reset", err)
	}
}

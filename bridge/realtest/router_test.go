package realtest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// echoes answers each line with the same line.
func echoes(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.Copy(c, c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l.Addr().String()
}

// A packet that the router drops is dropped in silence, and TCP delivers it when the router passes packets again.
func TestRouterDropsInSilence(t *testing.T) {
	r := StartRouter(t, echoes(t))
	var c net.Conn
	err := r.client.Do(func() (err error) {
		c, err = (&net.Dialer{Timeout: startTimeout}).Dial("tcp", r.Addr())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lines := bufio.NewReader(c)
	ask := func(line string, patience time.Duration) error {
		if _, err := io.WriteString(c, line); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		got, err := lines.ReadString('\n')
		if err == nil && got != line {
			t.Errorf("got %q back for %q", got, line)
		}
		return err
	}
	if err := ask("first\n", startTimeout); err != nil {
		t.Fatal(err)
	}
	for _, way := range []Way{Both, ToClient} {
		r.Drop(way)
		if err := ask(string(way)+"\n", 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v, want silence", way, err)
		}
		r.Restore()
		c.SetReadDeadline(time.Now().Add(startTimeout))
		if got, err := lines.ReadString('\n'); err != nil || got != string(way)+"\n" {
			t.Errorf("%s: got %q, %v when packets pass again", way, got, err)
		}
	}
}

// A program at the client's host sees that host's network and no other.
func TestRouterRunsAProgramAtTheClient(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	r := StartRouter(t, strings.TrimPrefix(server.URL, "http://"))
	out, err := r.AtClient(exec.CommandContext(context.Background(), "ip", "-brief", "addr")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), clientHost+"/24") || strings.Contains(string(out), serverHost) {
		t.Errorf("%v: %s", err, out)
	}
}

package share

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// soon bounds what takes a moment on a quiet machine.
const soon = time.Minute

// serving is a Server that runs until the test ends.
type serving struct {
	*Server
	t   *testing.T
	log *bytes.Buffer // to be read when stopped
	end func()
}

func serve(t *testing.T, c Config) *serving {
	t.Helper()
	s := &serving{t: t, log: &bytes.Buffer{}}
	c.Listen, c.Log = "127.0.0.1:0", slog.New(slog.NewTextHandler(s.log, nil))
	server, err := Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = server
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	s.end = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		ended <- nil
	}
	t.Cleanup(s.end)
	return s
}

// until waits for a condition of the status.
func (s *serving) until(what string, reached func(Status) bool) {
	s.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(soon); !reached(s.Status()); <-tick.C {
		if time.Now().After(deadline) {
			s.t.Fatalf("no %s within %v: %+v", what, soon, s.Status())
		}
	}
}

// connect joins, and returns when the server has counted the client.
func (s *serving) connect() *net.TCPConn {
	s.t.Helper()
	n := s.Status().Clients
	c := s.dial()
	s.until("client", func(st Status) bool { return st.Clients == n+1 })
	return c
}

func (s *serving) dial() *net.TCPConn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(soon)); err != nil {
		s.t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// expect reads exactly want.
func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("read %q, %v; want %q", got[:n], err, want)
	}
}

// TestJoin: a client gets the bytes as they come, from the first line that begins after it joined.
func TestJoin(t *testing.T) {
	s := serve(t, Config{})
	first := s.connect()
	s.Data([]byte("$GPGGA,1\r"))
	second := s.connect()
	s.Data([]byte("\n$GPR"))
	expect(t, first, "$GPGGA,1\r\n$GPR")
	expect(t, second, "$GPR") // at once, not with the line's end
	third := s.connect()
	s.Data([]byte("MC"))
	s.Opened() // the line that is open has no end
	s.Data([]byte("\xb5\x62\x00\n"))
	expect(t, first, "MC\r\n\xb5\x62\x00\n")
	expect(t, second, "MC\r\n\xb5\x62\x00\n")
	expect(t, third, "\xb5\x62\x00\n")
	s.Opened() // nothing is open
	s.end()
	for _, c := range []net.Conn{first, second, third} {
		if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil && !isReset(err) {
			t.Errorf("at the end: %q, %v", rest, err)
		}
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset") }

// TestClientsAreNotHeard: what a client sends is thrown away, and one that ends its side goes on listening.
func TestClientsAreNotHeard(t *testing.T) {
	s := serve(t, Config{})
	c := s.connect()
	if _, err := c.Write(bytes.Repeat([]byte("$PUBX,41*00\r\n"), 10_000)); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	s.Data([]byte("$GPGGA,1\r\n"))
	expect(t, c, "$GPGGA,1\r\n")
}

func TestClientGoes(t *testing.T) {
	s := serve(t, Config{})
	c := s.connect()
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	s.until("end of the client", func(st Status) bool { return st.Clients == 0 })
}

// TestLimit: there are so many clients and no more, but one that may be gone makes room.
func TestLimit(t *testing.T) {
	s := serve(t, Config{})
	for range mostClients - 2 {
		s.connect()
	}
	first, second := s.connect(), s.connect()
	for range 3 {
		if b, err := io.ReadAll(s.dial()); len(b) > 0 || err != nil && !isReset(err) {
			t.Errorf("one client more got %q, %v", b, err)
		}
	}
	if err := second.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	s.until("end of what the second client sends", func(Status) bool { return s.anyHalfClosed() })
	third := s.dial()
	if b, err := io.ReadAll(second); len(b) > 0 || err != nil && !isReset(err) {
		t.Errorf("the second client got %q, %v", b, err)
	}
	s.Data([]byte("$GPGGA,1\r\n"))
	expect(t, first, "$GPGGA,1\r\n")
	expect(t, third, "$GPGGA,1\r\n")
	st := s.Status()
	s.end()
	if n := strings.Count(s.log.String(), "no more nmea clients"); n != 1 || st.Refused < 3 || st.Clients != mostClients {
		t.Errorf("%+v; log: %s", st, s.log)
	}
}

func (s *serving) anyHalfClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if c.halfClosed() {
			return true
		}
	}
	return false
}

// TestClientThatReadsNothing is closed, and neither Data nor another client waits for it.
func TestClientThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &bytes.Buffer{}
		s := &Server{config: Config{Log: slog.New(slog.NewTextHandler(log, nil))}, clients: map[*client]struct{}{}}
		var running sync.WaitGroup
		join := func() net.Conn {
			mine, other := net.Pipe()
			s.join(mine, &running)
			return other
		}
		slow, good := join(), join()
		defer slow.Close()
		lines := 0
		running.Go(func() {
			for in := bufio.NewScanner(good); in.Scan() && in.Text() != "$END"; {
				lines++
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			for c := range s.clients {
				c.close()
			}
		})
		line := []byte(strings.Repeat("x", 98) + "\r\n")
		began, sent := time.Now(), 0
		for ; s.Status().Slow == 0 && time.Since(began) < time.Hour; sent++ {
			s.Data(line)
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took < slowTimeout || took > slowTimeout+time.Second {
			t.Errorf("the slow client was closed after %v", took)
		}
		if st := s.Status(); st.Clients != 1 || st.Dropped == 0 {
			t.Errorf("status: %+v", st)
		}
		s.Data([]byte("$END\n"))
		running.Wait()
		if lines != sent {
			t.Errorf("the good client got %d of %d lines", lines, sent)
		}
		if n := strings.Count(log.String(), "it does not read"); n != 1 {
			t.Errorf("log: %s", log)
		}
	})
}

// TestDropping: whatever is sent and however slowly it is read, what a client gets are whole lines in order, the newest at the
// end, and never more waits than its queue holds.
func TestDropping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 200
		mine, other := net.Pipe()
		defer mine.Close()
		defer other.Close()
		c := newClient(mine, rapid.Bool().Draw(t, "in the middle of a line"))
		c.limit = limit
		var all, got []byte
		dropped := 0
		step := func(p []byte) {
			all = append(all, p...)
			dropped += c.add(p)
			if len(c.queue) > limit {
				t.Fatalf("%d bytes are queued", len(c.queue))
			}
			if rapid.IntRange(0, 3).Draw(t, "read") == 0 {
				b, _ := c.next(nil)
				got = append(got, b...)
			}
		}
		if !c.joined {
			step([]byte("the rest of a line\n"))
			all = nil
		}
		var stream []byte
		for i := range rapid.IntRange(0, 60).Draw(t, "lines") {
			stream = fmt.Appendf(stream, "%d%s\n", i, strings.Repeat(".", rapid.IntRange(0, 80).Draw(t, "length")))
		}
		for len(stream) > 0 {
			n := rapid.IntRange(1, min(len(stream), 120)).Draw(t, "piece")
			step(stream[:n])
			stream = stream[n:]
		}
		b, _ := c.next(nil)
		got = append(got, b...)
		if len(got)+dropped != len(all) {
			t.Fatalf("%d bytes came and %d were dropped of %d", len(got), dropped, len(all))
		}
		sent, received := strings.SplitAfter(string(all), "\n"), strings.SplitAfter(string(got), "\n")
		for _, line := range received {
			for len(sent) > 0 && sent[0] != line {
				sent = sent[1:]
			}
			if len(sent) == 0 {
				t.Fatalf("%q is no line that was sent after the one before it; received %q", line, got)
			}
		}
		if len(all) > 0 && !strings.HasSuffix(string(got), lastLine(all)) {
			t.Fatalf("the newest line was dropped: %q", got)
		}
	})
}

func lastLine(b []byte) string {
	lines := strings.SplitAfter(strings.TrimSuffix(string(b), "\n"), "\n")
	return lines[len(lines)-1] + "\n"
}

// TestNoLines: bytes without line ends are bounded too.
func TestNoLines(t *testing.T) {
	mine, other := net.Pipe()
	defer mine.Close()
	defer other.Close()
	c := newClient(mine, false)
	c.limit = 100
	for i := range 100 {
		c.add(bytes.Repeat([]byte{byte(i)}, 30))
	}
	b, _ := c.next(nil)
	if len(b) != 100 || b[99] != 99 {
		t.Errorf("%d bytes: %v", len(b), b)
	}
}

func TestConfig(t *testing.T) {
	taken := serve(t, Config{}).Addr().String()
	tests := []struct {
		c    Config
		want string
	}{
		{Config{}, `nmea_listen: "" is not an address: use host:port, such as "127.0.0.1:10110"`},
		{Config{Listen: "10110"}, `nmea_listen: "10110" is not an address: use host:port, such as "127.0.0.1:10110"`},
		{Config{Listen: ":0"}, `nmea_listen: ":0" is not a loopback address: set nmea_open = true to show the vehicle's position to every client that reaches it`},
		{Config{Listen: "192.168.1.1:10110"}, `nmea_listen: "192.168.1.1:10110" is not a loopback address: set nmea_open = true to show the vehicle's position to every client that reaches it`},
		{Config{Listen: taken}, `nmea_listen: "` + taken + `" is taken by another program: find it with "sudo ss -tlpn" and stop it, or use another port`},
	}
	for _, test := range tests {
		_, err := Listen(test.c)
		if err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
	for _, c := range []Config{{Listen: "localhost:0"}, {Listen: "[::1]:10110"}, {Listen: "0.0.0.0:0", Open: true}} {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// TestNotServed: a Server that is closed before it is served gives its address back, and says so when it is served all the same.
func TestNotServed(t *testing.T) {
	s, err := Listen(Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	s.Data([]byte("no client reads this\n"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	if diff := cmp.Diff(Status{Listen: s.Addr().String()}, s.Status()); diff != "" {
		t.Error(diff)
	}
}

package receiver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// listenTCP takes an address of the loopback interface, and accepts.
func listenTCP(t *testing.T, address string) (net.Listener, <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for len(conns) > 0 {
			_ = (<-conns).Close()
		}
	})
	return l, conns
}

// next returns the next connection. It is closed when the test ends.
func next(t *testing.T, conns <-chan net.Conn) net.Conn {
	t.Helper()
	select {
	case c := <-conns:
		t.Cleanup(func() { _ = c.Close() })
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("nobody connected within 20 s")
		return nil
	}
}

// waitDetail waits for a detail of the status.
func waitDetail(t *testing.T, r *Receiver, rec *recorder, want string) {
	t.Helper()
	rec.wait(t, fmt.Sprintf("detail %q", want), func(string) bool { return text(r.Status().Problem) == want })
}

func has(want string) func(string) bool {
	return func(data string) bool { return strings.Contains(data, want) }
}

// TestTCP: what a server sends arrives; when it goes and comes back, it is found again; when it says nothing, it is asked anew.
func TestTCP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			l, conns := listenTCP(t, address)
			name := "tcp://" + l.Addr().String()
			r, rec, stop := start(t, Config{Source: name, Silence: 2500 * time.Millisecond})
			defer stop()
			first := next(t, conns)
			write(t, first, gsv)
			rec.wait(t, "sentence", has(gsv))
			if s := r.Status(); s.State != Reading || s.Port != name || text(s.Problem) != "" {
				t.Errorf("status: %+v", s)
			}
			_ = first.Close()
			waitDetail(t, r, rec, name+" closed the connection: see that its program runs, and how many clients it takes")
			second := next(t, conns)
			write(t, second, rmc("120000"))
			rec.wait(t, "sentence of the second connection", has(rmc("120000")))
			// A link that is half open says nothing.
			waitDetail(t, r, rec, name+" is connected and sends nothing: check the receiver behind it, and the network")
			third := next(t, conns)
			write(t, third, rmc("120001"))
			rec.wait(t, "sentence of the third connection", has(rmc("120001")))
			_ = l.Close()
			_ = third.Close()
			waitDetail(t, r, rec, name+" refuses connections: start the program that sends there, or name the right port")
		})
	}
}

func TestTCPReset(t *testing.T) {
	l, conns := listenTCP(t, "127.0.0.1:0")
	name := "tcp://" + l.Addr().String()
	r, rec, stop := start(t, Config{Source: name})
	defer stop()
	c := next(t, conns)
	write(t, c, gsv)
	rec.wait(t, "sentence", has(gsv))
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	waitDetail(t, r, rec, name+": connection lost (connection reset by peer): check the network and the program behind it")
}

// TestDistantBackoff: a server that is gone is asked ever more seldom, by many clients not together, and once a few seconds at
// the least.
func TestDistantBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		fake := &fakeSource{try: func(int) (conn, error) {
			at = append(at, time.Now())
			return nil, errFake
		}}
		r := run(t, Config{}, distantFake{fake})
		time.Sleep(10 * time.Minute)
		r.stop(t)
		even := 0
		for i := 1; i < len(at); i++ {
			gap := at[i].Sub(at[i-1])
			if gap > backoffDistant || gap < backoffMin/2 || i > 5 && gap < backoffDistant/2 {
				t.Errorf("attempt %d after %v", i, gap)
			}
			if gap%(100*time.Millisecond) == 0 {
				even++
			}
		}
		if len(at) < 120 || even > len(at)/10 {
			t.Errorf("%d attempts, %d after a round time", len(at), even)
		}
	})
}

type distantFake struct{ *fakeSource }

func (distantFake) silent(port string) *problem.Problem {
	return &problem.Problem{Code: source.Silent, Cause: port + " is silent"}
}
func (distantFake) lost(port string, err error) *problem.Problem {
	return &problem.Problem{Code: source.Lost, Cause: fmt.Sprint(port, " is lost: ", err)}
}

// TestDistantIsTold: what is distant says in its own words what happened.
func TestDistantIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := piped()
		log := &logged{}
		r := run(t, Config{Log: log.logger()}, distantFake{src})
		other := <-others
		write(t, other, "a")
		time.Sleep(3 * time.Second)
		_ = other.Close()
		synctest.Wait()
		r.stop(t)
		lines := strings.Join(log.lines, "\n")
		for _, want := range []string{`"receiver silent" source="" port=/dev/fake problem="/dev/fake is silent"`, `"receiver waiting" source="" port=/dev/fake problem="/dev/fake is lost: EOF"`} {
			if !strings.Contains(lines, want) {
				t.Errorf("no %s in\n%s", want, lines)
			}
		}
	})
}

func TestExplainDial(t *testing.T) {
	op := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	tests := []struct {
		err  error
		want string
	}{
		{op(syscall.ECONNREFUSED), "X refuses connections: start it"},
		{op(syscall.EHOSTUNREACH), "X cannot be reached (no route to host): check that both machines are in the network"},
		{op(syscall.ENETUNREACH), "X cannot be reached (network is unreachable): check that both machines are in the network"},
		{op(syscall.EPERM), "connect to X: operation not permitted"},
		{&net.OpError{Op: "dial", Err: context.DeadlineExceeded}, "X does not answer within 5s: check the address, the network and the firewall there"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Name: "boat", IsNotFound: true}}, `X: the name "boat" is not known: check its spelling, or use an IP address`},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Name: "boat", IsTimeout: true}}, `X: the name "boat" cannot be looked up: check the network and its DNS server, or use an IP address`},
	}
	for _, test := range tests {
		if got := explainDial("X", test.err, "start it").Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// TestOpenIsInterrupted: nothing is opened any more by who is told to stop.
func TestOpenIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, src := range []opener{tcpClient{"127.0.0.1:1"}, gpsdClient{address: "127.0.0.1:1"}} {
		if _, err := src.open(ctx); err == nil || !strings.Contains(err.Error(), "cancel") {
			t.Errorf("%T: %v", src, err)
		}
	}
}

func TestSplitAddress(t *testing.T) {
	tests := []struct{ address, fallback, host, port string }{
		{"boat:10110", "", "boat", "10110"},
		{"[fd00::10]:1", "", "fd00::10", "1"},
		{"[fe80::1%eth0]:65535", "", "fe80::1%eth0", "65535"},
		{":10110", "", "", "10110"},
		{"boat", "2947", "boat", "2947"},
		{"[::1]", "2947", "::1", "2947"},
	}
	for _, test := range tests {
		host, port, err := splitAddress(test.address, test.fallback)
		if host != test.host || port != test.port || err != nil {
			t.Errorf("%s: %q, %q, %v", test.address, host, port, err)
		}
	}
	for _, wrong := range []string{"", "boat", "boat:", "boat:0", "boat:65536", "boat:nmea", "boat:-1", "boat:+1", "::1", "a b:1", "boat:1/x", "boat/x:1", "[::1:1"} {
		if host, port, err := splitAddress(wrong, ""); err == nil {
			t.Errorf("%s: %q, %q", wrong, host, port)
		}
	}
}

// TestEndLine: a datagram's last line has an end.
func TestEndLine(t *testing.T) {
	for in, want := range map[string]string{"a": "a\r\n", "a\n": "a\n", "a\r\n": "a\r\n", "a\r": "a\r"} {
		if got := endLine([]byte(in)); !bytes.Equal(got, []byte(want)) {
			t.Errorf("%q: %q", in, got)
		}
	}
}

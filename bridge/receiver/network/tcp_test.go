package network

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
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
	case <-time.After(time.Minute):
		t.Fatal("no connection within a minute")
		return nil
	}
}

// waitDetail waits for a problem to be reported.
func waitDetail(t *testing.T, rec *receivertest.Recorder, want string) {
	t.Helper()
	rec.Wait(t, fmt.Sprintf("detail %q", want), func(string) bool { return rec.Logged(want) })
}

func TestTCP(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			l, conns := listenTCP(t, address)
			name := "tcp://" + l.Addr().String()
			r, rec, stop := receivertest.Start(t, tcpClient{l.Addr().String()}, receiver.Config{Silence: 800 * time.Millisecond})
			defer stop()
			// read sends a sentence over the newest connection until it is read: a machine that holds the test up has had the one
			// before closed as silent.
			read := func(sentence string) (c net.Conn) {
				c = next(t, conns)
				rec.Wait(t, "sentence", func(data string) bool {
					for len(conns) > 0 {
						c = next(t, conns)
					}
					_, _ = io.WriteString(c, sentence)
					s := r.Status()
					return strings.Contains(data, sentence) && s.State == receiver.Reading && s.Port == name && s.Problem == nil
				})
				return c
			}
			first := read(gsv)
			_ = first.Close()
			waitDetail(t, rec, name+" closed the connection: see that its program runs, and how many clients it takes")
			read(receivertest.RMC("120000"))
			// A link that is half open says nothing.
			waitDetail(t, rec, name+" is connected and sends nothing: check the receiver behind it, and the network")
			third := read(receivertest.RMC("120001"))
			_ = l.Close()
			_ = third.Close()
			waitDetail(t, rec, name+" refuses connections: start the program that sends there, or name the right port")
		})
	}
}

// TestServerClosesAfterEachBurst: a server that sends the newest epoch to each client and closes the connection is reached once a
// second, and the log does not fill.
func TestServerClosesAfterEachBurst(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 5 s")
	}
	t.Parallel()
	l, conns := listenTCP(t, "127.0.0.1:0")
	log := &receivertest.Log{}
	r := receiver.New(tcpClient{l.Addr().String()}, receiver.Config{Source: "tcp", Log: log.Logger()})
	ctx, cancel := context.WithCancel(t.Context())
	rec, done := receivertest.NewRecorder(), make(chan error, 1)
	go func() { done <- r.Run(ctx, rec) }()
	const epochs = 6
	began := time.Now()
	for i := range epochs {
		c := next(t, conns)
		if early := time.Since(began); early < time.Duration(i)*time.Second {
			t.Errorf("connection %d after %v", i+1, early)
		}
		sentence := receivertest.RMC(fmt.Sprintf("1200%02d", i))
		receivertest.Write(t, c, sentence)
		_ = c.Close()
		rec.Wait(t, "epoch", receivertest.Has(sentence))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(rec.All(), "$GPRMC,"); n != epochs {
		t.Errorf("%d epochs of %d", n, epochs)
	}
	if n := len(log.Lines()); n > 6 {
		t.Errorf("%d lines in the log: %s", n, strings.Join(log.Lines(), "\n"))
	}
}

func TestTCPReset(t *testing.T) {
	l, conns := listenTCP(t, "127.0.0.1:0")
	name := "tcp://" + l.Addr().String()
	_, rec, stop := receivertest.Start(t, tcpClient{l.Addr().String()}, receiver.Config{})
	defer stop()
	c := next(t, conns)
	receivertest.Write(t, c, gsv)
	rec.Wait(t, "sentence", receivertest.Has(gsv))
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	waitDetail(t, rec, name+": connection lost (connection reset by peer): check the network and the program behind it")
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

// TestOpenIsInterrupted: nothing is opened once the context has ended.
func TestOpenIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, src := range []source.Source{tcpClient{"127.0.0.1:1"}, gpsdClient{address: "127.0.0.1:1"}} {
		if _, err := src.Open(ctx, source.Host{}); err == nil || !strings.Contains(err.Error(), "cancel") {
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

package network

import (
	"context"
	"fmt"
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
	case <-time.After(20 * time.Second):
		t.Fatal("no connection within 20 s")
		return nil
	}
}

// waitDetail waits for a detail of the status.
func waitDetail(t *testing.T, r *receiver.Receiver, rec *receivertest.Recorder, want string) {
	t.Helper()
	rec.Wait(t, fmt.Sprintf("detail %q", want), func(string) bool { return receivertest.Text(r.Status().Problem) == want })
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
			first := next(t, conns)
			receivertest.Write(t, first, gsv)
			rec.Wait(t, "sentence", receivertest.Has(gsv))
			if s := r.Status(); s.State != receiver.Reading || s.Port != name || receivertest.Text(s.Problem) != "" {
				t.Errorf("status: %+v", s)
			}
			_ = first.Close()
			waitDetail(t, r, rec, name+" closed the connection: see that its program runs, and how many clients it takes")
			second := next(t, conns)
			receivertest.Write(t, second, receivertest.RMC("120000"))
			rec.Wait(t, "sentence of the second connection", receivertest.Has(receivertest.RMC("120000")))
			// A link that is half open says nothing.
			waitDetail(t, r, rec, name+" is connected and sends nothing: check the receiver behind it, and the network")
			third := next(t, conns)
			receivertest.Write(t, third, receivertest.RMC("120001"))
			rec.Wait(t, "sentence of the third connection", receivertest.Has(receivertest.RMC("120001")))
			_ = l.Close()
			_ = third.Close()
			waitDetail(t, r, rec, name+" refuses connections: start the program that sends there, or name the right port")
		})
	}
}

// TestServerClosesAfterEachBurst: a server that sends the newest epoch to each client and closes the connection is reached once a
// second, and the log does not fill.
func TestServerClosesAfterEachBurst(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	t.Parallel()
	l, conns := listenTCP(t, "127.0.0.1:0")
	log := &receivertest.Log{}
	r := receiver.New(tcpClient{l.Addr().String()}, receiver.Config{Source: "tcp", Log: log.Logger()})
	ctx, cancel := context.WithCancel(t.Context())
	rec, done := receivertest.NewRecorder(), make(chan error, 1)
	go func() { done <- r.Run(ctx, rec) }()
	const epochs = 10
	began := time.Now()
	for connections := 0; time.Since(began) < epochs*time.Second; connections++ {
		if connections > epochs+1 {
			t.Fatalf("%d connections in %v", connections, time.Since(began))
		}
		c := next(t, conns)
		second := int(time.Since(began) / time.Second)
		receivertest.Write(t, c, receivertest.RMC(fmt.Sprintf("1200%02d", second)))
		_ = c.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for i := range epochs - 1 {
		// A connection is made every 1.0 s and something: a second without one may come once.
		if n := strings.Count(rec.All(), fmt.Sprintf("$GPRMC,1200%02d,", i)); n > 1 {
			t.Errorf("epoch %d came %d times", i, n)
		}
	}
	if n := strings.Count(rec.All(), "$GPRMC,"); n < epochs-1 {
		t.Errorf("%d epochs of %d", n, epochs)
	}
	if n := len(log.Lines()); n > 6 {
		t.Errorf("%d lines in the log: %s", n, strings.Join(log.Lines(), "\n"))
	}
}

func TestTCPReset(t *testing.T) {
	l, conns := listenTCP(t, "127.0.0.1:0")
	name := "tcp://" + l.Addr().String()
	r, rec, stop := receivertest.Start(t, tcpClient{l.Addr().String()}, receiver.Config{})
	defer stop()
	c := next(t, conns)
	receivertest.Write(t, c, gsv)
	rec.Wait(t, "sentence", receivertest.Has(gsv))
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	waitDetail(t, r, rec, name+": connection lost (connection reset by peer): check the network and the program behind it")
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

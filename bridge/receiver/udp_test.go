package receiver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/problem"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// openUDP opens a source on the loopback interface, and returns where to send to.
func openUDP(t *testing.T, source string) (stream, *net.UDPAddr) {
	t.Helper()
	src, err := parseSource(source)
	if err != nil {
		t.Fatal(err)
	}
	s, err := src.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, s.conn.(*datagrams).LocalAddr().(*net.UDPAddr)
}

func sender(t *testing.T, from string, to *net.UDPAddr) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func readString(t *testing.T, s stream, size int) string {
	t.Helper()
	if err := s.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, size)
	n, err := s.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// TestUDP: a datagram's sentences come whole, however large it is, and one sender feeds at a time.
func TestUDP(t *testing.T) {
	s, to := openUDP(t, "udp://127.0.0.1:"+freeUDP(t))
	phone, other := sender(t, "127.0.0.1", to), sender(t, "127.0.0.2", to)
	write(t, phone, strings.TrimSuffix(gsv, "\r\n"))
	if got := readString(t, s, 4096); got != gsv {
		t.Errorf("a sentence without a line end came as %q", got)
	}
	write(t, other, rmc("110000"))
	again := sender(t, "127.0.0.1", to) // started anew: another port
	many := strings.Repeat(rmc("120000"), 100)
	write(t, again, many)
	got := ""
	for len(got) < len(many) {
		got += readString(t, s, 4096)
	}
	if got != many {
		t.Errorf("a large datagram came as %d bytes of %d, or others: %.100q", len(got), len(many), got)
	}
}

// freeUDP returns a port of the loopback interface that nobody has.
func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, port, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestOneSenderFeeds: another one may when the first has been silent for a while.
func TestOneSenderFeeds(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	at := func(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }
	d := &datagrams{}
	for _, step := range []struct {
		from netip.Addr
		s    float64
		want bool
	}{
		{a, 0, true}, {b, 0.1, false}, {a, 1, true}, {b, 1.1, false}, {b, 3.9, false}, {b, 4, true}, {a, 4.1, false}, {b, 5, true}, {a, 8, true},
	} {
		if got := d.takes(step.from, at(step.s)); got != step.want {
			t.Errorf("%v at %v s: %v", step.from, step.s, got)
		}
	}
}

// TestOtherSendersAreShown: who sends beside the one that feeds is told, rarely, and forgotten when it has stopped or feeds itself.
func TestOtherSendersAreShown(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	d := &datagrams{}
	var hints []string
	d.others.show = func(warning *problem.Problem) { hints = append(hints, text(warning)) }
	at := time.Unix(0, 0)
	send := func(seconds int, from ...netip.Addr) {
		for range seconds {
			for _, f := range from {
				d.takes(f, at)
			}
			at = at.Add(time.Second)
		}
	}
	send(3, a)
	send(5, b) // takes over when a has been silent for as long as it is waited for
	if len(hints) > 0 {
		t.Fatalf("a sender that takes over is told of as one too many: %q", hints)
	}
	send(50, b, a)
	send(61, b)
	told := func(n int) string {
		return fmt.Sprintf("10.0.0.1 sends too and is left out (%d datagrams so far), since 10.0.0.2 feeds: stop one of them, or give each a port and a [[receiver]] of its own", n)
	}
	if d := cmp.Diff([]string{told(5), told(50), ""}, hints); d != "" {
		t.Errorf("told (-want +got):\n%s", d)
	}
	hints = nil
	send(6, b, a)
	send(5, a)
	if len(hints) != 2 || hints[1] != "" {
		t.Errorf("the other feeds now and told was %q, want one and its end", hints)
	}
}

func TestUDPMulticast(t *testing.T) {
	s, to := openUDP(t, "udp://239.192.0.3:"+freeUDP(t)+"?interface=lo")
	c := sender(t, "127.0.0.1", to)
	device, err := net.InterfaceByName("lo")
	if err == nil {
		err = control(c, func(fd int) error {
			return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(device.Index)})
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(gsv)); err != nil {
		t.Skip("this machine sends no multicast on its loopback interface:", err)
	}
	if got := readString(t, s, 4096); got != gsv {
		t.Errorf("got %q", got)
	}
}

// control calls do with the descriptor of c.
func control(c *net.UDPConn, do func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	err = raw.Control(func(fd uintptr) { doErr = do(int(fd)) })
	return errors.Join(err, doErr)
}

func TestUDPThroughReceiver(t *testing.T) {
	t.Parallel()
	port := freeUDP(t)
	r, rec, stop := start(t, Config{Source: "udp://127.0.0.1:" + port})
	defer stop()
	waitDetail(t, r, rec, "udp://127.0.0.1:"+port+" receives nothing: see that the sender sends to this machine and port, and that no firewall is between")
	to, err := net.ResolveUDPAddr("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	write(t, sender(t, "127.0.0.1", to), gsv)
	rec.wait(t, "sentence", has(gsv))
}

func TestUDPCannotListen(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.LocalAddr().String()
	tests := []struct{ source, want string }{
		{"udp://" + addr, "udp://" + addr + ` is taken by another program: find it with "sudo ss -ulpn" and stop it, or use another port`},
		{"udp://192.0.2.1:10110", "udp://192.0.2.1:10110 is not an address of this machine: leave it out to listen on all"},
		{"udp://239.192.0.3:10110?interface=none0", "join udp://239.192.0.3:10110: no such network interface: see that the network is up, or name its interface with ?interface="},
	}
	for _, test := range tests {
		src, err := parseSource(test.source)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.open(t.Context()); err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
}

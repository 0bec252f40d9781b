package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// openUDP opens a source on the loopback interface, and returns where to send to.
func openUDP(t *testing.T, text string) (*udpStream, *net.UDPAddr) {
	t.Helper()
	src, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := receivertest.NewHost()
	s, err := src.Open(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	u := s.(*udpStream)
	return u, u.Conn.(*datagrams).LocalAddr().(*net.UDPAddr)
}

func sendFrom(t *testing.T, from string, to *net.UDPAddr) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func readString(t *testing.T, s source.Conn, size int) string {
	t.Helper()
	if err := s.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
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
	phone, other := sendFrom(t, "127.0.0.1", to), sendFrom(t, "127.0.0.2", to)
	receivertest.Write(t, phone, strings.TrimSuffix(gsv, "\r\n"))
	if got := readString(t, s, 4096); got != gsv {
		t.Errorf("a sentence without a line end came as %q", got)
	}
	receivertest.Write(t, other, receivertest.RMC("110000"))
	again := sendFrom(t, "127.0.0.1", to) // started again: another port
	many := strings.Repeat(receivertest.RMC("120000"), 100)
	receivertest.Write(t, again, many)
	got := ""
	for len(got) < len(many) {
		got += readString(t, s, 4096)
	}
	if got != many {
		t.Errorf("a large datagram came as %d bytes of %d, or others: %.100q", len(got), len(many), got)
	}
}

// freeUDP returns an unused port of the loopback interface.
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

// TestOneSenderFeeds: another one may when the first has sent no sentence for a while.
func TestOneSenderFeeds(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:1")
	at := func(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }
	s := &senders{others: others{show: func(*problem.Problem) {}}}
	for _, step := range []struct {
		from netip.AddrPort
		s    float64
		text string
		want bool
	}{
		{a, 0, gsv, true}, {b, 0.1, gsv, false}, {a, 1, gsv, true}, {b, 1.1, gsv, false}, {b, 3.9, gsv, false}, {b, 4, gsv, true}, {a, 4.1, gsv, false},
		{b, 5, gsv, true}, {a, 8, gsv, true},
		{b, 8.1, "noise\n", false}, {a, 9, "noise\n", true}, {a, 10, "noise\n", true}, {b, 11, gsv, true}, // noise does not hold the place
	} {
		if got := len(s.lines([]byte(step.text), step.from, at(step.s))) > 0; got != step.want {
			t.Errorf("%v at %v s: %v", step.from, step.s, got)
		}
	}
}

// TestNoiseShutsNoSenderOut: one that sends no sentence, and was there first, does not keep a phone from being read.
func TestNoiseShutsNoSenderOut(t *testing.T) {
	noise, phone := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:1")
	s := &senders{others: others{show: func(*problem.Problem) {}}}
	at := time.Unix(0, 0)
	got := ""
	for range 10 {
		s.lines([]byte("noise\r\n"), noise, at)
		got += string(s.lines([]byte(gsv), phone, at.Add(time.Second/2)))
		at = at.Add(time.Second)
	}
	if got != strings.Repeat(gsv, 10) {
		t.Errorf("the phone's sentences came as %q", got)
	}
}

// TestWantedSender: with ?from= the others are not read.
func TestWantedSender(t *testing.T) {
	s, to := openUDP(t, "udp://127.0.0.1:"+freeUDP(t)+"?from=127.0.0.2")
	receivertest.Write(t, sendFrom(t, "127.0.0.1", to), receivertest.RMC("110000"))
	receivertest.Write(t, sendFrom(t, "127.0.0.2", to), gsv)
	if got := readString(t, s, 4096); got != gsv {
		t.Errorf("read %q", got)
	}
}

// TestCutDatagrams: a forwarder of a serial port cuts anywhere. Every sentence comes whole, also beside another sender.
func TestCutDatagrams(t *testing.T) {
	from, other := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:1")
	var log strings.Builder
	for i := range 20 {
		log.WriteString(receivertest.RMC(fmt.Sprintf("1200%02d", i)) + gsv)
	}
	for size := 1; size < 200; size++ {
		s := &senders{others: others{show: func(*problem.Problem) {}}}
		at := time.Unix(0, 0)
		s.lines([]byte(gsv), from, at) // it feeds
		got := ""
		for rest := log.String(); rest != ""; rest = rest[min(size, len(rest)):] {
			got += string(s.lines([]byte(rest[:min(size, len(rest))]), from, at))
			s.lines([]byte(gsv), other, at.Add(time.Millisecond))
			at = at.Add(10 * time.Millisecond)
		}
		if got := strings.ReplaceAll(got, "\r\n\r\n", "\r\n"); got != log.String() {
			t.Fatalf("cut every %d bytes: (-want +got):\n%s", size, cmp.Diff(log.String(), got))
		}
	}
}

// TestForwarderOfASerialPort sends pieces of 30 bytes through a socket.
func TestForwarderOfASerialPort(t *testing.T) {
	s, to := openUDP(t, "udp://127.0.0.1:"+freeUDP(t))
	c, want, got := sendFrom(t, "127.0.0.1", to), "", ""
	for i := range 20 {
		want += receivertest.RMC(fmt.Sprintf("1200%02d", i)) + gsv
	}
	for rest := want; rest != ""; rest = rest[min(30, len(rest)):] {
		receivertest.Write(t, c, rest[:min(30, len(rest))])
	}
	for len(got) < len(want) {
		got += readString(t, s, 4096)
	}
	if got := strings.ReplaceAll(got, "\r\n\r\n", "\r\n"); got != want {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
	}
}

// TestOtherSendersAreShown: the sender that is left out is shown, rarely, and forgotten when it has stopped or feeds itself.
func TestOtherSendersAreShown(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:1")
	var shown []string
	s := &senders{others: others{show: func(warning *problem.Problem) { shown = append(shown, receivertest.Text(warning)) }}}
	at := time.Unix(0, 0)
	send := func(seconds int, from ...netip.AddrPort) {
		for range seconds {
			for _, f := range from {
				s.lines([]byte(gsv), f, at)
			}
			at = at.Add(time.Second)
		}
	}
	send(3, a)
	send(5, b) // takes over when a has been silent for as long as it is waited for
	if len(shown) > 0 {
		t.Fatalf("a sender that takes over is shown as one too many: %q", shown)
	}
	send(50, b, a)
	send(61, b)
	want := func(n int) string {
		return fmt.Sprintf("10.0.0.1 sends too and is left out (%d datagrams so far), since 10.0.0.2 feeds: stop one of them, name the one to read with ?from=, or give each a port and a [[receiver]] of its own", n)
	}
	if d := cmp.Diff([]string{want(5), want(50), ""}, shown); d != "" {
		t.Errorf("shown (-want +got):\n%s", d)
	}
	shown = nil
	send(6, b, a)
	send(5, a)
	if len(shown) != 2 || shown[1] != "" {
		t.Errorf("the other feeds now and shown was %q, want one and its end", shown)
	}
}

func TestUDPMulticast(t *testing.T) {
	s, to := openUDP(t, "udp://239.192.0.3:"+freeUDP(t)+"?interface=lo")
	c := sendFrom(t, "127.0.0.1", to)
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
	_, rec, stop := receivertest.Start(t, &udpListener{address: "127.0.0.1:" + port}, receiver.Config{})
	defer stop()
	waitDetail(t, rec, "udp://127.0.0.1:"+port+" receives nothing: see that the sender sends to this machine and port, and that no firewall is between")
	to, err := net.ResolveUDPAddr("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	receivertest.Write(t, sendFrom(t, "127.0.0.1", to), gsv)
	rec.Wait(t, "sentence", receivertest.Has(gsv))
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
		src, err := parse(test.source)
		if err != nil {
			t.Fatal(err)
		}
		h, _ := receivertest.NewHost()
		if _, err := src.Open(t.Context(), h); err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
}

package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// udpListener takes datagrams of whole sentences, as phones and multiplexers send them. One sender feeds at a time, told
// apart by its address without the port: what starts again comes from another port. Sentences of two receivers in one
// stream would give epochs that are half of the one and half of the other.
type udpListener struct {
	address string // host:port; without a host, of every interface
	group   bool   // the host is a multicast group
	device  string // the network interface on which to join it; "" leaves that to the kernel
	setting
}

// senderHold is how long a sender is waited for before another one may feed: three seconds of one at 1 Hz, and less than
// the rule of silence.
const senderHold = 3 * time.Second

func udpFrom(address string, o *options) (opener, error) {
	device, hasDevice := o.text("interface")
	host, port, err := splitAddress(address, "")
	if err != nil {
		return nil, invalid(`use "udp://:port", such as udp://:10110, or a multicast group, udp://239.2.1.1:10110?interface=eth0`, "%v", err)
	}
	u := &udpListener{address: net.JoinHostPort(host, port), device: device}
	if ip, err := netip.ParseAddr(host); err == nil {
		u.group = ip.IsMulticast()
	}
	if hasDevice && !u.group {
		return nil, invalid(fmt.Sprintf("name an address of the interface in place of %q", host), "option interface=%s is for multicast groups alone", device)
	}
	return u, nil
}

func (*udpListener) finite() bool { return false }

func (u *udpListener) name() string { return "udp://" + u.address }

func (u *udpListener) open(ctx context.Context) (stream, error) {
	c, err := u.listen(ctx)
	if err != nil {
		return stream{}, u.explain(err)
	}
	d := newDatagrams(c)
	if u.status != nil {
		d.others.show = func(w *problem.Problem) { u.status.change(func(*Status) {}, w) }
		d.others.show(nil) // of before
	}
	return stream{conn: d, port: u.name()}, nil
}

func (u *udpListener) listen(ctx context.Context) (*net.UDPConn, error) {
	if !u.group {
		var lc net.ListenConfig
		c, err := lc.ListenPacket(ctx, "udp", u.address)
		if err != nil {
			return nil, err
		}
		return c.(*net.UDPConn), nil // what "udp" gives
	}
	group, err := net.ResolveUDPAddr("udp", u.address)
	if err != nil {
		return nil, err
	}
	var device *net.Interface
	if u.device != "" {
		if device, err = net.InterfaceByName(u.device); err != nil {
			return nil, err
		}
	}
	return net.ListenMulticastUDP("udp", device, group)
}

func (u *udpListener) explain(err error) *problem.Problem {
	p := &problem.Problem{Err: err}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		p.Code, p.Cause = source.ListenTaken, u.name()+" is taken by another program"
		p.Fix = "find it with \"sudo ss -ulpn\" and stop it, or use another port"
	case errors.Is(err, syscall.EACCES):
		p.Code, p.Cause, p.Fix = source.ListenDenied, u.name()+" is not allowed to this user", "use a port from 1024"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		p.Code, p.Cause, p.Fix = source.ListenForeign, u.name()+" is not an address of this machine", "leave it out to listen on all"
	case u.group:
		p.Code, p.Cause = source.ListenFailed, fmt.Sprintf("join %s: %v", u.name(), netCause(err))
		p.Fix = "see that the network is up, or name its interface with ?interface="
	default:
		p.Code, p.Cause = source.ListenFailed, fmt.Sprintf("listen on %s: %v", u.name(), netCause(err))
	}
	return p
}

func (*udpListener) silent(port string) *problem.Problem {
	return &problem.Problem{Code: source.Silent, Cause: port + " receives nothing",
		Fix: "see that the sender sends to this machine and port, and that no firewall is between"}
}

func (*udpListener) lost(port string, err error) *problem.Problem {
	return &problem.Problem{Code: source.Lost, Cause: fmt.Sprintf("%s: %v", port, netCause(err)), Fix: "check the network", Err: err}
}

// datagrams reads what one sender at a time sends.
type datagrams struct {
	*net.UDPConn

	// owned by the reader
	buf    []byte
	left   []byte     // of the last datagram
	sender netip.Addr // who feeds
	heard  time.Time  // when it last did
	others others
}

func newDatagrams(c *net.UDPConn) *datagrams {
	return &datagrams{UDPConn: c, buf: make([]byte, 64<<10)} // no datagram is longer
}

func (d *datagrams) Read(p []byte) (int, error) {
	for len(d.left) == 0 {
		n, from, err := d.ReadFromUDPAddrPort(d.buf[:len(d.buf)-2])
		if err != nil {
			return 0, err
		}
		if n > 0 && d.takes(from.Addr().Unmap(), time.Now()) {
			d.left = endLine(d.buf[:n])
		}
	}
	n := copy(p, d.left)
	d.left = d.left[n:]
	return n, nil
}

// takes says whether a sender may feed.
func (d *datagrams) takes(from netip.Addr, now time.Time) bool {
	if from != d.sender && d.sender.IsValid() && now.Sub(d.heard) < senderHold {
		d.others.leftOut(from, d.sender, now)
		return false
	}
	d.others.fed(from != d.sender, now)
	d.sender, d.heard = from, now
	return true
}

// endLine ends the last line of a datagram: some senders leave the line's end out, since a datagram holds whole sentences.
func endLine(b []byte) []byte {
	if last := b[len(b)-1]; last == '\n' || last == '\r' {
		return b
	}
	return append(b, '\r', '\n')
}

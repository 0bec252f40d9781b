package network

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

// udpListener receives datagrams. One sender feeds at a time, known by its address without the port: a program that starts again
// comes from another port. Sentences of two receivers in one stream would give epochs that are half of the one and half of the
// other.
type udpListener struct {
	address string     // host:port; without a host, of every interface
	group   bool       // the host is a multicast group
	device  string     // the network interface on which to join it; "" leaves that to the kernel
	from    netip.Addr // the sender that is wanted; zero is any
}

// NewUDP is the source "udp://:port?interface=&from=".
func NewUDP(address string, o *source.Options) (source.Source, error) {
	device, hasDevice := o.Text("interface")
	from, hasFrom := o.Text("from")
	host, port, err := splitAddress(address, "")
	if err != nil {
		return nil, source.Invalid(`use "udp://:port", such as udp://:10110, or a multicast group, udp://239.2.1.1:10110?interface=eth0`, "%v", err)
	}
	u := &udpListener{address: net.JoinHostPort(host, port), device: device}
	if ip, err := netip.ParseAddr(host); err == nil {
		u.group = ip.IsMulticast()
	}
	if hasDevice && !u.group {
		return nil, source.Invalid(fmt.Sprintf("name an address of the interface in place of %q", host), "option interface=%s is for multicast groups alone", device)
	}
	if hasFrom {
		ip, err := netip.ParseAddr(from)
		if err != nil {
			return nil, source.Invalid("use the IP address of the sender, such as from=192.168.4.20", "option from=%s", from)
		}
		u.from = ip.Unmap()
	}
	return u, nil
}

func (*udpListener) Traits() source.Traits { return source.Traits{} }

func (u *udpListener) name() string { return "udp://" + u.address }

func (u *udpListener) Open(ctx context.Context, h source.Host) (source.Stream, error) {
	c, err := u.listen(ctx)
	if err != nil {
		return nil, u.explain(err)
	}
	h.Warning(nil)                                                                                                            // of before
	d := &datagrams{UDPConn: c, buf: make([]byte, 64<<10), senders: senders{wanted: u.from, others: others{show: h.Warning}}} // no datagram is longer
	return &udpStream{newStream(d, u.name(), h)}, nil
}

type udpStream struct{ stream }

func (s *udpStream) Silent() *problem.Problem {
	return &problem.Problem{Code: source.Silent, Cause: s.Port() + " receives nothing",
		Fix: "see that the sender sends to this machine and port, and that no firewall is between"}
}

func (s *udpStream) Lost(err error) *problem.Problem {
	return &problem.Problem{Code: source.Lost, Cause: fmt.Sprintf("%s: %v", s.Port(), netCause(err)), Fix: "check the network", Err: err}
}

// datagrams reads the lines that one sender at a time sends.
type datagrams struct {
	*net.UDPConn

	// owned by the reader
	buf  []byte
	left []byte // of the lines that are complete
	senders
}

func (d *datagrams) Read(p []byte) (int, error) {
	for len(d.left) == 0 {
		n, from, err := d.ReadFromUDPAddrPort(d.buf)
		if err != nil {
			return 0, err
		}
		d.left = d.lines(d.buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), time.Now())
	}
	n := copy(p, d.left)
	d.left = d.left[n:]
	return n, nil
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
	var unknown *net.DNSError
	switch {
	case errors.As(err, &unknown):
		p.Code, p.Cause, p.Fix = source.ListenForeign, u.name()+" has a host that is not known", "leave it out to listen on all addresses"
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

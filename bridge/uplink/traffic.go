package uplink

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
)

// traffic counts the bytes of all connections as TCP carries them: records,
// framing, handshakes, pings and TLS. The headers of TCP and IP (40 to 60 bytes
// a packet, and more on repeats) are the system's and not in it.
type traffic struct{ sent, received atomic.Uint64 }

// dialer makes connections that count.
func (t *traffic) dialer(dial dialFunc) dialFunc {
	return func(ctx context.Context, addr string, segment int) (net.Conn, error) {
		conn, err := dial(ctx, addr, segment)
		if err != nil {
			return nil, err
		}
		return &countingConn{Conn: conn, traffic: t}, nil
	}
}

// dialFunc connects over TCP, with a largest segment in bytes if that is not 0.
type dialFunc func(ctx context.Context, addr string, segment int) (net.Conn, error)

// dialTCP is a dialFunc of the system's TCP.
func dialTCP(ctx context.Context, addr string, segment int) (net.Conn, error) {
	d := net.Dialer{}
	if segment > 0 {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			// What fails leaves the segments as they were.
			return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, segment) })
		}
	}
	return d.DialContext(ctx, "tcp", addr)
}

// countingConn is a connection that counts.
type countingConn struct {
	net.Conn
	traffic *traffic
}

// NetConn is the connection that is counted.
func (c *countingConn) NetConn() net.Conn { return c.Conn }

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.traffic.received.Add(uint64(n))
	return n, err
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.traffic.sent.Add(uint64(n))
	return n, err
}

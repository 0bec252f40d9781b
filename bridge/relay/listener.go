package relay

import (
	"net"
	"sync"
	"sync/atomic"
)

// boundedListener closes connections above a number at once: a client that
// hears so can try again, and one that opens thousands cannot take the
// descriptors of the rest of the program.
type boundedListener struct {
	net.Listener
	free int64
	open atomic.Int64
}

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.free {
			return &countedConn{Conn: c, done: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		c.Close()
	}
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	done func()
}

func (c *countedConn) Close() error {
	c.done()
	return c.Conn.Close()
}

package uplink

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// dialFunc connects over TCP, with a largest segment in bytes if that is not 0.
type dialFunc func(ctx context.Context, addr string, segment int) (net.Conn, error)

// dialTCP is a dialFunc of the system's TCP.
func dialTCP(ctx context.Context, addr string, segment int) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { // what fails leaves the segments as they were
			delayAcks(fd)
			if segment > 0 {
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, segment)
			}
		})
	}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(readBuffer) // an error is of a closed one, which fails when it is read
	}
	return conn, err
}

// readBuffer is what the kernel holds of what a server sends, in bytes; Linux doubles it. It would be 6 MB or more, and counts for
// MemoryMax with cgroup v2. The echoes of a window are some 16 kB.
const readBuffer = 128 << 10

// traffic counts the bytes of all connections as TCP carries them: records,
// framing, handshakes, pings and TLS; and, by themselves, what TCP and IP add.
type traffic struct {
	sent, received atomic.Uint64

	mu       sync.Mutex
	open     *wire  // nil while none is
	overhead uint64 // of those that were closed, in bytes
}

// opened takes note of the connection that is open.
func (t *traffic) opened(w *wire) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = w
}

// closing takes note of the end of a connection, whose socket is still open.
func (t *traffic) closing(w *wire) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == w {
		t.open, t.overhead = nil, t.overhead+w.overhead()
	}
}

// headers is what TCP and IP have added, both ways, in bytes.
func (t *traffic) headers() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		return t.overhead
	}
	return t.overhead + t.open.overhead()
}

// maxHandshake bounds what is read before the connection stands: the answer of a proxy, certificates, and the headers of the
// answer. Servers send a few KiB.
const maxHandshake = 64 << 10

var errHandshakeSize = errors.New("too much data before the connection was established")

// wire is a TCP connection that counts. Until the WebSocket stands, while one goroutine writes and reads by turns, it reads a limited
// number of bytes, and what is written goes out with the next read: the end of TLS's handshake with the request.
type wire struct {
	net.Conn
	traffic *traffic
	stands  atomic.Bool
	left    int     // until it stands
	held    []byte  // not sent yet, until it stands
	begin   [2]byte // of what was read last, until it stands

	reads, writes atomic.Uint64
}

// NetConn returns the connection below.
func (w *wire) NetConn() net.Conn { return w.Conn }

func (w *wire) Read(p []byte) (int, error) {
	handshake := !w.stands.Load()
	if handshake {
		if w.left <= 0 {
			return 0, errHandshakeSize
		}
		p = p[:min(len(p), w.left)]
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	n, err := w.Conn.Read(p)
	w.reads.Add(1)
	w.traffic.received.Add(uint64(n))
	if handshake && n > 0 {
		w.left -= n
		copy(w.begin[:], p[:n])
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	if !w.stands.Load() {
		w.held = append(w.held, p...)
		return len(p), nil
	}
	return w.send(p)
}

// stand is called when the WebSocket stands. TLS may have written since the last read: its answer to what came before the end of the
// server's.
func (w *wire) stand() error {
	err := w.flush()
	w.stands.Store(true)
	return err
}

// flush sends what is held.
func (w *wire) flush() error {
	if len(w.held) == 0 {
		return nil
	}
	held := w.held
	w.held = nil
	_, err := w.send(held)
	return err
}

func (w *wire) send(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.writes.Add(1)
	w.traffic.sent.Add(uint64(n))
	return n, err
}

func (w *wire) Close() error {
	w.traffic.closing(w)
	return w.Conn.Close()
}

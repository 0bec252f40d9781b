package relay

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"gpsbridge/bridge/deflate"
)

// wire is the connection of a member below gorilla's, which reads frames from it. Frames are written past gorilla, by one
// goroutine, so that no frame cuts another.
type wire struct {
	// Set once, closing and budget before the first frame is read.
	net.Conn
	raw     syscall.RawConn               // of the socket; nil where there is none, or TLS above it
	flush   func(fd uintptr) (done bool)  // writePending, as raw takes it
	closing func(code int, reason string) // called when gorilla would send a close frame
	budget  *rate.Limiter                 // of the bytes that are read
	waits   bool                          // for the budget; otherwise the connection ends where it is not enough

	// Owned by the reading goroutine.
	inflater *deflate.Reader // of what the peer compresses; nil for none. Set before the first frame is read
	packed   *packedBytes    // counted with inflater
	tail     [6]byte         // the last bytes that were read

	// Owned by the goroutine that writes.
	pending []byte
	errno   syscall.Errno
}

// What the kernel holds for a connection that does not read, or sends more than it may, in bytes; Linux doubles them. It would be up
// to 4 MB: for a member minutes of fixes that are old when they arrive, the queue is the place where the oldest are dropped; and with
// cgroup v2 it counts for MemoryMax, a thousand times. A page of 1 MB needs 2 s at a round trip of 0.1 s; a tracker, of which there is
// a handful with each token, sends 100 fixes in one.
const (
	memberBuffer    = 16 << 10
	answerBuffer    = 32 << 10
	requestBuffer   = 8 << 10
	publisherBuffer = 64 << 10
)

// boundRequests is for the socket that listens. What it accepts begins with its buffer: set later, a peer has filled a larger one. And
// it begins without acknowledgements by themselves, which set later come too late for the handshake.
func boundRequests(_, _ string, c syscall.RawConn) error {
	var err error
	failed := c.Control(func(fd uintptr) {
		delayAcks(fd)
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, requestBuffer)
	})
	return errors.Join(failed, err)
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c}
	w.flush = w.writePending
	if tcp := w.tcp(); tcp != nil {
		tcp.SetWriteBuffer(memberBuffer)
		if _, isTLS := c.(*tls.Conn); !isTLS {
			w.raw, _ = tcp.SyscallConn() // an error is of a closed one, which fails when it is written to
		}
	}
	return w
}

// tcp is the connection below, nil for none.
func (w *wire) tcp() *net.TCPConn { return tcpOf(w.Conn) }

// tcpOf is the TCP connection below c, nil for none.
func tcpOf(c net.Conn) *net.TCPConn {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if counted, ok := c.(*countedConn); ok {
		c = counted.Conn
	}
	tcp, _ := c.(*net.TCPConn)
	return tcp
}

// limit bounds what the peer may send from now on; a publisher waits where it has sent more.
func (w *wire) limit(budget *rate.Limiter, publisher bool) {
	w.budget, w.waits = budget, publisher
	if tcp := w.tcp(); publisher && tcp != nil {
		_ = tcp.SetReadBuffer(publisherBuffer) // an error is of a closed one, which fails when it is read
	}
}

// largestRead is less than any budget has at once, in bytes.
const largestRead = 32 << 10

func (w *wire) Read(p []byte) (int, error) {
	var n int
	var err error
	if w.inflater == nil {
		n, err = (*compressed)(w).Read(p)
	} else {
		n, err = w.inflater.Read(p)
		w.packed.inflatedIn.Add(int64(n))
		err = w.charge(n, err)
	}
	if n >= len(w.tail) {
		copy(w.tail[:], p[n-len(w.tail):n])
	} else {
		copy(w.tail[:], w.tail[n:])
		copy(w.tail[len(w.tail)-n:], p[:n])
	}
	return n, err
}

// compressed is a wire as the source of its inflater. What it reads and what that becomes both cost: one frame that grows a hundred
// times is as much work as many, and many that grow to nothing are work too.
type compressed wire

func (c *compressed) Read(p []byte) (int, error) {
	w := (*wire)(c)
	n, err := w.Conn.Read(p[:min(len(p), largestRead)])
	if w.packed != nil {
		w.packed.in.Add(int64(n))
	}
	return n, w.charge(n, err)
}

// charge takes n bytes that were read from the budget, and waits for them where the peer is a publisher. It returns err, or that
// the budget is not enough.
func (w *wire) charge(n int, err error) error {
	switch {
	case w.budget == nil || err != nil: // nil: this is still the handshake
	case w.waits:
		time.Sleep(w.budget.ReserveN(time.Now(), n).Delay())
	case !w.budget.AllowN(time.Now(), n):
		return errFlood
	}
	return err
}

// emptyClose reports whether the last frame that was read is a close frame without content: two bytes and a mask. gorilla
// takes one with half a code for one without, which RFC 6455, section 5.5.1, does not allow.
func (w *wire) emptyClose() bool {
	return w.tail[0] == finalFrame|websocket.CloseMessage && w.tail[1] == 0x80
}

// Write is for gorilla. It sends the answer to the handshake, and hands over to closing what gorilla writes later: a close
// frame where the peer breaks the protocol.
func (w *wire) Write(p []byte) (int, error) {
	if w.closing == nil {
		return w.Conn.Write(p)
	}
	code, reason := websocket.CloseNoStatusReceived, ""
	if len(p) >= 4 {
		code, reason = int(binary.BigEndian.Uint16(p[2:])), string(p[4:])
	}
	w.closing(code, reason)
	return len(p), nil
}

// send writes whole frames, with one system call if the kernel takes them, and gives up at until. After an error nothing may
// be sent any more: a part of a frame may be on its way.
func (w *wire) send(frames []byte, until time.Time) error {
	if err := w.Conn.SetWriteDeadline(until); err != nil {
		return err
	}
	if w.raw == nil {
		_, err := w.Conn.Write(frames)
		return err
	}
	w.pending, w.errno = frames, 0
	err := w.raw.Write(w.flush)
	w.pending = nil
	if err == nil && w.errno != 0 {
		err = os.NewSyscallError("write", w.errno)
	}
	return err
}

// writePending writes what the socket takes; it is called again when there is room for more. It makes the system call
// itself, because net announces each to the scheduler as one that may block, which wakes the runtime's monitor thread. This
// one cannot block: the socket is non-blocking.
func (w *wire) writePending(fd uintptr) (done bool) {
	for len(w.pending) > 0 {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&w.pending[0])), uintptr(len(w.pending)))
		switch errno {
		case 0:
			w.pending = w.pending[n:]
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			w.errno = errno
			return true
		}
	}
	return true
}

// abort ends the connection without TLS's own close message: a peer that takes no data takes none of that either, and TLS
// would wait for it for five seconds.
func (w *wire) abort() {
	if secure, ok := w.Conn.(*tls.Conn); ok {
		secure.NetConn().Close()
		return
	}
	w.Conn.Close()
}

// wiring lets gorilla take a connection over through a wire.
type wiring struct{ http.ResponseWriter }

func (w wiring) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return newWire(c), rw, nil
}

package relay

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// wire is the connection of a member below gorilla's. All that goes out passes
// here: messages and pings come from the goroutine that writes, pongs and
// gorilla's own close frames from the one that reads. Each write is of whole frames
// and has its own deadline, so no frame is cut by another and no pong shortens a
// message's time.
type wire struct {
	// Set once.
	net.Conn
	raw     syscall.RawConn // of the socket; nil where there is none
	writing chan struct{}   // holds a value while a goroutine writes; unlike a mutex it can be waited for up to a deadline

	budget *rate.Limiter // of the bytes that are read; nil for no bound
	tail   [6]byte       // the last bytes that were read. Owned by the reading goroutine
	ended  atomic.Bool   // a close frame has gone out

	until time.Time // the deadline of gorilla's next frame; gorilla sends one at a time

	// Owned by the goroutine that writes.
	over  error        // why nothing is sent any more: a close frame was, or a frame broke off
	parts []unix.Iovec // what writeNow writes, kept for its memory
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c, writing: make(chan struct{}, 1)}
	if tcp, ok := below(c).(*net.TCPConn); ok && !isTLS(c) {
		w.raw, _ = tcp.SyscallConn() // an error is of a closed one, which fails when it is written to
	}
	return w
}

// below is the socket under the relay's own wrappers.
func below(c net.Conn) net.Conn {
	for {
		switch outer := c.(type) {
		case *tls.Conn:
			c = outer.NetConn()
		case *countedConn:
			c = outer.Conn
		default:
			return c
		}
	}
}

func isTLS(c net.Conn) bool {
	_, ok := c.(*tls.Conn)
	return ok
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n >= len(w.tail) {
		copy(w.tail[:], p[n-len(w.tail):n])
	} else {
		copy(w.tail[:], w.tail[n:])
		copy(w.tail[len(w.tail)-n:], p[:n])
	}
	if w.budget != nil && err == nil && !w.budget.AllowN(time.Now(), n) {
		err = errFlood
	}
	return n, err
}

// emptyClose reports whether the last frame that was read is a close frame without content: two bytes and a mask. gorilla
// takes one with half a code for one without, which RFC 6455, section 5.5.1, does not allow.
func (w *wire) emptyClose() bool { return w.tail[0] == closeByte && w.tail[1] == 0x80 }

// SetWriteDeadline is for gorilla's next Write and not for what is under way.
func (w *wire) SetWriteDeadline(t time.Time) error {
	w.until = t
	return nil
}

// closeByte begins every close frame, and nothing else that gorilla writes
// here: it is FIN and the opcode, which the answer to the handshake lacks.
const closeByte = 0x80 | websocket.CloseMessage

// Write sends what gorilla makes: the answer to the handshake, then control
// frames, each with one Write.
func (w *wire) Write(p []byte) (int, error) {
	if err := w.begin(w.until); err != nil {
		return 0, err
	}
	defer w.end()
	n, err := w.Conn.Write(p)
	w.over = err
	if err == nil && p[0] == closeByte {
		w.over = websocket.ErrCloseSent
		w.ended.Store(true)
	}
	return n, err
}

// Close sends TLS's own close message only after the close frame: a peer that takes
// no data takes none of that either, and TLS would wait for it for five seconds.
func (w *wire) Close() error {
	if secure, ok := w.Conn.(*tls.Conn); ok && !w.ended.Load() {
		return secure.NetConn().Close()
	}
	return w.Conn.Close()
}

// send writes whole frames, with one system call if the kernel takes them, and
// gives up at until. It leaves frames empty.
func (w *wire) send(frames *net.Buffers, until time.Time) error {
	if err := w.begin(until); err != nil {
		return err
	}
	defer w.end()
	if w.raw == nil {
		// In one piece: TLS makes a record of each write.
		_, w.over = w.Conn.Write(bytes.Join(*frames, nil))
		*frames = nil
		return w.over
	}
	for len(*frames) > 0 && w.over == nil {
		var n int
		n, w.over = w.writeNow(*frames)
		skip(frames, n)
	}
	return w.over
}

// writeNow writes what the socket takes, and waits only while that is nothing.
// It makes the system call itself, because net announces each to the scheduler
// as one that may block, which wakes the runtime's monitor thread. This one
// cannot block: the socket is non-blocking.
func (w *wire) writeNow(frames net.Buffers) (int, error) {
	w.parts = w.parts[:0]
	for _, f := range frames {
		part := unix.Iovec{Base: &f[0]}
		part.SetLen(len(f))
		w.parts = append(w.parts, part)
	}
	var n uintptr
	var errno syscall.Errno
	err := w.raw.Write(func(fd uintptr) bool {
		n, _, errno = syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&w.parts[0])), uintptr(len(w.parts)))
		return errno != syscall.EAGAIN && errno != syscall.EINTR
	})
	clear(w.parts)
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, os.NewSyscallError("writev", errno)
	}
	return int(n), nil
}

// skip drops the first n bytes of frames.
func skip(frames *net.Buffers, n int) {
	for len(*frames) > 0 && n >= len((*frames)[0]) {
		n -= len((*frames)[0])
		*frames = (*frames)[1:]
	}
	if n > 0 {
		(*frames)[0] = (*frames)[0][n:]
	}
}

// begin waits until no other goroutine writes, up to the deadline, which then holds
// for what is written. After an error there is nothing to end.
func (w *wire) begin(until time.Time) error {
	select {
	case w.writing <- struct{}{}:
	default:
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		select {
		case w.writing <- struct{}{}:
		case <-timer.C:
			return os.ErrDeadlineExceeded
		}
	}
	err := w.over
	if err == nil {
		err = w.Conn.SetWriteDeadline(until)
	}
	if err != nil {
		w.end()
	}
	return err
}

func (w *wire) end() { <-w.writing }

// wiring lets gorilla take a connection over through a wire.
type wiring struct{ http.ResponseWriter }

func (w wiring) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if tcp, ok := below(c).(*net.TCPConn); ok {
		// The kernel would hold up to 4 MB for a slow viewer, minutes of fixes
		// that are old when they arrive. The queue is the place where the oldest
		// are dropped.
		tcp.SetWriteBuffer(64 << 10)
	}
	return newWire(c), rw, nil
}

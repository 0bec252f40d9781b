package relay

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

// wire is the connection of a member below gorilla's. All that goes out passes
// here, whoever sends it: messages and pings come from the goroutine that
// writes, pongs and the closes of gorilla's own from the one that reads. Each
// takes its turn for one whole frame, or several, and has its own deadline in
// it, so no frame is cut by another and no pong shortens a message's time.
type wire struct {
	net.Conn
	turn  chan struct{} // holds a value while somebody writes; unlike a mutex it can be waited for up to a deadline
	until time.Time     // the deadline of gorilla's next frame; gorilla sends one at a time

	// Owned by who has the turn.
	over error // why nothing goes out any more: a close frame has, or a frame broke off
}

func newWire(c net.Conn) *wire {
	return &wire{Conn: c, turn: make(chan struct{}, 1)}
}

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
	}
	return n, err
}

// send writes whole frames, with one system call if the kernel takes them, and
// gives up at until. It leaves frames empty.
func (w *wire) send(frames *net.Buffers, until time.Time) error {
	if err := w.begin(until); err != nil {
		return err
	}
	defer w.end()
	if counted, ok := w.Conn.(*countedConn); ok {
		_, w.over = frames.WriteTo(counted.Conn) // only a TCP connection itself takes several at once
	} else {
		_, w.over = frames.WriteTo(w.Conn)
	}
	return w.over
}

// begin waits for the turn until the deadline, which then holds for what is
// written. After an error there is no turn to end.
func (w *wire) begin(until time.Time) error {
	select {
	case w.turn <- struct{}{}:
	default:
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		select {
		case w.turn <- struct{}{}:
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

func (w *wire) end() { <-w.turn }

// wiring lets gorilla take a connection over through a wire.
type wiring struct{ http.ResponseWriter }

func (w wiring) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if tcp, ok := c.(interface{ SetWriteBuffer(int) error }); ok {
		// The kernel would hold up to 4 MB for a slow viewer, minutes of fixes
		// that are old when they arrive. The queue is the place where the oldest
		// are dropped.
		tcp.SetWriteBuffer(64 << 10)
	}
	return newWire(c), rw, nil
}

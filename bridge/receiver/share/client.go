package share

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// client is a program that is served.
type client struct {
	conn  net.Conn
	limit int           // of queue, in bytes
	more  chan struct{} // holds a value when there is something to send, or the client is closed
	close func()        // may be called again and again

	mu     sync.Mutex
	queue  []byte
	joined bool // a line has begun since it came: it gets all from there
	torn   bool // what next returned last does not end a line
	closed bool
	half   bool // it sends no more, and may be gone
}

// sendBuffer bounds what the kernel holds for a client, which nothing drops: a client that does not read for a while would
// get minutes of old positions first.
const sendBuffer = 16 << 10

// newClient makes a client that comes in the middle of a line, or between two.
func newClient(conn net.Conn, midLine bool) *client {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // without it there is only more in the way
	}
	c := &client{conn: conn, limit: mostQueued, more: make(chan struct{}, 1), joined: !midLine}
	c.close = sync.OnceFunc(func() {
		_ = conn.Close() // an error changes nothing: the client is gone
		c.mu.Lock()
		c.closed = true
		c.mu.Unlock()
		c.wake()
	})
	return c
}

func (c *client) wake() {
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// add queues bytes, and returns how many were dropped for them.
func (c *client) add(p []byte) (dropped int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.joined {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return 0
		}
		c.joined = true
		p = p[i+1:]
	}
	if len(p) == 0 || c.closed {
		return 0
	}
	c.queue = append(c.queue, p...)
	dropped = c.trim()
	c.wake()
	return dropped
}

// trim drops the oldest whole lines until the queue is within its limit. The rest of a line of which a part is sent is kept.
// What has no line ends, or lines as long as the queue, is cut where it must be. The caller holds mu.
func (c *client) trim() (dropped int) {
	excess := len(c.queue) - c.limit
	if excess <= 0 {
		return 0
	}
	from := 0 // where the first line begins that may be dropped
	if c.torn {
		from = bytes.IndexByte(c.queue, '\n') + 1
	}
	end := -1
	if at := from + excess - 1; at < len(c.queue) {
		end = bytes.IndexByte(c.queue[at:], '\n')
	}
	to := from + excess + end
	if end < 0 {
		from, to = 0, excess
	}
	c.queue = append(c.queue[:from], c.queue[to:]...)
	return to - from
}

// next returns what is queued and gives the memory spare for what comes next; false when the client is closed.
func (c *client) next(spare []byte) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false
	}
	b := c.queue
	c.queue = spare
	if len(b) > 0 {
		c.torn = b[len(b)-1] != '\n'
	}
	return b, true
}

// send sends until the client is closed, gone or too slow, which it returns.
func (c *client) send() (slow bool) {
	var spare []byte
	for range c.more {
		b, open := c.next(spare[:0])
		if !open {
			return false
		}
		if err := c.write(b); err != nil {
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
		spare = b
	}
	return false
}

// write writes all of b. The time begins again with each part that the client reads.
func (c *client) write(b []byte) error {
	const part = 4 << 10
	for len(b) > 0 {
		if err := c.conn.SetWriteDeadline(time.Now().Add(slowTimeout)); err != nil {
			return err
		}
		n, err := c.conn.Write(b[:min(part, len(b))])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// drain reads what the client sends, only to notice when it goes. One that ends its side alone, as nc does when its
// standard input ends, goes on receiving.
func (c *client) drain() {
	_, err := io.Copy(io.Discard, c.conn)
	if err != nil {
		c.close()
		return
	}
	c.mu.Lock()
	c.half = true
	c.mu.Unlock()
}

func (c *client) halfClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.half
}

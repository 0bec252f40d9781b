package delivery

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// network carries bytes between the device and the server in memory. A packet is what one Write was given. Packets of one
// connection arrive in order, as TCP has it; packets of different connections may pass each other.
type network struct {
	mu     sync.Mutex
	random *rand.Rand
	path
	down      bool // half-open: nothing passes, and no end is informed
	downSince time.Time
	refused   error // of every attempt to connect; nil: the server listens
	accepted  chan net.Conn
	closed    chan struct{}
	open      map[*pair]bool
	dials     []time.Time
}

// sendBuffer is how many bytes an end holds for a peer that does not read: Linux starts with 16 to 87 KiB.
const sendBuffer = 64 << 10

// retransmit bounds the time that TCP needs to send a lost packet again.
const retransmit = 1200 * time.Millisecond

func newNetwork(random *rand.Rand) *network {
	return &network{random: random, accepted: make(chan net.Conn), closed: make(chan struct{}), open: map[*pair]bool{}}
}

// Accept, Close and Addr make it the server's listener.
func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accepted:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error   { close(n.closed); return nil }
func (n *network) Addr() net.Addr { return &net.TCPAddr{} }

// dialled is the number of attempts so far.
func (n *network) dialled() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return uint64(len(n.dials))
}

// dial connects the device to the server.
func (n *network) dial(ctx context.Context) (net.Conn, error) {
	n.mu.Lock()
	n.dials = append(n.dials, time.Now())
	refused, down, wait := n.refused, n.down, 2*n.latency
	n.mu.Unlock()
	if down {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if refused != nil {
		return nil, refused
	}
	p := &pair{network: n}
	there, back := newStream(n), newStream(n)
	p.device = &end{pair: p, in: back, out: there}
	p.server = &end{pair: p, in: there, out: back}
	n.mu.Lock()
	n.open[p] = true
	n.mu.Unlock()
	select {
	case n.accepted <- p.server:
		return p.device, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.closed:
		return nil, syscall.ECONNREFUSED
	}
}

// refuse has every attempt to connect fail, nil: no more.
func (n *network) refuse(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = err
}

// set changes what the line is like.
func (n *network) set(p path) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.latency, n.bandwidth, n.loss = p.latency, p.bandwidth, p.loss
}

// halfOpen has nothing pass any more, or again.
func (n *network) halfOpen(down bool) {
	n.mu.Lock()
	n.down = down
	if down {
		n.downSince = time.Now()
	}
	pairs := n.pairs()
	lasted := time.Since(n.downSince)
	n.mu.Unlock()
	for _, p := range pairs {
		if !down {
			p.device.out.resume(lasted)
			p.server.out.resume(lasted)
		}
		p.device.in.signal()
		p.server.in.signal()
	}
}

// cut resets all connections at both ends.
func (n *network) cut() { n.breakAll(syscall.ECONNRESET, syscall.ECONNRESET) }

// kill is the end of the device's process: the server still gets what was sent, and then the end.
func (n *network) kill() { n.breakAll(net.ErrClosed, io.EOF) }

func (n *network) breakAll(device, server error) {
	n.mu.Lock()
	pairs := n.pairs()
	clear(n.open)
	n.mu.Unlock()
	for _, p := range pairs {
		p.device.in.breakNow(device)
		if server == io.EOF {
			p.device.out.finish(io.EOF)
		} else {
			p.device.out.breakNow(server)
		}
	}
}

// pairs are the open connections. mu is held.
func (n *network) pairs() (all []*pair) {
	for p := range n.open {
		all = append(all, p)
	}
	return all
}

// delay is how long a packet is on its way, and how long it occupies the line.
func (n *network) delay(bytes int) (flight, line time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.bandwidth > 0 {
		line = time.Duration(bytes) * time.Second / time.Duration(n.bandwidth)
	}
	flight = n.latency
	if n.loss > 0 && n.random.Float64() < n.loss {
		flight += time.Duration(n.random.Int64N(int64(retransmit)))
	}
	return flight, line
}

func (n *network) isDown() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

// pair is one connection.
type pair struct {
	network        *network
	device, server *end
}

// stream is one direction of a connection.
type stream struct {
	network *network
	ready   chan struct{} // to the reader: look again
	space   chan struct{} // to the writer: look again

	mu     sync.Mutex
	queue  []packet
	bytes  int       // of the queue
	free   time.Time // when the line takes the next packet
	last   time.Time // when the last packet arrives
	ended  error     // what the reader gets after the queue
	broken error     // what both ends get at once
	unread time.Time // from when on the writer knows that the reader has closed; zero: it has not
}

type packet struct {
	data []byte
	sent time.Time
	at   time.Time // of its arrival
}

func newStream(n *network) *stream {
	return &stream{network: n, ready: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

func mark(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *stream) signal() { mark(s.ready); mark(s.space) }

// put sends a packet, if the buffer has room.
func (s *stream) put(data []byte) (ok bool, err error) {
	flight, line := s.network.delay(len(data))
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.broken != nil:
		return false, s.broken
	case s.ended != nil:
		return false, syscall.EPIPE
	case s.bytes > 0 && s.bytes+len(data) > sendBuffer:
		return false, nil
	}
	now := time.Now()
	if !s.unread.IsZero() {
		if now.Before(s.unread) {
			return true, nil
		}
		return false, syscall.EPIPE
	}
	s.free = latest(now, s.free).Add(line)
	s.last = latest(s.last, s.free.Add(flight))
	s.queue = append(s.queue, packet{append([]byte(nil), data...), now, s.last})
	s.bytes += len(data)
	mark(s.ready)
	return true, nil
}

// get takes what has arrived; until is when to look again, zero for at a signal.
func (s *stream) get(p []byte) (n int, until time.Time, err error) {
	down := s.network.isDown()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.broken != nil:
		return 0, until, s.broken
	case down, len(s.queue) == 0 && s.ended == nil:
		return 0, until, nil
	case len(s.queue) == 0:
		return 0, until, s.ended
	}
	head := &s.queue[0]
	if time.Now().Before(head.at) {
		return 0, head.at, nil
	}
	n = copy(p, head.data)
	head.data = head.data[n:]
	s.bytes -= n
	if len(head.data) == 0 {
		s.queue = s.queue[1:]
	}
	mark(s.space)
	return n, until, nil
}

// resume is the end of a time in which nothing passed: TCP tries again at intervals that have grown with it.
func (s *stream) resume(lasted time.Duration) {
	s.network.mu.Lock()
	again := time.Duration(s.network.random.Int64N(int64(min(lasted, 10*time.Second)) + 1))
	s.network.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.queue {
		s.queue[i].at = latest(s.queue[i].at, time.Now().Add(again))
		s.last = latest(s.last, s.queue[i].at)
	}
}

// finish ends the stream after what was sent.
func (s *stream) finish(err error) {
	s.mu.Lock()
	if s.ended == nil {
		s.ended = err
	}
	s.mu.Unlock()
	s.signal()
}

// breakNow ends it at once.
func (s *stream) breakNow(err error) {
	s.mu.Lock()
	if s.broken == nil {
		s.broken = err
	}
	s.mu.Unlock()
	s.signal()
}

// arrival is when the other end of a stream knows that it has ended.
func (n *network) arrival(s *stream) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return latest(time.Now().Add(n.latency), s.last)
}

// closeReader is the reader having closed: what is sent is lost, and the writer knows it from a time on.
func (s *stream) closeReader(known time.Time) {
	s.mu.Lock()
	s.unread = known
	s.queue, s.bytes = nil, 0
	s.mu.Unlock()
	s.signal()
}

// forget drops what the line has not taken yet, or could not deliver.
func (s *stream) forget() {
	down := s.network.isDown()
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.queue[:0]
	for _, p := range s.queue {
		if !down && time.Since(p.sent) > 0 {
			kept = append(kept, p)
		} else {
			s.bytes -= len(p.data)
		}
	}
	s.queue = kept
	s.ended = syscall.ECONNRESET
}

// end is a net.Conn.
type end struct {
	pair    *pair
	in, out *stream

	mu          sync.Mutex
	closed      bool
	linger      bool // Close forgets what was not delivered
	read, write time.Time
}

func (e *end) state() (closed bool, read, write time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed, e.read, e.write
}

func (e *end) Read(p []byte) (int, error) {
	for {
		closed, deadline, _ := e.state()
		if closed {
			return 0, net.ErrClosed
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		n, until, err := e.in.get(p)
		if n > 0 || err != nil {
			return n, err
		}
		await(e.in.ready, earliest(until, deadline))
	}
}

func (e *end) Write(p []byte) (int, error) {
	for {
		closed, _, deadline := e.state()
		if closed {
			return 0, net.ErrClosed
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		ok, err := e.out.put(p)
		if ok {
			return len(p), nil
		}
		if err != nil {
			return 0, err
		}
		await(e.out.space, deadline)
	}
}

// await waits for a signal, until a time at the most if that is not zero.
func await(signal <-chan struct{}, until time.Time) {
	if until.IsZero() {
		<-signal
		return
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-signal:
	case <-t.C:
	}
}

// SetLinger is that of a *net.TCPConn: with 0, Close resets the connection.
func (e *end) SetLinger(seconds int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.linger = seconds == 0
	return nil
}

func (e *end) Close() error {
	e.mu.Lock()
	was, linger := e.closed, e.linger
	e.closed = true
	e.mu.Unlock()
	if was {
		return net.ErrClosed
	}
	if linger {
		e.out.forget()
	}
	e.out.finish(io.EOF)
	n := e.pair.network
	e.in.closeReader(n.arrival(e.out))
	e.out.signal()
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.pair.device.isClosed() && e.pair.server.isClosed() {
		delete(n.open, e.pair)
	}
	return nil
}

func (e *end) isClosed() bool {
	closed, _, _ := e.state()
	return closed
}

func (e *end) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (e *end) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (e *end) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *end) SetReadDeadline(t time.Time) error {
	e.mu.Lock()
	e.read = t
	e.mu.Unlock()
	mark(e.in.ready)
	return nil
}

func (e *end) SetWriteDeadline(t time.Time) error {
	e.mu.Lock()
	e.write = t
	e.mu.Unlock()
	mark(e.out.space)
	return nil
}

// earliest is the earlier of two times that are not zero, or the other one.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

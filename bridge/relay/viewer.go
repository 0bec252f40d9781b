package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// viewerReadLimit bounds a message from a viewer, in bytes.
const viewerReadLimit = 4 << 10

// viewer is one member of a group: one goroutine writes to its connection, one
// reads from it. With publisher set it may send.
type viewer struct {
	// Set once.
	hub       *hub
	conn      *websocket.Conn // set by hub.start: a member is in its group before its handshake is answered
	peer      string          // remote address, for the log
	wire      *wire           // below conn
	grant     grant
	publisher bool // grant allows sending
	sky       bool // wants SKY
	nmea      bool // wants NMEA
	group     *group
	wake      chan struct{} // something to write
	room      chan struct{} // own has room again
	quit      chan struct{} // closed by shut
	readDone  chan struct{} // closed when read has ended
	writeDone chan struct{} // closed when write has ended

	// Owned by write.
	batch  []*message  // what send sends, kept for its memory
	frames net.Buffers // their frames

	// Guarded by group.mu.
	index     int
	number    uint64        // of all members of the group, in the order in which they joined
	lossLimit time.Duration // for how long it may go on losing messages

	// Guarded by mu.
	mu      sync.Mutex
	first   ring // what it gets for joining
	live    ring // from others: loses its oldest
	raw     ring // NMEA, apart from live so that it pushes no fix out
	own     ring // its own messages: loses nothing, read waits for room instead
	dropped uint64
	losing  time.Time // since it first lost a message; zero once it has taken all after that
	closing bool
	code    int
	reason  string
}

func newViewer(h *hub, peer string, w wishes) *viewer {
	return &viewer{
		hub: h, peer: peer, grant: w.grant, publisher: w.grant.role == sender, sky: w.sky, nmea: w.nmea,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		quit: make(chan struct{}), readDone: make(chan struct{}), writeDone: make(chan struct{}),
	}
}

// wants reports whether messages of class go to this viewer.
func (v *viewer) wants(class string) bool {
	switch class {
	case classSKY:
		return v.sky
	case classNMEA:
		return v.nmea
	}
	return true
}

// push queues m, which came at now; a full queue loses its oldest. It never blocks.
// A viewer that goes on losing without catching up is closed, however much it reads
// meanwhile. Under group.mu.
func (v *viewer) push(m *message, now time.Time) {
	v.mu.Lock()
	queue := &v.live
	if m.head.Class == classNMEA {
		queue = &v.raw
	}
	v.add(queue, m)
	lost := 0
	for queue.n > v.hub.limits.queue || queue.bytes > v.hub.limits.queueBytes && queue.n > 1 {
		queue.pop().release(&v.hub.queued)
		lost++
	}
	if lost > 0 && v.losing.IsZero() {
		v.losing = now
	}
	late := lost > 0 && now.Sub(v.losing) >= v.lossLimit
	if late { // the close frame must not wait
		lost += v.live.n + v.raw.n
		v.empty(&v.live, &v.raw)
	}
	first := v.dropped == 0 && lost > 0
	v.dropped += uint64(lost)
	v.mu.Unlock()
	signal(v.wake)
	if lost > 0 {
		v.hub.dropped.Add(int64(lost))
	}
	if first {
		v.hub.slowLog.Do(func() {
			v.hub.log.Info("viewer is slow and loses its oldest messages", "device_id", v.group.device, "viewer", v.peer)
		})
	}
	if late && v.shut(websocket.CloseTryAgainLater, "too slow for this group: its messages were lost all the time") {
		v.closedSlow("it lost messages all the time", v.lossLimit)
	}
}

// add puts m into one of the queues. Under mu.
func (v *viewer) add(queue *ring, m *message) {
	queue.push(m)
	m.hold(&v.hub.queued)
}

// empty drops what is in queues. Under mu.
func (v *viewer) empty(queues ...*ring) {
	for _, q := range queues {
		for q.n > 0 {
			q.pop().release(&v.hub.queued)
		}
		*q = ring{}
	}
}

// discard drops all that is queued, and returns its size in bytes.
func (v *viewer) discard() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	size := v.weight()
	v.empty(&v.first, &v.live, &v.raw, &v.own)
	return size
}

// weight is the size of all that is queued, in bytes. Under mu.
func (v *viewer) weight() int { return v.first.bytes + v.live.bytes + v.raw.bytes + v.own.bytes }

// closedSlow counts and logs that the viewer was closed for being slow.
func (v *viewer) closedSlow(why string, after time.Duration) {
	v.mu.Lock()
	dropped := v.dropped
	v.mu.Unlock()
	n := v.hub.closedSlow.Add(1)
	v.hub.closedLog.Do(func() { // a page comes back at once
		v.hub.log.Info("viewer closed: "+why, "device_id", v.group.device, "viewer", v.peer, "for", after, "dropped", dropped, "so_far", n)
	})
}

// echo queues the publisher's own message.
func (v *viewer) echo(m *message) {
	v.mu.Lock()
	v.add(&v.own, m)
	v.mu.Unlock()
	signal(v.wake)
}

// next takes what is to be written next, in the order of the group. It is released after that.
func (v *viewer) next() *message {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.first.n > 0 {
		return v.first.pop()
	}
	first := &v.live
	for _, q := range []*ring{&v.raw, &v.own} {
		if q.n > 0 && (first.n == 0 || q.at(0).n < first.at(0).n) {
			first = q
		}
	}
	if first == &v.own {
		signal(v.room)
	}
	return first.pop()
}

// shut asks the writer to send what is queued and then a close frame; the first
// call decides the code, and returns true.
func (v *viewer) shut(code int, reason string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closing {
		return false
	}
	v.closing, v.code, v.reason = true, code, reason
	close(v.quit)
	return true
}

func (v *viewer) isClosing() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.closing
}

// read is the goroutine that reads: control frames, and what a publisher sends.
// The viewer ends with it.
func (v *viewer) read() {
	err := v.readAll()
	v.explain(err)
	close(v.readDone)
	v.group.leave(v)
	var closed *websocket.CloseError
	var network net.Error
	if !errors.As(err, &closed) && !errors.As(err, &network) {
		v.linger()
	}
	v.conn.Close()
	v.hub.release()
	v.hub.log.Debug("left", "device_id", v.group.device, "viewer", v.peer, "why", err)
}

// explain sends the peer the reason of an error where gorilla does not, and
// waits until that is on its way.
func (v *viewer) explain(err error) {
	switch {
	case errors.Is(err, errFlood):
		v.shut(websocket.ClosePolicyViolation, closeReason(err))
	case errors.Is(err, websocket.ErrReadLimit): // sent already, unless the length was absurd
		v.shut(websocket.CloseMessageTooBig, "")
	default:
		return
	}
	<-v.writeDone
}

func (v *viewer) readAll() error {
	v.conn.SetReadLimit(viewerReadLimit)
	if v.publisher {
		v.conn.SetReadLimit(int64(v.hub.limits.message))
	}
	v.alive()
	v.conn.SetCloseHandler(v.answerClose)
	v.conn.SetPongHandler(func(string) error { v.alive(); return nil })
	v.conn.SetPingHandler(func(data string) error { v.alive(); return v.pong(data) })
	for {
		kind, data, err := v.conn.ReadMessage()
		if err != nil {
			return err
		}
		v.alive()
		v.received(kind, data)
	}
}

// answerClose answers the peer's close frame with its code, after what is queued. The peer may be waiting for its echoes.
func (v *viewer) answerClose(code int, _ string) error {
	if code == websocket.CloseNoStatusReceived && !v.wire.emptyClose() {
		code = websocket.CloseProtocolError
	}
	v.shut(code, "")
	limit := time.NewTimer(v.hub.limits.linger)
	defer limit.Stop()
	select {
	case <-v.writeDone:
	case <-limit.C: // it takes nothing
	}
	return nil
}

// pongTime is how long the reader waits until it may write the answer to a ping.
const pongTime = time.Second

// pong answers a ping, unless a message is on its way for so long that the
// answer has to wait: a peer that takes no messages is not waited for.
func (v *viewer) pong(data string) error {
	frame, _ := appendFrame(nil, pongFrame, []byte(data))
	err := v.wire.send(&net.Buffers{frame}, time.Now().Add(pongTime))
	if isTimeout(err) || errors.Is(err, websocket.ErrCloseSent) {
		return nil
	}
	return err
}

// received handles one data frame. After shut the frames are read and dropped:
// a connection that is closed with unread data takes its close frame with it.
func (v *viewer) received(kind int, data []byte) {
	select {
	case <-v.quit:
		return
	default:
	}
	switch {
	case kind == websocket.BinaryMessage:
		v.shut(websocket.CloseUnsupportedData, "send JSON in text frames")
	case !v.publisher && !utf8.Valid(data):
		v.shut(websocket.CloseInvalidFramePayloadData, errNotUTF8.Error())
	case !v.publisher:
		v.hub.ignored.Add(1)
	default:
		v.publish(data)
	}
}

// publish gives a publisher's frame to the group and waits for room for the
// next: a publisher that does not read its echoes is not read either.
func (v *viewer) publish(data []byte) {
	head, err := parseHeader(data)
	if err != nil {
		v.shut(websocket.CloseInvalidFramePayloadData, closeReason(err))
		return
	}
	if err := v.hub.publish(v.group.device, newMessage(head, data), v); err != nil {
		v.shut(websocket.CloseTryAgainLater, closeReason(err))
		return
	}
	waited := false
	for v.full() {
		waited = true
		select {
		case <-v.room:
		case <-v.quit:
			return
		case <-v.writeDone:
			return
		}
	}
	if waited {
		v.alive()
	}
}

// full reports whether too many of its own messages wait for this publisher.
func (v *viewer) full() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.own.n >= v.hub.limits.queue || v.own.bytes >= v.hub.limits.queueBytes
}

// alive extends the peer's deadline, unless it is being closed.
func (v *viewer) alive() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closing {
		v.conn.SetReadDeadline(time.Now().Add(v.hub.limits.pong))
	}
}

// linger reads what the peer is still sending, within bounds, so that the close
// frame that was sent is not lost to a reset.
func (v *viewer) linger() {
	v.conn.SetReadDeadline(time.Now().Add(v.hub.limits.linger))
	// Eight times what either may send at once.
	bound := int64(8 * viewerBurst)
	if v.publisher {
		bound = 8 * int64(v.hub.limits.message)
	}
	io.CopyN(io.Discard, v.wire.Conn, bound)
}

// closeReason fits an error into a close frame (123 bytes).
func closeReason(err error) string {
	s := err.Error()
	return s[:min(len(s), 120)]
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

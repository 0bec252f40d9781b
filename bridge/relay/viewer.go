package relay

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"gpsbridge/bridge/deflate"
	"gpsbridge/bridge/problem"
)

// viewer is one member of a group: one goroutine writes to its connection, one reads from it. With publisher set it may
// send.
type viewer struct {
	// Set once.
	hub       *hub
	conn      *websocket.Conn // set by hub.start: a member is in its group before its handshake is answered
	wire      *wire           // below conn
	peer      string          // remote address, for the log
	grant     grant
	publisher bool            // grant allows sending
	short     bool            // gets short acknowledgements in place of its own messages. Set before its goroutines start
	packed    bool            // counts in hub.packed
	packer    *deflate.Writer // compresses what it gets; nil for none. Owned by write
	group     *group
	budget    *rate.Limiter // of the bytes that it sends
	lossLimit time.Duration // for how long it may go on losing messages
	wake      chan struct{} // something to write
	room      chan struct{} // own or outbox has room again
	posted    chan struct{} // for publishAll: outbox has changed. nil where it does not run
	quit      chan struct{} // closed by shut
	writeDone chan struct{} // closed when write has ended
	sky       bool          // wants SKY
	nmea      bool          // wants NMEA

	// Guarded by group.mu. Beside nmea, as every message to every member looks at them.
	skip    seen      // what the store gave it, and may still come
	skipEnd time.Time // when nothing of that comes any more
	left    bool      // the group

	batch [batchMessages]*message // what send sends, kept for its memory. Owned by write

	// Guarded by mu.
	mu      sync.Mutex
	control []byte    // frames of pings and pongs, which go out before all messages
	first   queue     // what it gets for joining: the last SKY, the last fix, what the history gave up meanwhile
	past    uint64    // then the messages of the group's history from this number; advances under group.mu too
	until   uint64    // to this one
	live    queue     // from others: loses its oldest
	raw     queue     // NMEA, apart from live so that it pushes no fix out
	own     queue     // its own messages: loses nothing, read waits for room instead
	acks    acks      // of its own messages, with short
	heard   time.Time // when it sent a message last
	dropped uint64
	losing  time.Time // since it first lost a message; zero once it has taken all after that
	closing bool
	code    int
	reason  string
	outbox  outbox // its own messages before they are in own, where a layer carries them
}

// newViewer reads what the query asks for: want is what of before, and ?sky=1 and ?nmea=1 what of later.
func newViewer(h *hub, peer string, g grant, query url.Values) (v *viewer, want ask, err error) {
	v = &viewer{
		past: 1, // and until 0: nothing
		hub:  h, peer: peer, grant: g, publisher: g.role == sender, sky: query.Get("sky") == "1", nmea: query.Get("nmea") == "1",
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		quit: make(chan struct{}), writeDone: make(chan struct{}),
	}
	if v.publisher && h.layer != nil {
		v.posted = make(chan struct{}, 1)
	}
	want, err = askOf(query, v.publisher, h.limits.history)
	return v, want, err
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

// push queues m, which came at now; a full queue loses its oldest. It never blocks. A viewer that goes on losing without
// catching up is closed, however much it reads meanwhile. Under group.mu.
func (v *viewer) push(m *message, now time.Time) {
	q := &v.live
	if m.head.Class == classNMEA {
		q = &v.raw
	}
	v.mu.Lock()
	v.pushTo(q, m, now)
}

// rescue queues m, which the group's history gives up, where the viewer has not read it yet. Under group.mu.
func (v *viewer) rescue(m *message, now time.Time) {
	v.mu.Lock()
	if m.n < v.past || m.n > v.until {
		v.mu.Unlock()
		return
	}
	v.past = m.n + 1
	v.pushTo(&v.first, m, now)
}

// pushTo is push into q. Under group.mu, and mu, which it gives up.
func (v *viewer) pushTo(q *queue, m *message, now time.Time) {
	v.add(q, m)
	lost := 0
	for ; q.len() > v.hub.limits.queue || q.bytes > v.hub.limits.queueBytes && q.len() > 1; lost++ {
		q.pop().release(&v.hub.queued)
	}
	first := lost > 0 && v.dropped == 0
	if lost > 0 && v.losing.IsZero() {
		v.losing = now
	}
	late := lost > 0 && now.Sub(v.losing) >= v.lossLimit
	v.dropped += uint64(lost)
	v.mu.Unlock()
	signal(v.wake)
	if lost == 0 {
		return
	}
	v.hub.dropped.Add(int64(lost))
	if first {
		v.hub.slowLog.Do(func() {
			v.hub.log.Info("viewer is slow and loses its oldest messages", "device_id", v.group.device, "viewer", v.peer)
		})
	}
	if late {
		v.drop(websocket.CloseTryAgainLater, "too slow for this group: its messages were lost all the time")
	}
}

// add puts m into one of the queues. Under mu.
func (v *viewer) add(q *queue, m *message) {
	q.push(m)
	m.hold(&v.hub.queued)
}

// echo queues the publisher's own message, or enters it to be acknowledged. Under group.mu.
func (v *viewer) echo(m *message) {
	v.mu.Lock()
	v.settle(m)
	if v.left {
		v.mu.Unlock()
		return
	}
	due := true
	if v.short {
		due = v.acks.add(m.head, v.acknowledge)
	} else {
		v.add(&v.own, m)
	}
	due = due || v.closing
	v.mu.Unlock()
	if due {
		signal(v.wake)
	}
}

// acknowledge has what is held back acknowledged now.
func (v *viewer) acknowledge() {
	v.mu.Lock()
	v.acks.due = v.acks.count > 0
	v.mu.Unlock()
	signal(v.wake)
}

// maxControl bounds the pings and pongs that wait, in bytes: 16 of the longest. RFC 6455, section 5.5.3, asks for an answer
// to the last ping only.
const maxControl = 2 << 10

// sendControl queues a ping or a pong.
func (v *viewer) sendControl(opcode byte, data string) {
	v.mu.Lock()
	if len(v.control) < maxControl {
		v.control = appendFrame(v.control, opcode, []byte(data))
	}
	v.mu.Unlock()
	signal(v.wake)
}

// Bounds of what is written at once, which has one slow timeout for it all: no more than a full socket buffer takes at once
// when the kernel reports that there is room again, which it does when a third of the 64 kB is free.
const (
	batchBytes    = 8 << 10
	batchMessages = 16
)

// take returns what is to be written next, an acknowledgement and messages in the order of the group. They are released after that.
func (v *viewer) take() (control, ack []byte, batch []*message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	control, v.control = v.control, nil
	ack = v.acks.take(v.closing)
	batch = v.batch[:0]
	if v.first.len() == 0 && v.past <= v.until {
		batch = v.history(batch)
	}
	if len(batch) > 0 {
		return control, ack, batch
	}
	for size := 0; size < batchBytes && len(batch) < batchMessages; {
		m := v.next()
		if m == nil {
			break
		}
		batch = append(batch, m)
		size += len(m.frame)
	}
	if len(batch) == 0 {
		v.losing = time.Time{}
	}
	return control, ack, batch
}

// history appends messages of the history that are due, none where others must go out before them. It holds no list of them: a
// hundred viewers that read nothing would hold a hundred lists. Under mu, which it gives up meanwhile.
func (v *viewer) history(batch []*message) []*message {
	v.mu.Unlock()
	v.group.mu.Lock() // which comes before mu
	defer v.group.mu.Unlock()
	v.mu.Lock()
	if v.first.len() > 0 {
		return batch
	}
	list := v.group.history.messages()
	i, _ := slices.BinarySearchFunc(list, v.past, func(m *message, n uint64) int { return cmp.Compare(m.n, n) })
	for size := 0; i < len(list) && list[i].n <= v.until; i++ {
		if size >= batchBytes || len(batch) == batchMessages {
			v.past = list[i].n
			return batch
		}
		list[i].hold(&v.hub.queued)
		batch = append(batch, list[i])
		size += len(list[i].frame)
	}
	v.past = v.until + 1
	return batch
}

// next takes one message out of its queue; nil when there is none. Under mu.
func (v *viewer) next() *message {
	if v.first.len() > 0 || v.past <= v.until {
		return v.first.pop()
	}
	q := &v.live
	for _, other := range []*queue{&v.raw, &v.own} {
		if other.len() > 0 && (q.len() == 0 || other.oldest().n < q.oldest().n) {
			q = other
		}
	}
	if q == &v.own {
		signal(v.room)
	}
	return q.pop()
}

// weight is the size of all that is queued, in bytes. Under mu.
func (v *viewer) weight() int {
	return v.first.bytes + v.live.bytes + v.raw.bytes + v.own.bytes + v.outbox.bytes()
}

// discard drops all that is queued.
func (v *viewer) discard() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, q := range []*queue{&v.first, &v.live, &v.raw, &v.own} {
		for q.len() > 0 {
			q.pop().release(&v.hub.queued)
		}
		*q = queue{}
	}
	v.past, v.until = 1, 0
}

// shut asks the writer to send what is queued and then a close frame; the first call decides the code, and returns true.
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

// drop closes a member that costs the others too much, without what is queued for it.
func (v *viewer) drop(code int, reason string) {
	if v.shut(code, reason) {
		v.closedSlow(reason)
	}
	v.discard()
	v.mu.Lock()
	v.outbox.failed = true
	v.clearOutbox()
	v.mu.Unlock()
}

// closedSlow counts and logs that the member was closed for being slow, one a minute: a page comes back at once.
func (v *viewer) closedSlow(why string) {
	v.mu.Lock()
	dropped, queued := v.dropped, v.weight()
	v.mu.Unlock()
	n := v.hub.closedSlow.Add(1)
	v.hub.closedLog.Do(func() {
		v.hub.log.Info("member closed: "+why, "device_id", v.group.device, "member", v.peer, "dropped", dropped, "queued", queued, "so_far", n)
	})
}

func (v *viewer) isClosing() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.closing
}

// always is ready.
var always = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// write is the goroutine that writes: messages, pings and pongs, the close frame.
func (v *viewer) write() {
	defer close(v.writeDone)
	ping := time.NewTimer(v.hub.limits.ping)
	defer ping.Stop()
	for {
		more, err := v.send(time.Now().Add(v.hub.limits.slow))
		if err != nil {
			if isTimeout(err) && v.shut(websocket.CloseTryAgainLater, "") {
				v.closedSlow("it read no data")
			}
			v.wire.abort()
			return
		}
		wake := (<-chan struct{})(v.wake)
		if more {
			wake = always
		}
		select {
		case <-v.quit:
			v.finish()
			return
		case <-ping.C:
			ping.Reset(v.ping(time.Now()))
		case <-wake:
		}
	}
}

// ping sends a ping to a peer from which no message has come for as long as limits.ping, and returns when to look again. What a
// publisher sends shows as a pong does that the link stands, and keeps it open.
func (v *viewer) ping(now time.Time) (wait time.Duration) {
	v.mu.Lock()
	wait = v.heard.Add(v.hub.limits.ping).Sub(now)
	v.mu.Unlock()
	if wait > 0 {
		return wait
	}
	v.sendControl(pingFrame, "")
	return v.hub.limits.ping
}

// buffers hold several frames that are written together.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// send writes what is queued, as much as goes out at once, until the time that it is given. more is false when nothing was
// queued.
func (v *viewer) send(until time.Time) (more bool, err error) {
	control, ack, batch := v.take()
	switch {
	case len(control) == 0 && ack == nil && len(batch) == 0:
		return false, nil
	case len(control) == 0 && ack == nil && len(batch) == 1 && v.packer == nil:
		err = v.wire.send(batch[0].frame, until)
	default:
		all := buffers.Get().(*bytes.Buffer)
		all.Write(control)
		if ack != nil {
			v.frame(all, ack, nil)
		}
		for _, m := range batch {
			v.frame(all, m.data, m.frame)
		}
		err = v.wire.send(all.Bytes(), until)
		if all.Reset(); all.Cap() <= 4*batchBytes {
			buffers.Put(all)
		}
	}
	if err == nil {
		v.hub.delivered.Add(int64(len(batch)))
	}
	for _, m := range batch {
		m.release(&v.hub.queued)
	}
	clear(batch)
	return true, err
}

// frame writes a text as a frame: as it is made for all, if it is, or compressed for this member.
func (v *viewer) frame(all *bytes.Buffer, text, made []byte) {
	if made == nil {
		made = appendFrame(all.AvailableBuffer(), textFrame, text)
	}
	if v.packer != nil {
		v.hub.packedBytes.inflatedOut.Add(int64(len(made)))
		made = v.packer.AppendText(all.AvailableBuffer(), text)
		v.hub.packedBytes.out.Add(int64(len(made)))
	}
	all.Write(made)
}

// finish sends what is queued, and what comes back from the layer meanwhile, and the close frame, within limits.linger in all, and
// leaves the reader as long again to see the answer.
func (v *viewer) finish() {
	end := time.Now().Add(v.hub.limits.linger)
	late := time.NewTimer(v.hub.limits.linger)
	defer late.Stop()
	more, err := v.send(end)
	for (more || v.awaits(late.C)) && err == nil {
		more, err = v.send(end)
	}
	if err == nil {
		frame := appendFrame(nil, closeFrame, websocket.FormatCloseMessage(v.code, v.reason)) // set once quit is closed
		err = v.wire.send(frame, end.Add(v.hub.limits.linger/4))
	}
	if err != nil {
		v.wire.abort()
		return
	}
	v.conn.SetReadDeadline(time.Now().Add(v.hub.limits.linger))
}

// awaits waits for the next message that comes back, and is false when there is none, or it is late.
func (v *viewer) awaits(late <-chan time.Time) bool {
	v.mu.Lock()
	out := v.outbox.len()
	v.mu.Unlock()
	if out == 0 {
		return false
	}
	select {
	case <-v.wake:
		return true
	case <-late:
		return false
	}
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// read is the goroutine that reads: control frames, and what a publisher sends. The viewer ends with it.
func (v *viewer) read() {
	err := v.readAll()
	switch {
	case errors.Is(err, errFlood):
		v.shut(websocket.ClosePolicyViolation, closeReason(err))
	case problem.CodeOf(err) == deflate.BadData:
		v.shut(websocket.CloseInvalidFramePayloadData, "not as RFC 7692 compresses")
	case problem.CodeOf(err) == deflate.TooMuch:
		v.shut(websocket.CloseMessageTooBig, "")
	case errors.Is(err, websocket.ErrReadLimit): // gorilla sends no close frame where the length is absurd
		v.shut(websocket.CloseMessageTooBig, "")
	case !v.isClosing(): // the peer is gone
		v.wire.abort()
		v.shut(websocket.CloseNoStatusReceived, "")
	}
	// What is queued goes out first: the peer may be waiting for its echoes.
	limit := time.NewTimer(2 * v.hub.limits.linger)
	defer limit.Stop()
	select {
	case <-v.writeDone:
	case <-limit.C: // it takes nothing
		v.wire.abort()
		<-v.writeDone
	}
	v.group.leave(v)
	var closed *websocket.CloseError
	var network net.Error
	if !errors.As(err, &closed) && !errors.As(err, &network) {
		v.linger()
	}
	v.conn.Close()
	v.hub.log.Debug("left", "device_id", v.group.device, "viewer", v.peer, "why", err)
}

// viewerReadLimit bounds a message from a viewer, in bytes.
const viewerReadLimit = 4 << 10

func (v *viewer) readAll() error {
	v.conn.SetReadLimit(viewerReadLimit)
	if v.publisher {
		v.conn.SetReadLimit(int64(v.hub.limits.message))
	}
	v.alive()
	v.conn.SetPongHandler(func(string) error { v.alive(); return nil })
	v.conn.SetPingHandler(func(data string) error { v.alive(); v.sendControl(pongFrame, data); return nil })
	v.conn.SetCloseHandler(func(code int, _ string) error { // answered with the same code
		if code == websocket.CloseNoStatusReceived && !v.wire.emptyClose() {
			code = websocket.CloseProtocolError
		}
		v.shut(code, "")
		return nil
	})
	for {
		kind, data, err := v.conn.ReadMessage()
		if err != nil {
			return err
		}
		v.alive()
		v.received(kind, data)
	}
}

// alive extends the peer's deadline, unless it is being closed.
func (v *viewer) alive() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closing {
		v.conn.SetReadDeadline(time.Now().Add(v.hub.limits.pong))
	}
}

// received handles one data frame. After shut the frames are read and dropped: a connection that is closed with unread data
// takes its close frame with it.
func (v *viewer) received(kind int, data []byte) {
	v.mu.Lock()
	v.heard = time.Now()
	closing := v.closing
	v.mu.Unlock()
	switch {
	case closing:
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

// publish gives a publisher's frame to the group and waits for room for the next: a publisher that does not read its echoes
// is not read either.
func (v *viewer) publish(data []byte) {
	head, err := parseHeader(data)
	if err != nil {
		v.shut(websocket.CloseInvalidFramePayloadData, closeReason(err))
		return
	}
	m := newMessage(head, data)
	if v.hub.layer != nil {
		v.post(m)
		v.hub.boundQueues()
	} else if err := v.hub.publish(v.group.device, m, v); err != nil {
		v.shut(websocket.CloseTryAgainLater, closeReason(err))
		return
	}
	v.budget.ReserveN(time.Now(), messageCost)
	for v.full() {
		select {
		case <-v.room:
			v.alive()
		case <-v.quit:
			return
		case <-v.writeDone:
			return
		}
	}
}

// full reports whether too many of its own messages wait for this publisher.
func (v *viewer) full() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.own.len()+v.outbox.len() >= v.hub.limits.queue || v.own.bytes+v.outbox.bytes() >= v.hub.limits.queueBytes
}

// linger reads what the peer is still sending, within bounds, so that the close frame that was sent is not lost to a reset.
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

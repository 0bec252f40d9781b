package relay

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"sync/atomic"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	shared "gpsbridge/bridge/group"
)

// The classes that the relay treats differently; every other one goes to all members and is not kept.
const (
	classTPV  = "TPV"
	classSKY  = "SKY"
	classNMEA = "NMEA" // raw data of a receiver: for members that ask, never kept
)

// message is one text frame, made once and shared by all queues.
type message struct {
	// Set once.
	frame []byte
	data  []byte // as it was published: the end of frame
	head  header

	// n is the message's place in its group. Set under group.mu before anyone else has the message.
	n uint64

	queues atomic.Int32 // in how many queues of members it is
}

// hold counts one more queue that has m. total is the memory of all messages that are in a queue, each counted once.
func (m *message) hold(total *atomic.Int64) {
	if m.queues.Add(1) == 1 {
		total.Add(int64(m.size()))
	}
}

// release is the opposite of hold.
func (m *message) release(total *atomic.Int64) {
	if m.queues.Add(-1) == 0 {
		total.Add(int64(-m.size()))
	}
}

// header is the part of a message that the relay looks at.
type header struct {
	Class   string `json:"class"`
	Run     string `json:"run"`
	Seq     uint64 `json:"seq"`
	Backlog bool   `json:"backlog"`
}

// keySeed makes keys that a publisher cannot collide on purpose.
var keySeed = maphash.MakeSeed()

// key identifies a message by (run, seq); 0 when it has none.
func (h header) key() uint64 {
	if h.Run == "" || h.Seq == 0 {
		return 0
	}
	return max(1, maphash.Comparable(keySeed, struct {
		run string
		seq uint64
	}{h.Run, h.Seq}))
}

// groupKey is the key of a fix as the layer has it.
func (h header) groupKey() shared.Key {
	if h.key() == 0 {
		return shared.Key{}
	}
	return shared.Key{Run: h.Run, Seq: h.Seq}
}

// farSeq is by how many numbers no fix is late: 11 days at 10 Hz. If it is more, the number before was wrong, and the
// group's last fix must not stay the one that had it.
const farSeq = 10_000_000

// newer reports whether h is a later fix than last. A backlog message comes late: it is the last fix only when its own run
// shows that nothing newer came.
func (h header) newer(last header) bool {
	if h.Run != "" && h.Run == last.Run && h.Seq != 0 && last.Seq != 0 {
		return h.Seq > last.Seq || last.Seq-h.Seq > farSeq
	}
	return !h.Backlog
}

// newMessage frames a copy of data.
func newMessage(head header, data []byte) *message {
	frame := appendFrame(make([]byte, 0, maxFrameHeader+len(data)), textFrame, data)
	return &message{frame: frame, data: frame[len(frame)-len(data):], head: head}
}

// size is what the message costs in memory: its frame, the copies of its texts, and the structures around (measured: up to 200 bytes).
func (m *message) size() int { return len(m.frame) + len(m.head.Class) + len(m.head.Run) + 200 }

var errNotUTF8 = errors.New("text is not UTF-8")

// parseHeader checks that a publisher's frame is one JSON value in UTF-8 (a browser closes on anything else) and reads what
// the relay needs. A value without these members, even an array, is a message like any other.
func parseHeader(data []byte) (header, error) {
	if !utf8.Valid(data) {
		return header{}, errNotUTF8
	}
	var h header
	err := json.Unmarshal(data, &h)
	var otherType *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &otherType) {
		return header{}, fmt.Errorf("not JSON: %w", err)
	}
	return h, nil
}

// queue is a list of messages that knows its size in memory. Its owner sets its bounds. The zero queue is empty.
type queue struct {
	list  []*message // those before head were popped
	head  int
	bytes int
}

func (q *queue) len() int { return len(q.list) - q.head }

// messages are all of them, oldest first, until the queue changes.
func (q *queue) messages() []*message { return q.list[q.head:] }

func (q *queue) oldest() *message { return q.list[q.head] }

func (q *queue) push(m *message) {
	if len(q.list) == cap(q.list) && q.head > len(q.list)/2 { // the place of what was popped is enough
		n := copy(q.list, q.messages())
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	q.list = append(q.list, m)
	q.bytes += m.size()
}

// pop takes the oldest; nil when there is none.
func (q *queue) pop() *message {
	if q.len() == 0 {
		return nil
	}
	m := q.list[q.head]
	q.list[q.head] = nil
	q.bytes -= m.size()
	if q.head++; q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
	}
	return m
}

// remove takes out the message at place i, nearly always the first.
func (q *queue) remove(i int) {
	if i == 0 {
		q.pop()
		return
	}
	i += q.head
	q.bytes -= q.list[i].size()
	q.list = slices.Delete(q.list, i, i+1)
}

// seenKeys is how many keys a group remembers: eight windows of an uplink (32), 2 KiB. A repeat older than that goes out
// twice, and viewers recognise it by its key.
const seenKeys = 256

// seen remembers the keys of the last messages. A scan of 256 numbers side by side costs less than a map of them.
type seen []uint64

// add reports whether key was there already, and remembers it.
func (s *seen) add(key uint64) bool {
	if slices.Contains(*s, key) {
		return true
	}
	if len(*s) == seenKeys {
		*s = (*s)[:copy(*s, (*s)[1:])]
	}
	*s = append(*s, key)
	return false
}

// The parts of a frame's header (RFC 6455, section 5.2).
const (
	finalFrame = 0x80 // the message ends with this frame
	textFrame  = websocket.TextMessage
	closeFrame = websocket.CloseMessage
	pingFrame  = websocket.PingMessage
	pongFrame  = websocket.PongMessage
	length16   = 126 // in place of the length: it follows in 16 bits
	length64   = 127 // or in 64
)

// appendFrame appends data as one frame of a server, which does not mask.
func appendFrame(dst []byte, opcode byte, data []byte) []byte {
	dst = append(dst, finalFrame|opcode)
	switch n := len(data); {
	case n < length16:
		dst = append(dst, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, length16), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, length64), uint64(n))
	}
	return append(dst, data...)
}

// maxFrameHeader is two bytes and a length of 64 bits.
const maxFrameHeader = 10

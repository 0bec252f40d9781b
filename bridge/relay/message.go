package relay

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync/atomic"
	"unicode/utf8"
)

// The classes that the relay treats differently; every other one goes to all members
// and is not kept.
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

// farSeq is by how many numbers no fix is late: 11 days at 10 Hz. If it is more, the number before was wrong, and the group's
// last fix must not stay the one that had it.
const farSeq = 10_000_000

// newer reports whether h is a later fix than last. A backlog message comes late:
// it is the last fix only when its own run shows that nothing newer came.
func (h header) newer(last header) bool {
	if h.Run != "" && h.Run == last.Run && h.Seq != 0 && last.Seq != 0 {
		return h.Seq > last.Seq || last.Seq-h.Seq > farSeq
	}
	return !h.Backlog
}

// newMessage frames a copy of data.
func newMessage(head header, data []byte) *message {
	frame, start := appendFrame(make([]byte, 0, maxFrameHeader+len(data)), textFrame, data)
	return &message{frame: frame, data: frame[start:], head: head}
}

// size is what the message costs in memory: its frame and the structures around
// (measured: up to 200 bytes).
func (m *message) size() int { return len(m.frame) + 200 }

var errNotUTF8 = errors.New("text is not UTF-8")

// parseHeader checks that a publisher's frame is one JSON value in UTF-8 (a
// browser closes on anything else) and reads what the relay needs. A value
// without these members, even an array, is a message like any other.
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

// ring is a queue of messages that grows as needed and knows its size in
// memory. Its owner sets its bounds. The zero ring is empty.
type ring struct {
	buf   []*message
	head  int // index of the oldest
	n     int
	bytes int
}

// push appends m.
func (r *ring) push(m *message) {
	if r.n == len(r.buf) {
		grown := make([]*message, max(8, 2*len(r.buf)))
		for i := range r.n {
			grown[i] = r.at(i)
		}
		r.buf, r.head = grown, 0
	}
	r.buf[(r.head+r.n)%len(r.buf)] = m
	r.n++
	r.bytes += m.size()
}

// pop takes the oldest; nil when there is none.
func (r *ring) pop() *message {
	if r.n == 0 {
		return nil
	}
	m := r.buf[r.head]
	r.buf[r.head] = nil
	r.head = (r.head + 1) % len(r.buf)
	r.n--
	r.bytes -= m.size()
	return m
}

// at is the message i places after the oldest, 0 <= i < n.
func (r *ring) at(i int) *message { return r.buf[(r.head+i)%len(r.buf)] }

// last copies the newest k, oldest first.
func (r *ring) last(k int) []*message {
	k = min(k, r.n)
	out := make([]*message, k)
	for i := range k {
		out[i] = r.at(r.n - k + i)
	}
	return out
}

// seenKeys is how many keys a group remembers: eight windows of an uplink (32),
// 2 KiB. A repeat older than that goes out twice, and viewers recognise it by its key.
const seenKeys = 256

// seen remembers the keys of the last messages. A scan of 256 numbers side by
// side costs less than a map of them.
type seen struct {
	keys []uint64
	next int
}

// add reports whether key was there already, and remembers it.
func (s *seen) add(key uint64) bool {
	for _, k := range s.keys {
		if k == key {
			return true
		}
	}
	if len(s.keys) < seenKeys {
		s.keys = append(s.keys, key)
		return false
	}
	s.keys[s.next] = key
	s.next = (s.next + 1) % seenKeys
	return false
}

// The parts of a frame's header (RFC 6455, section 5.2).
const (
	finalFrame = 0x80 // the message ends with this frame
	textFrame  = 0x01
	pongFrame  = 0x0a
	length16   = 126 // in place of the length: it follows in 16 bits
	length64   = 127 // or in 64
)

// appendFrame appends data as one frame of a server, which does not mask, and
// returns where in the result the data begins.
func appendFrame(dst []byte, opcode byte, data []byte) (frame []byte, start int) {
	dst = append(dst, finalFrame|opcode)
	switch n := len(data); {
	case n < length16:
		dst = append(dst, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, length16), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, length64), uint64(n))
	}
	start = len(dst)
	return append(dst, data...), start
}

// maxFrameHeader is two bytes and a length of 64 bits.
const maxFrameHeader = 10

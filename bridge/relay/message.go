package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"unicode/utf8"
)

// The classes that the relay treats apart; every other one goes to all members
// and is not kept.
const (
	classTPV  = "TPV"
	classSKY  = "SKY"
	classNMEA = "NMEA" // what the receiver says, raw: for those who ask, never kept
)

// message is one text frame, made once and shared by all who wait for it.
type message struct {
	// Set once.
	frame []byte
	data  []byte // as it was published: the end of frame
	head  header

	// n is the message's place in its group. Set under group.mu before anybody
	// else has the message.
	n uint64
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

// newer says whether h is a later fix than last. A backlog message comes late:
// it is the last fix only when its own run shows that nothing newer came.
func (h header) newer(last header) bool {
	if h.Run != "" && h.Run == last.Run && h.Seq != 0 {
		return h.Seq > last.Seq
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

package uplink

import (
	"bytes"
	"encoding/json"
	"iter"
	"math"
	"strconv"
	"strings"
)

// Key identifies a message permanently among all messages of its group: the members run and seq.
type Key struct {
	Run string
	Seq uint64 // from 1
}

// keyDepth is how deep a message may lie in what a server sends: applications wrap it once ({"type", "data"}), in a list, as
// text, or in two of these.
const keyDepth = 3

// Keys returns the keys of all messages in a text frame: at the top level, or inside objects, arrays and strings of JSON down
// to three levels below it. A seq may be written as an integer, a float or a string. A frame that is not JSON has none.
func Keys(frame []byte) iter.Seq[Key] {
	return func(yield func(Key) bool) {
		if key, ok := keyOf(frame); ok && !yield(key) {
			return
		} else if ok && bytes.Count(frame, []byte(`run`)) == 1 {
			return // the usual frame: one message and nothing around it
		}
		s := search{yield: yield}
		s.text(frame, keyDepth, true)
	}
}

// keyOf returns the key at the top level, which is where that of a record of the queue is.
func keyOf(msg []byte) (key Key, ok bool) {
	if !bytes.Contains(msg, []byte(`"run"`)) {
		return key, false
	}
	var top struct {
		Run string `json:"run"`
		Seq number `json:"seq"`
	}
	if json.Unmarshal(msg, &top) != nil || top.Run == "" || top.Seq == 0 {
		return key, false
	}
	return Key{top.Run, uint64(top.Seq)}, true
}

// number is a positive whole number, written in any of JSON's ways; 0 for anything else.
type number uint64

// UnmarshalJSON never fails: what is not such a number is 0.
func (n *number) UnmarshalJSON(text []byte) error {
	*n = number(wholeNumber(strings.Trim(string(text), `"`)))
	return nil
}

func wholeNumber(text string) uint64 {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 1 || f >= 1<<53 || f != math.Trunc(f) { // 2^53: beyond it floats are not exact
		return 0
	}
	return uint64(f)
}

// search is one for keys in JSON. It keeps no value: a message of 1 MiB of small ones would be 50 MiB of them.
type search struct {
	yield func(Key) bool
	ended bool // yield wants no more
}

// text searches a text, if it is JSON, and depth levels below it; not its own level where the caller has that.
func (s *search) text(text []byte, depth int, known bool) {
	if depth < 0 || !bytes.Contains(text, []byte(`run`)) || !json.Valid(text) {
		return
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	s.value(d, depth, known)
}

// value searches the value that comes next, and returns it if it has no parts.
func (s *search) value(d *json.Decoder, depth int, known bool) (scalar any) {
	token, _ := d.Token() // the text is valid
	begin, hasParts := token.(json.Delim)
	if !hasParts {
		if text, is := token.(string); is {
			s.text([]byte(text), depth, false)
		}
		return token
	}
	var run string
	var seq uint64
	for d.More() && !s.ended {
		var name any
		if begin == '{' {
			name, _ = d.Token()
		}
		switch part := s.value(d, depth-1, false); name {
		case "run":
			run, _ = part.(string)
		case "seq":
			seq = sequence(part)
		}
	}
	_, _ = d.Token() // its end
	if depth >= 0 && !known && !s.ended && run != "" && seq > 0 {
		s.ended = !s.yield(Key{run, seq})
	}
	return nil
}

func sequence(v any) uint64 {
	switch v := v.(type) {
	case json.Number:
		return wholeNumber(v.String())
	case string:
		return wholeNumber(v)
	}
	return 0
}

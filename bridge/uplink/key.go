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
		if v, ok := parse(frame); ok {
			keysIn(v, keyDepth, yield, true)
		}
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

func parse(text []byte) (v any, ok bool) {
	if !bytes.Contains(text, []byte(`run`)) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return v, d.Decode(&v) == nil
}

// keysIn yields the keys in a value and depth levels below it; not those of its own level where the caller has them. It
// reports whether yield wants more.
func keysIn(v any, depth int, yield func(Key) bool, below bool) bool {
	switch v := v.(type) {
	case map[string]any:
		if run, is := v["run"].(string); is && run != "" && !below {
			if seq := sequence(v["seq"]); seq > 0 && !yield(Key{run, seq}) {
				return false
			}
		}
		for _, inner := range v {
			if depth > 0 && !keysIn(inner, depth-1, yield, false) {
				return false
			}
		}
	case []any:
		for _, inner := range v {
			if depth > 0 && !keysIn(inner, depth-1, yield, false) {
				return false
			}
		}
	case string:
		if inner, ok := parse([]byte(v)); ok {
			return keysIn(inner, depth, yield, false)
		}
	}
	return true
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

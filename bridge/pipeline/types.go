package pipeline

import (
	"bytes"
	"time"
)

// typesMax bounds the sentence types that are counted: receivers send some ten, four constellations forty. Noise with
// a valid checksum, one in 256, must not fill the memory.
const typesMax = 64

// typesWindow is the time over which a rate is measured: ten sentences of a receiver that sends one a second.
const typesWindow = 10 * time.Second

// SentenceType counts the sentences of one talker and type.
type SentenceType struct {
	Count uint64  `json:"count"`
	Rate  float64 `json:"rate"` // a second, over the last 10 to 20 seconds

	before uint64 // Count at the beginning of the window
}

// types counts sentences by talker and type, such as GNGGA. The zero value is ready.
type types struct {
	count map[string]*SentenceType
	since time.Time // the beginning of the window
	full  bool      // there was one before
}

// sentence counts one.
func (t *types) sentence(s []byte) {
	name := s[1:]
	if end := bytes.IndexByte(name, ','); end >= 0 {
		name = name[:end]
	}
	c := t.count[string(name)]
	if c == nil {
		if len(t.count) == typesMax {
			return
		}
		if t.count == nil {
			t.count = map[string]*SentenceType{}
		}
		c = &SentenceType{}
		t.count[string(name)] = c
	}
	c.Count++
}

// tick closes a window that is over. One that lasted much longer was a silence, after which the rates start again.
func (t *types) tick(now time.Time) {
	elapsed := now.Sub(t.since)
	if elapsed < typesWindow {
		return
	}
	for _, c := range t.count {
		c.Rate, c.before = float64(c.Count-c.before)/elapsed.Seconds(), c.Count
	}
	t.full, t.since = elapsed < 2*typesWindow, now
}

// status is a copy. Before the first window is over it gives the rates in it so far, and so it does when nothing comes that
// would close one.
func (t *types) status(now time.Time) map[string]SentenceType {
	all := make(map[string]SentenceType, len(t.count))
	so := now.Sub(t.since)
	for name, c := range t.count {
		of := SentenceType{Count: c.Count, Rate: c.Rate}
		if so >= typesWindow || !t.full && so >= time.Second {
			of.Rate = float64(c.Count-c.before) / so.Seconds()
		}
		all[name] = of
	}
	return all
}

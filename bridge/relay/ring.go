package relay

// ring is a queue of messages that grows as needed and knows its size in
// memory. Whoever owns it sets its bounds. The zero ring is empty.
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
// 2 KiB. A repeat older than that goes out twice, and viewers know it by its key.
const seenKeys = 256

// seen remembers the keys of the last messages. A scan of 256 numbers side by
// side costs less than a map of them.
type seen struct {
	keys []uint64
	next int
}

// add says whether key was there already, and remembers it.
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

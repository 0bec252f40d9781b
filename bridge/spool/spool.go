package spool

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// DefaultMax is the default bound in bytes. A fix is about 270 bytes as a record, so 32 MiB hold a day and a half at
// one fix a second, and leave room in the 96 MiB that a small board can spare.
const DefaultMax = 32 << 20

// recordOverhead is what a record costs in memory beside its payload: its entry in the queue and the allocator's
// rounding, which bound the memory that Max promises to bound.
const recordOverhead = 64

// maxReaders is the number of bits in record.acked.
const maxReaders = 32

// Errors that callers decide on.
var (
	ErrClosed   = errors.New("spool is closed")
	ErrTooLarge = errors.New("record is larger than the spool")
)

// Options say how a spool is opened. The zero value is a spool without readers, which keeps nothing.
type Options struct {
	// Max bounds the memory in bytes, overhead included. 0 means DefaultMax.
	Max int64
	// Readers name those who must acknowledge each record, 32 at the most, each name once.
	Readers []string
}

// Spool is a bounded queue of records. Its methods may be called from any goroutine.
type Spool struct {
	max     int64              // set once
	readers map[string]*Reader // set once
	all     uint32             // set once: the acked bits of all readers

	mu      sync.Mutex
	closed  bool
	wake    chan struct{} // closed and replaced when a record arrives or the last is acknowledged; closed for good by Close
	first   uint64        // position of records[0]
	records []record      // positions first, first+1, ...
	bytes   int64
	stats   Stats
}

type record struct {
	data  []byte
	at    time.Time
	acked uint32 // bit i: reader i has acknowledged it
}

func (r record) size() int64 { return int64(len(r.data)) + recordOverhead }

// Stats count what went through a spool since it was opened.
type Stats struct {
	Records  int     `json:"records"`              // held now
	Bytes    int64   `json:"bytes"`                // held now, overhead included
	MaxBytes int64   `json:"max_bytes"`            // the bound
	Appended uint64  `json:"appended"`             // records ever appended
	Dropped  uint64  `json:"dropped"`              // records that left unacknowledged because the spool was full
	Oldest   float64 `json:"oldest_age,omitempty"` // age of the oldest record held, in seconds
}

// Open returns an empty spool.
func Open(o Options) (*Spool, error) {
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	if o.Max < 0 {
		return nil, fmt.Errorf("open spool: max is %d bytes, want more than 0", o.Max)
	}
	if len(o.Readers) > maxReaders {
		return nil, fmt.Errorf("open spool: %d readers, want %d or fewer", len(o.Readers), maxReaders)
	}
	s := &Spool{max: o.Max, readers: map[string]*Reader{}, first: 1, wake: make(chan struct{})}
	for i, name := range o.Readers {
		if s.readers[name] != nil {
			return nil, fmt.Errorf("open spool: two readers are called %q", name)
		}
		s.readers[name] = &Reader{spool: s, bit: 1 << i}
		s.all |= 1 << i
	}
	return s, nil
}

// Append stores a record, without copying it, as the newest and returns its position. It never waits: a full spool
// drops its oldest records, counted. The caller must not change data afterwards. The error is ErrTooLarge, with the
// record counted as dropped, or ErrClosed.
func (s *Spool) Append(data []byte) (pos uint64, err error) {
	r := record{data: data, at: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, ErrClosed
	case r.size() > s.max:
		s.stats.Dropped++
		return 0, fmt.Errorf("append %d bytes: %w of %d bytes", len(data), ErrTooLarge, s.max)
	}
	for s.bytes+r.size() > s.max {
		s.stats.Dropped++
		s.removeOldest()
	}
	s.records = append(s.records, r)
	s.bytes += r.size()
	s.stats.Appended++
	pos = s.last()
	s.removeAcked() // with no readers, at once
	s.signal()
	return pos, nil
}

// signal wakes everybody who waits for a change. mu is held.
func (s *Spool) signal() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// Reader returns the reader of that name, nil when Options did not name it.
func (s *Spool) Reader(name string) *Reader { return s.readers[name] }

// Stats returns the counts as they stand.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Records, st.Bytes, st.MaxBytes = len(s.records), s.bytes, s.max
	if len(s.records) > 0 {
		st.Oldest = time.Since(s.records[0].at).Seconds()
	}
	return st
}

// Close ends every waiting Next with ErrClosed. What was not acknowledged by then is gone, and Stats still counts it
// as held.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.wake)
	}
	return nil
}

// last is the position of the newest record ever appended, 0 before the first.
func (s *Spool) last() uint64 { return s.first + uint64(len(s.records)) - 1 }

func (s *Spool) removeOldest() {
	s.bytes -= s.records[0].size()
	s.records[0] = record{} // lets the payload go before the array does
	s.records = s.records[1:]
	s.first++
}

func (s *Spool) removeAcked() {
	for len(s.records) > 0 && s.records[0].acked == s.all {
		s.removeOldest()
	}
}

package spool

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"
)

// state is what a log keeps beside records. Each segment begins with one, so the newest segment holds all of it and
// older ones may go.
type state struct {
	last    uint64            // the highest position ever given to a record, or reserved
	dropped uint64            // records ever lost to a full spool
	boot    [16]byte          // the boot of the machine in which it was written
	again   uint64            // how often acknowledgements had been taken back, see Reader.Again
	readers map[string]ranges // what each reader has acknowledged
}

// stateHeader is what a state occupies in bytes beside what it keeps of readers.
const stateHeader = 32

var errState = errors.New("malformed state")

// maxSpans bounds what a state keeps, of all readers together, of acknowledgements ahead of older records: 16 bytes each,
// so that a state takes a quarter of the smallest segment at the most. A window is 32 records and an outage leaves one
// span; what is beyond is sent again after a restart.
const maxSpans = 1024

// encode returns the record that keeps the state.
func (s state) encode() record {
	b := binary.LittleEndian.AppendUint64(nil, s.dropped)
	b = append(b, s.boot[:]...)
	b = binary.LittleEndian.AppendUint64(b, s.again)
	for _, name := range slices.Sorted(maps.Keys(s.readers)) {
		acked := s.readers[name]
		acked = acked[:min(len(acked), maxSpans/len(s.readers))]
		b = append(b, byte(len(name)))
		b = append(b, name...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(acked)))
		for _, sp := range acked {
			b = binary.LittleEndian.AppendUint64(b, sp.from)
			b = binary.LittleEndian.AppendUint64(b, sp.to)
		}
	}
	return record{kind: kindState, pos: s.last, at: time.Now().UnixMilli(), data: b}
}

// decodeState reads a kindState record. Its checksum held, so an error means a program that writes otherwise.
func decodeState(r record) (state, error) {
	s := state{last: r.pos, readers: map[string]ranges{}}
	b := r.data
	if len(b) < stateHeader {
		return s, errState
	}
	s.dropped = binary.LittleEndian.Uint64(b)
	copy(s.boot[:], b[8:])
	s.again = binary.LittleEndian.Uint64(b[24:])
	for b = b[stateHeader:]; len(b) > 0; {
		n := 1 + int(b[0])
		if len(b) < n+4 {
			return s, errState
		}
		name, spans := string(b[1:n]), int(binary.LittleEndian.Uint32(b[n:]))
		if b = b[n+4:]; spans > len(b)/16 {
			return s, errState
		}
		var acked ranges
		for ; spans > 0; spans-- {
			from, to := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
			if from > to || to > s.last {
				return s, errState
			}
			acked.add(from, to)
			b = b[16:]
		}
		s.readers[name] = acked
	}
	return s, nil
}

// join joins what two logs of one spool know. Where one of them does not know the last time that acknowledgements were taken back, which
// after a power cut may be either, it still has those: only what the other has acknowledged counts.
func (s *state) join(other state) {
	switch {
	case other.again > s.again:
		s.again, s.readers = other.again, maps.Clone(other.readers)
	case other.again < s.again:
		other.readers = nil
	}
	s.merge(other)
}

// merge adds what another state knows in which none of the acknowledgements was taken back. They and the counts only grow.
func (s *state) merge(other state) {
	s.last, s.dropped = max(s.last, other.last), max(s.dropped, other.dropped)
	for name, acked := range other.readers {
		mine := s.readers[name]
		mine.union(acked)
		s.readers[name] = mine
	}
}

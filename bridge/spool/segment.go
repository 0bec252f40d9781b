package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Format is the version of the format that this program writes, and the only one that it reads.
const Format = 2

const (
	segmentHeader = 32
	segmentMagic  = "gpsspool"
	segmentSuffix = ".seg"
	sealSize      = recordHeader + 8

	// maxSegment bounds a segment in bytes, so that a small board can read one whole. A day of fixes at 1 Hz
	// fills some 30.
	maxSegment = 1 << 20
	// minSegment leaves room for the largest messages (60 satellites take 6 KB) and twice the largest state.
	minSegment = 64 << 10
)

// entry is the place of one data record in a segment.
type entry struct {
	pos  uint64
	at   int64 // Unix ms
	off  uint32
	size uint32
}

// segment is one file of a log: header, state, records in the order of their positions, a seal once it is full.
type segment struct {
	base  uint64 // no record has a lower position; the file is named by it
	limit uint64 // records from here on are in later segments, whatever the file still holds
	size  int64  // of the file
	level uint32 // how often its records were thinned

	// owned by the writer
	count int    // data records published, -1 while that is not known
	total int64  // their size
	last  uint64 // position of the last of them
	end   int64  // where the next record goes

	// guarded by the log's guard
	file    file      // nil while it is not loaded
	index   []entry   // the needed records, while it is loaded
	live    int       // the number of needed records
	bytes   int64     // their size
	used    uint64    // when it was used last, in the log's ticks
	counted bool      // its damage has been counted
	away    bool      // it could not be read the last time, and that was logged
	retry   time.Time // not to be tried again before that, while it is away
}

// segmentName makes names sort as positions do.
func segmentName(base uint64) string { return fmt.Sprintf("%020d%s", base, segmentSuffix) }

func parseSegmentName(name string) (base uint64, ok bool) {
	digits, found := strings.CutSuffix(name, segmentSuffix)
	base, err := strconv.ParseUint(digits, 10, 64)
	return base, found && err == nil && segmentName(base) == name
}

func encodeHeader(base uint64, level uint32, size int64) []byte {
	b := append(make([]byte, 0, segmentHeader), segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, Format)
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	b = binary.LittleEndian.AppendUint64(b, base)
	b = binary.LittleEndian.AppendUint32(b, level)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// header is what the first bytes of a segment hold.
type header struct {
	version, level uint32
	size           int64
}

// parseHeader is not ok when the header is damaged, which costs nothing: the name has the base, and the rest is found
// by reading.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < segmentHeader || string(b[:8]) != segmentMagic ||
		crc32.Checksum(b[:28], castagnoli) != binary.LittleEndian.Uint32(b[28:]) {
		return h, false
	}
	return header{
		version: binary.LittleEndian.Uint32(b[8:]),
		size:    int64(binary.LittleEndian.Uint32(b[12:])),
		level:   binary.LittleEndian.Uint32(b[24:]),
	}, true
}

// encodeSeal summarises a full segment at a fixed place, so that opening need not read the records.
func (s *segment) encodeSeal() []byte {
	payload := binary.LittleEndian.AppendUint32(nil, uint32(s.count))
	payload = binary.LittleEndian.AppendUint32(payload, uint32(s.total))
	return appendRecord(nil, record{kind: kindSeal, pos: s.last, data: payload})
}

// readSeal takes over what the seal holds. It is not ok when there is none, or it is damaged: then the records have to
// be read.
func (s *segment) readSeal(f file) bool {
	var b [sealSize]byte
	if s.size < segmentHeader+sealSize {
		return false
	}
	if _, err := f.ReadAt(b[:], s.size-sealSize); err != nil {
		return false
	}
	r, ok := parseRecord(b[:])
	if !ok || r.kind != kindSeal || len(r.data) != 8 {
		return false
	}
	s.count, s.last = int(binary.LittleEndian.Uint32(r.data)), r.pos
	s.total = int64(binary.LittleEndian.Uint32(r.data[4:]))
	return true
}

// place returns the index of the first entry from pos on.
func (s *segment) place(pos uint64) int {
	if len(s.index) == 0 || s.index[0].pos >= pos { // the usual case: the oldest is asked for
		return 0
	}
	return sort.Search(len(s.index), func(i int) bool { return s.index[i].pos >= pos })
}

func (s *segment) put(e entry) {
	s.index = append(s.index, e)
	s.live++
	s.bytes += int64(e.size)
}

// take removes the entry of a record that no reader needs any more.
func (s *segment) take(i int) {
	s.live--
	s.bytes -= int64(s.index[i].size)
	if i == 0 {
		s.index = s.index[1:]
		return
	}
	s.index = append(s.index[:i], s.index[i+1:]...)
}

// read returns one record, checked again: a card may have lost since what it had at first.
func (s *segment) read(e entry) (record, error) {
	b := make([]byte, e.size)
	if _, err := s.file.ReadAt(b, int64(e.off)); err != nil && !errors.Is(err, io.EOF) {
		return record{}, err
	}
	r, ok := parseRecord(b)
	if !ok || r.kind != kindData || r.pos != e.pos {
		return record{}, errDamaged
	}
	return r, nil
}

// content is what reading a whole segment finds.
type content struct {
	records []entry // data, positions rising
	state   *state  // the last
	acks    []record
	last    uint64 // the highest position of any record
	end     int64
	damaged int
	clean   bool  // more may be written after the end
	away    error // most of it could not be read
}

// readContent reads all of a segment's file. What cannot be read at all counts as damaged.
func (s *segment) readContent(f file) content {
	b := make([]byte, s.size)
	var c content
	if n, err := f.ReadAt(b, 0); err != nil && n < len(b) {
		c.away = readBlocks(f, b)
	}
	h, ok := parseHeader(b)
	begin := min(segmentHeader, len(b))
	end, damaged := scan(b[begin:], func(off int, r record) { c.take(begin+off, r, s.limit) })
	c.end = int64(begin + end)
	c.damaged += damaged
	if !ok {
		c.damaged++
	}
	c.clean = c.damaged == 0 && h.size == s.size && c.state != nil
	return c
}

// take sorts in one record of the file. One that is not higher than the last was written again after a failure.
func (c *content) take(off int, r record, limit uint64) {
	switch r.kind {
	case kindData:
		if r.pos >= limit || len(c.records) > 0 && r.pos <= c.records[len(c.records)-1].pos {
			return
		}
		c.records = append(c.records, entry{pos: r.pos, at: r.at, off: uint32(off), size: uint32(r.size())})
	case kindState:
		st, err := decodeState(r)
		if err != nil {
			c.damaged++
			return
		}
		c.state, c.acks = &st, nil
	case kindAck:
		r.data = append([]byte(nil), r.data...) // the buffer is a whole segment
		c.acks = append(c.acks, r)
	}
	c.last = max(c.last, r.pos)
}

// readBlocks reads what can be read of a file with bad places, which stay zero. Where most of it cannot be, it is not the
// places that are bad: the error is the disk's.
func readBlocks(f file, b []byte) (away error) {
	const block = 4096
	good := 0
	for off := 0; off < len(b); off += block {
		part := b[off:min(off+block, len(b))]
		n, err := f.ReadAt(part, int64(off))
		if err == nil || errors.Is(err, io.EOF) {
			good++
			continue
		}
		good, away = good-1, err
		clear(part[n:])
	}
	if good >= 0 {
		return nil
	}
	return away
}

// noLimit is the limit of the newest segment.
const noLimit = math.MaxUint64

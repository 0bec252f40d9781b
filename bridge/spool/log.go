package spool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// log is a sequence of records in segment files. Two sides use it: one writer, which appends, syncs and makes room, and
// readers, which find and release. A durable log is written by a goroutine of its own while others read, so everything
// that both touch is guarded.
type log struct {
	// set once
	files   files
	guard   sync.Locker           // of segs, and of what a segment's comments call guarded
	needed  func(pos uint64) bool // by a reader; called with guard held
	kept    func() uint64         // segments with later positions stay when nothing of them is needed, see Reader.Retain; called with guard held
	state   func() record         // of kind state; called by the writer without guard
	durable bool                  // sync what is written, and keep a spare segment
	segment int64                 // size of a segment file
	max     int64                 // bound of all segment files
	floor   int64                 // of free space on the file system
	open    int                   // segments to keep loaded, 0 for all
	name    string                // for messages
	log     *slog.Logger

	// owned by the writer
	active *segment // takes the next records; nil before the first and after a failure
	spare  file     // in reserve, for what thinning leaves of two segments when the disk is full
	fresh  []entry  // written to active, not yet published
	buf    []byte   // of append

	// guarded
	segs    []*segment // in the order of their positions
	shut    bool       // nothing is to be opened any more
	newest  uint64     // at load, up to where there may be records
	opaque  bool       // at load, there are files of which it is not known what positions are in them
	foreign []Segment  // in a format of another version, found at load and left alone
	tick    uint64
	damaged uint64 // places or records that did not read back

	dropped atomic.Uint64 // records removed while they were needed
}

// Names of files before they are segments.
const (
	nextName  = "next"
	spareName = "spare"
)

// Errors of reading.
var (
	errDamaged = errors.New("damaged")
	errAway    = errors.New("cannot be read for now") // and may be when its disk is back
)

// errFull means that there is no room, and nothing that could be thinned to make some.
var errFull = errors.New("no room")

// limit sets in each segment where the next begins.
func (l *log) limit() {
	for i := 1; i < len(l.segs); i++ {
		l.segs[i-1].limit = l.segs[i].base
	}
}

// at returns the index of the segment that a position belongs to.
func (l *log) at(pos uint64) int {
	return max(0, sort.Search(len(l.segs), func(i int) bool { return l.segs[i].base > pos })-1)
}

// find returns the first needed record from a position on that can be read; no segment when there is none. The error is
// errAway when it passed over what cannot be read for now, or else the reason why nothing can be read.
func (l *log) find(pos uint64) (*segment, entry, error) {
	var away error
	for i := l.at(pos); i < len(l.segs); i++ {
		s := l.segs[i]
		if s.live == 0 {
			continue
		}
		if err := l.loaded(s); errors.Is(err, errAway) {
			away = err
			continue
		} else if err != nil {
			return nil, entry{}, err
		}
		if j := s.place(pos); j < len(s.index) {
			return s, s.index[j], away
		}
	}
	return nil, entry{}, away
}

// get returns a record that find has found. One that is not what was written is damaged: the error is errDamaged, and it
// is counted and gone. So is one that a log which is not durable does not give back; of another the error is errAway.
func (l *log) get(s *segment, e entry) (record, error) {
	r, err := s.read(e)
	switch {
	case err == nil:
		s.away = false
		return r, nil
	case l.durable && !errors.Is(err, errDamaged):
		l.passOver(s, err)
		return record{}, errAway
	}
	l.damaged++
	s.take(s.place(e.pos))
	return record{}, errDamaged
}

// data is get's payload. A segment in which reading fails is let go, to be read whole when it is looked at again, which
// distinguishes a bad place from a disk that is away: the error is errDamaged, and errAway only when that has been done.
func (l *log) data(s *segment, e entry) ([]byte, error) {
	again := !s.away && s != l.segs[len(l.segs)-1] // that is being written
	r, err := l.get(s, e)
	if again && errors.Is(err, errAway) {
		s.unload()
		err = errDamaged
	}
	return r.data, err
}

// release notes that a record is not needed any more.
func (l *log) release(pos uint64) error {
	if len(l.segs) == 0 {
		return nil
	}
	i := l.at(pos)
	if s := l.segs[i]; s.away && s.file == nil && i+1 < len(l.segs) { // the next was begun without knowing what is in this one
		i++
	}
	s := l.segs[i]
	if s.live == 0 || pos > s.last {
		return nil
	}
	if err := l.loaded(s); err != nil {
		return err
	}
	if i := s.place(pos); i < len(s.index) && s.index[i].pos == pos {
		s.take(i)
	}
	return nil
}

// recall gives the records after a position, a segment at a time, to a function that has some of them needed again, and finds those from
// then on. Segments that cannot be read are passed over. guard is held.
func (l *log) recall(after uint64, again func(records []entry)) {
	for _, s := range l.segs[min(l.at(after+1), len(l.segs)):] {
		c, err := l.content(s)
		if err != nil {
			continue
		}
		found := slices.DeleteFunc(c.records, func(e entry) bool { return e.pos > s.last }) // not published yet
		again(found[sort.Search(len(found), func(i int) bool { return found[i].pos > after }):])
		s.index, s.live, s.bytes = nil, 0, 0
		for _, e := range found {
			if l.needed(e.pos) {
				s.put(e)
			}
		}
		if s.file == nil { // it is read again when it is asked for
			s.index = nil
		}
	}
}

// held returns what is needed, in records and bytes.
func (l *log) held() (records int, bytes int64) {
	for _, s := range l.segs {
		records += s.live
		bytes += s.bytes
	}
	return records, bytes
}

// restore puts the log into its directory, which was opened again and may be empty or another: what is there under the name
// of a segment is used, what is open is copied, and the rest is lost. guard is held, and nothing is being written.
func (l *log) restore() (lost int) {
	kept := l.segs[:0]
	for _, s := range l.segs {
		switch f, err := l.files.open(segmentName(s.base)); {
		case err == nil:
			_ = f.Close() // it is opened again when it is read
			l.letGo(s)
		case s.file == nil || l.copy(s) != nil:
			lost += s.live
			l.letGo(s)
			continue
		}
		kept = append(kept, s)
	}
	clear(l.segs[len(kept):])
	l.segs = kept
	l.limit()
	if l.spare != nil {
		_ = l.spare.Close() // it is empty
		l.spare = nil
	}
	l.dropped.Add(uint64(lost))
	return lost
}

// letGo closes a segment and has the next record begin another.
func (l *log) letGo(s *segment) {
	s.unload()
	if s == l.active {
		l.abandon()
	}
}

// copy writes a segment whose file was deleted under its name again.
func (l *log) copy(s *segment) error {
	b := make([]byte, s.size)
	if _, err := s.file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	f, err := l.files.create(nextName, s.size)
	if err != nil {
		return err
	}
	if err := l.finish(f, nextName, segmentName(s.base), b); err != nil {
		return err
	}
	_ = s.file.Close() // it has no name any more
	s.file = f
	return nil
}

// capacity is the room for records in a segment.
func (l *log) capacity() int64 { return l.segment - sealSize }

// fits reports whether the active segment takes so many bytes more.
func (l *log) fits(size int64) bool { return l.active != nil && l.active.end+size <= l.capacity() }

// append writes records, in one write. Data among them has rising positions, higher than any before, and begins to be
// found when it is published. base names the segment that is begun when the active one is full.
func (l *log) append(base uint64, records ...record) error {
	b, first := l.buf[:0], len(l.fresh)
	for _, r := range records {
		if r.kind == kindData {
			l.fresh = append(l.fresh, entry{pos: r.pos, at: r.at, off: uint32(len(b)), size: uint32(r.size())})
		}
		b = appendRecord(b, r)
	}
	if l.buf = b; cap(b) > keptBuffer {
		l.buf = nil
	}
	if err := l.write(base, b); err != nil {
		l.fresh = l.fresh[:0] // all of them are to be appended again
		return err
	}
	for i := range l.fresh[first:] {
		l.fresh[first+i].off += uint32(l.active.end)
	}
	l.active.end += int64(len(b))
	return nil
}

// keptBuffer is the capacity in bytes up to which the buffer of append is used again: a tick's worth of records at
// 25 Hz.
const keptBuffer = 16 << 10

// write writes records to the end of the active segment, or of a new one.
func (l *log) write(base uint64, b []byte) error {
	if !l.fits(int64(len(b))) {
		if err := l.rotate(base); err != nil {
			return err
		}
	}
	if !l.fits(int64(len(b))) {
		return fmt.Errorf("write %s: %d bytes do not fit into a segment", l.name, len(b))
	}
	if _, err := l.active.file.WriteAt(b, l.active.end); err != nil {
		l.abandon()
		return fmt.Errorf("write %s: %w", l.name, err)
	}
	return nil
}

// sync makes what was appended durable. After an error it is not known what the file holds (the kernel forgets pages that
// it could not write), so nothing is written after it and what was not published is to be appended again.
func (l *log) sync() error {
	if l.active == nil {
		return nil
	}
	if err := l.active.file.Sync(); err != nil {
		l.abandon()
		return err
	}
	return nil
}

// abandon ends the active segment without a seal: opening has to read it.
func (l *log) abandon() { l.active, l.fresh = nil, nil }

// publish makes what was appended to be found. guard is held.
func (l *log) publish() {
	for _, e := range l.fresh {
		l.active.count++
		l.active.total += int64(e.size)
		l.active.last = e.pos
		if l.needed(e.pos) {
			l.active.put(e)
		}
	}
	l.fresh = l.fresh[:0]
}

// rotate begins a new segment.
func (l *log) rotate(base uint64) error {
	if n := len(l.segs); n > 0 {
		base = max(base, l.segs[n-1].base)
		l.guard.Lock()
		away := l.segs[n-1].away
		l.guard.Unlock()
		if away { // it is not known what positions are in it
			base = max(base, l.state().pos+1)
		}
	}
	for slices.ContainsFunc(l.foreign, func(s Segment) bool { return s.First == base }) {
		base++ // that file stays
	}
	if s := l.active; s != nil {
		l.active = nil
		// Without the seal opening takes longer, that is all: an error here is met again below.
		_, _ = s.file.WriteAt(s.encodeSeal(), s.size-sealSize)
	}
	f, err := l.room()
	if err != nil {
		return err
	}
	s := &segment{base: base, limit: noLimit, size: l.segment, last: base - 1, file: f, index: []entry{}, counted: true}
	b := appendRecord(encodeHeader(base, 0, l.segment), l.state())
	s.end = int64(len(b))
	if s.end > l.capacity()/2 {
		return errors.Join(fmt.Errorf("begin a segment of %s: %d bytes of state leave no room", l.name, s.end), f.Close())
	}
	if err := l.finish(f, nextName, segmentName(base), b); err != nil {
		return err
	}
	l.guard.Lock()
	defer l.guard.Unlock()
	if n := len(l.segs); n > 0 && l.segs[n-1].base == base { // it held no record yet; the new file has replaced it
		l.segs[n-1].unload()
		l.segs = l.segs[:n-1]
	}
	l.segs = append(l.segs, s)
	l.limit()
	l.evict()
	l.active = s
	return nil
}

// finish writes the beginning of a new segment's file and gives it its name, in place of a file that has it. The
// content is on the disk before the name is.
func (l *log) finish(f file, from, name string, b []byte) error {
	_, err := f.WriteAt(b, 0)
	if err == nil && l.durable {
		err = f.Sync()
	}
	if _, inMemory := f.(*memFile); err == nil && !(inMemory && l.fallback()) {
		err = l.files.rename(from, name)
	}
	if err == nil && l.durable {
		err = l.files.sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin a segment of %s: %w", l.name, err), f.Close())
	}
	return nil
}

// fallback reports whether files in memory stand in for files that could not be created.
func (l *log) fallback() bool {
	_, inMemory := l.files.(memory)
	return !inMemory && !l.durable
}

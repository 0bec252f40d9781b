package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// load reads the headers and seals of all segments and the content of the newest. It returns the state that it finds,
// and whether there was any segment.
func (l *log) load() (state, bool, error) {
	names, err := l.files.list()
	if err != nil {
		return state{}, false, err
	}
	slices.Sort(names)
	found := state{readers: map[string]ranges{}}
	for _, name := range names {
		base, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		found.last = max(found.last, base-1) // it was given, or was to be
		if s := l.loadHeader(name, base); s != nil {
			l.segs = append(l.segs, s)
		}
	}
	l.limit()
	for _, s := range l.segs {
		found.last = max(found.last, s.last)
	}
	for i := len(l.segs) - 1; i >= 0; i-- {
		c, err := l.content(l.segs[i])
		if err != nil {
			l.opaque = true
			continue // settle decides what becomes of it
		}
		for _, r := range c.acks {
			found.merge(state{last: r.pos, readers: map[string]ranges{string(r.data): {{r.pos, r.pos}}}})
		}
		found.last = max(found.last, c.last)
		if i == len(l.segs)-1 {
			l.newest = l.segs[i].base - 1
			if n := len(c.records); n > 0 {
				l.newest = max(l.newest, c.records[n-1].pos)
			}
		}
		if c.state != nil {
			found.merge(*c.state)
			found.boot, found.again = c.state.boot, c.state.again
			break // older ones add nothing
		}
	}
	return found, len(l.segs) > 0, nil
}

// loadHeader returns the segment of a file, nil when another version of the format has written it: that is left for the
// program that can read it. One that does not open may do so another time.
func (l *log) loadHeader(name string, base uint64) *segment {
	s := &segment{base: base, limit: noLimit, count: -1}
	f, err := l.files.open(name)
	if err == nil {
		defer f.Close()
		err = s.readHeader(f)
	}
	var other formatError
	switch {
	case err == nil:
		return s
	case errors.As(err, &other):
		l.log.Warn("a part of the spool is in a format that this version cannot read, and stays as it is: "+
			"run the version of gpsbridge that wrote it, or delete the file", "file", name, "format", uint32(other))
		l.foreign = append(l.foreign, Segment{Path: name, Format: uint32(other), First: base, Size: s.size})
		s = nil
	case !l.durable || errors.Is(err, fs.ErrNotExist):
		l.log.Warn("a part of the spool cannot be read and is left alone", "file", name, "err", err)
		s = nil
	default:
		l.passOver(s, err)
	}
	l.opaque = true
	return s
}

// formatError is the version of a format that is not known here.
type formatError uint32

func (e formatError) Error() string { return fmt.Sprintf("format %d is not known", uint32(e)) }

// readHeader takes over what the first and the last bytes of a file hold.
func (s *segment) readHeader(f file) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	s.size = min(size, 16*maxSegment) // a larger file is not the spool's, and is not read into memory whole
	var b [segmentHeader]byte
	_, _ = f.ReadAt(b[:], 0) // what cannot be read is not a header
	if h, ok := parseHeader(b[:]); ok {
		if h.version != Format {
			s.size = size
			return formatError(h.version)
		}
		s.level = h.level
	}
	s.readSeal(f)
	return nil
}

// content reads a segment whole.
func (l *log) content(s *segment) (content, error) {
	f := s.file
	if f == nil {
		var err error
		if f, err = l.files.open(segmentName(s.base)); err != nil {
			return content{}, err
		}
		defer f.Close()
	}
	return l.whole(s.readContent(f))
}

// whole returns what was read of a segment; an error where the disk of a durable log did not give it.
func (l *log) whole(c content) (content, error) {
	if l.durable && c.away != nil {
		return content{}, c.away
	}
	return c, nil
}

// settle finds out which records are needed, once it is known what was acknowledged by all. Segments of which none was
// are known by their seals, the others are read.
func (l *log) settle(acked ranges) error {
	for i, s := range l.segs {
		newest := i == len(l.segs)-1
		sealed := s.count >= 0 && s.last < s.limit
		switch {
		case sealed && len(acked) > 0 && acked.has(s.base) && acked.missing(s.base) > s.last:
		case sealed && !acked.overlaps(s.base, s.last):
			s.live, s.bytes = s.count, s.total
		default:
			c, err := l.fill(s)
			if err := l.lost(s, err); errors.Is(err, errAway) {
				s.live, s.bytes = max(1, s.count), s.total
			} else if err != nil {
				return err
			}
			if newest && !sealed && c.clean && s.size == l.segment {
				l.active = s
			}
		}
	}
	return nil
}

// fill loads a segment: its file is open and its index known.
func (l *log) fill(s *segment) (content, error) {
	f, err := l.files.open(segmentName(s.base))
	if err != nil {
		return content{}, err
	}
	if s.size == 0 { // it did not open before
		err = s.readHeader(f)
	}
	var c content
	if err == nil {
		c, err = l.whole(s.readContent(f))
	}
	if err != nil {
		return c, errors.Join(err, f.Close())
	}
	if s.count < 0 {
		s.count, s.total, s.end, s.last = len(c.records), 0, c.end, s.base-1
		for _, e := range c.records {
			s.total, s.last = s.total+int64(e.size), e.pos
		}
	}
	if !s.counted { // what the seal counted and is not there, or else the places that did not read
		s.counted = true
		l.damaged += uint64(c.damaged)
	} else if gone := s.count - len(c.records); gone > 0 { // since it was read the last time
		l.damaged += uint64(gone)
	}
	s.count = min(s.count, len(c.records))
	s.file, s.index, s.live, s.bytes = f, make([]entry, 0, len(c.records)), 0, 0
	for _, e := range c.records {
		if l.needed(e.pos) {
			s.put(e)
		}
	}
	return c, nil
}

// loaded makes the index of a segment usable, and lets go that of the one not used for longest.
func (l *log) loaded(s *segment) error {
	l.tick++
	s.used = l.tick
	if s.file != nil {
		return nil
	}
	if l.shut {
		return fs.ErrClosed
	}
	begin := time.Now()
	if s.away && begin.Before(s.retry) {
		return errAway
	}
	_, err := l.fill(s)
	if err := l.lost(s, err); err != nil {
		// A dying card takes seconds to fail, and acknowledgements of newer records must not wait for that each time.
		s.retry = time.Now().Add(max(diskTimeout, 10*time.Since(begin)))
		return err
	}
	l.evict()
	return nil
}

// evict lets go of what was not used for longest, so that memory and open files do not grow with the backlog. The newest
// segment stays: it is being written.
func (l *log) evict() {
	if l.open == 0 {
		return
	}
	var oldest *segment
	n := 0
	for _, s := range l.segs[:max(0, len(l.segs)-1)] {
		if s.file == nil {
			continue
		}
		if n++; oldest == nil || s.used < oldest.used {
			oldest = s
		}
	}
	if n > l.open {
		oldest.unload()
	}
}

// lost takes the error of opening a segment. Where it is the process that lacks something it is returned, to try again
// later. A file that is gone from its directory has its records counted as damaged. One that the disk does not give may be
// there another time, when the stick is plugged in again or the card has got over its hiccup: the error is errAway, and
// nothing of it is let go. A log that is not durable has no other disk to hope for.
func (l *log) lost(s *segment, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
		return err
	case l.durable && !(errors.Is(err, fs.ErrNotExist) && l.present()):
		l.passOver(s, err)
		return errAway
	}
	l.log.Warn("a part of the spool cannot be read", "file", segmentName(s.base), "records", s.live, "err", err)
	l.damaged += uint64(max(1, s.live))
	s.live, s.bytes = 0, 0
	return nil
}

// passOver logs once that a segment cannot be read for now.
func (l *log) passOver(s *segment, err error) {
	if !s.away {
		l.log.Warn("a part of the spool cannot be read for now and is kept: check the card and its mount",
			"file", segmentName(s.base), "records", s.live, "err", err)
	}
	s.away = true
}

// present reports whether the directory is there, by its newest file.
func (l *log) present() bool {
	f, err := l.files.open(segmentName(l.segs[len(l.segs)-1].base))
	if err == nil {
		_ = f.Close() // it was only looked at
	}
	return err == nil
}

func (s *segment) unload() {
	if s.file != nil {
		_ = s.file.Close() // nothing is lost: what counts was synced
		s.file, s.index = nil, nil
	}
}

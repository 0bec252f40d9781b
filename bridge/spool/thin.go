package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

// room returns the file for a new segment, and makes room for it when the log or the disk is full: what no reader needs
// goes first, then the oldest part is thinned. A log that is not durable may grow beyond its bound, by acknowledgements
// alone: before anything else is appended the spool makes room.
func (l *log) room() (file, error) {
	if err := l.sweep(); err != nil {
		return nil, err
	}
	for l.durable && l.full() {
		if err := l.shrink(); err != nil {
			return nil, err
		}
	}
	if l.low() { // other programs may be filling the disk: the log stops growing, and does not shrink in their favour
		if err := l.shrink(); err != nil {
			return nil, err
		}
	}
	f, err := l.newFile(nextName)
	if (errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)) && l.shrink() == nil {
		f, err = l.newFile(nextName)
	}
	return f, err
}

// full reports whether one more segment, beside the spare, would be too many.
func (l *log) full() bool {
	more := l.segment
	if l.durable {
		more += l.segment
	}
	return l.size()+more > l.max
}

// size is what the segments occupy, in bytes.
func (l *log) size() int64 { return int64(len(l.segs)) * l.segment }

// low reports whether one more segment would take from the free space that is to be left.
func (l *log) low() bool {
	if l.floor == 0 {
		return false
	}
	free, err := l.files.free()
	return err == nil && free < l.floor+l.segment
}

// newFile returns a file of the size of a segment.
func (l *log) newFile(name string) (file, error) {
	f, err := l.files.create(name, l.segment)
	if err != nil && l.fallback() {
		// A full tmpfs must not cost a record: until there is room again, what is appended does not outlive the process.
		return &memFile{size: l.segment}, nil
	}
	return f, err
}

// keepSpare sees to it that there is a spare: once the disk is full, thinning has nothing else to write to. Without one
// the oldest segment would have to go whole.
func (l *log) keepSpare() {
	if l.spare != nil || len(l.segs) == 0 || l.low() {
		return
	}
	l.spare, _ = l.files.create(spareName, l.segment) // to be tried again after the next sync
}

// sweep removes the segments of which nothing is needed nor kept, the newest excepted: it has the state.
func (l *log) sweep() error {
	l.guard.Lock()
	var dead []*segment
	kept, after := l.segs[:0], l.kept()
	for i, s := range l.segs {
		switch {
		case s.live > 0 || s == l.active || i == len(l.segs)-1:
			kept = append(kept, s)
		case s.last > after:
			s.unload()
			kept = append(kept, s)
		default:
			s.unload()
			dead = append(dead, s)
		}
	}
	clear(l.segs[len(kept):])
	l.segs = kept
	l.limit()
	l.guard.Unlock()
	var errs []error
	for _, s := range dead {
		errs = append(errs, l.remove(s))
	}
	return errors.Join(errs...)
}

func (l *log) remove(s *segment) error {
	if err := l.files.remove(segmentName(s.base)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a segment of %s: %w", l.name, err)
	}
	return nil
}

// forget removes the oldest segment of which nothing is needed, and reports whether there was one.
func (l *log) forget() bool {
	l.guard.Lock()
	i := slices.IndexFunc(l.segs[:max(0, len(l.segs)-1)], func(s *segment) bool { return s.live == 0 && s != l.active })
	if i < 0 {
		l.guard.Unlock()
		return false
	}
	s := l.segs[i]
	s.unload()
	l.segs = slices.Delete(l.segs, i, i+1)
	l.limit()
	l.guard.Unlock()
	_ = l.remove(s) // a file that stays is found at the next start, and not needed
	return true
}

// shrink frees at least a segment: one of which nothing is needed, or it joins two neighbours, of which half goes unless they fit as they
// are. When there are no two, or nothing to write the rest to, the oldest segment goes whole.
func (l *log) shrink() error {
	if l.forget() {
		return nil
	}
	l.guard.Lock()
	i := l.pair()
	l.guard.Unlock()
	if i >= 0 {
		f, err := l.spare, error(nil)
		if l.spare = nil; f == nil {
			f, err = l.newFile(spareName)
		}
		if err == nil {
			return l.join(i, f)
		}
	}
	if len(l.segs) < 2 {
		return fmt.Errorf("begin a segment of %s: %w", l.name, errFull)
	}
	l.guard.Lock()
	s := l.segs[0]
	l.segs = l.segs[1:]
	l.dropped.Add(uint64(s.live))
	s.unload()
	l.guard.Unlock()
	return l.remove(s)
}

// pair returns the index of the first of the two segments to join, -1 when there are none: two that fit into one
// without loss, else the least thinned two of the older half, the oldest of those. So a long outage comes to be held
// evenly, and its end as it was.
func (l *log) pair() int {
	last := len(l.segs) - 1 // of it the writer and the state need all
	for i := 0; i+1 < last; i++ {
		if l.segs[i].bytes+l.segs[i+1].bytes <= l.capacity()/2 {
			return i
		}
	}
	best, least := -1, uint64(math.MaxUint64)
	for i := 0; i+1 < last && (i == 0 || i < last/2); i++ {
		a, b := l.segs[i].level, l.segs[i+1].level
		// Neighbours thinned as often come first, then those thinned least. Thinning the unequal would thin out the border
		// between them again and again.
		if unequal := uint64(max(a, b)-min(a, b))<<32 | uint64(max(a, b)); unequal < least {
			best, least = i, unequal
		}
	}
	return best
}

// join writes what is needed of segments i and i+1 into one, which takes the place of the first by one rename. Until
// the second is removed its records are found twice, and those before its base count.
func (l *log) join(i int, f file) error {
	st := l.state()
	l.guard.Lock()
	a, b := l.segs[i], l.segs[i+1]
	s := &segment{base: a.base, limit: noLimit, level: max(a.level, b.level), size: l.segment, last: a.base - 1, index: []entry{}, counted: true}
	fits := segmentHeader+int64(st.size())+a.bytes+b.bytes <= l.capacity()
	if !fits {
		s.level++
	}
	buf := appendRecord(encodeHeader(s.base, s.level, s.size), st)
	kept, lost, buf, err := l.gather([]*segment{a, b}, buf, fits)
	l.guard.Unlock()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	for _, e := range kept {
		s.count, s.total, s.last = s.count+1, s.total+int64(e.size), e.pos
	}
	if _, err := f.WriteAt(s.encodeSeal(), s.size-sealSize); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := l.finish(f, spareName, segmentName(s.base), buf); err != nil {
		return err
	}
	l.guard.Lock()
	s.file = f
	for _, e := range kept {
		if l.needed(e.pos) { // it may have been acknowledged meanwhile
			s.put(e)
		}
	}
	a.unload()
	b.unload()
	l.segs[i] = s
	l.segs = append(l.segs[:i+1], l.segs[i+2:]...)
	l.limit()
	l.evict()
	l.dropped.Add(lost)
	l.guard.Unlock()
	return l.remove(b)
}

// gather appends the needed records of segments to buf: all, or every second. guard is held.
func (l *log) gather(segs []*segment, buf []byte, all bool) (kept []entry, lost uint64, _ []byte, err error) {
	n := 0
	for _, s := range segs {
		if err := l.loaded(s); errors.Is(err, errAway) { // what cannot be read goes first
			lost += uint64(s.live)
			continue
		} else if err != nil {
			return nil, 0, nil, err
		}
		for j := 0; j < len(s.index); n++ {
			e := s.index[j]
			if !all && (n%2 == 1 || int64(len(buf))+int64(e.size) > l.capacity()) {
				lost++
				j++
				continue
			}
			r, err := l.get(s, e)
			if errors.Is(err, errAway) {
				lost++
				j++
			}
			if err != nil {
				continue // get has taken out what is damaged
			}
			e.off = uint32(len(buf))
			buf = appendRecord(buf, r)
			kept = append(kept, e)
			j++
		}
	}
	return kept, lost, buf, nil
}

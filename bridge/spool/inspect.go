package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/directory"
)

// Listing is what a spool's directories hold.
type Listing struct {
	Segments []Segment
	Readers  []Place
	Records  int    // held: not acknowledged by every reader
	Bytes    int64  // of them, overhead included
	Dropped  uint64 // records ever dropped because there was no room
	Last     uint64 // the highest position ever given, or reserved
}

// Segment is one file of a spool.
type Segment struct {
	Path    string
	Format  uint32 // version of the format; of one that is not Format nothing else is known
	Recent  bool   // in the part that is not on the disk yet
	First   uint64 // position that names the file
	Last    uint64 // of the last record in it, First-1 when there is none
	Records int    // in the file, acknowledged or not
	Held    int    // of them not acknowledged by every reader
	Size    int64  // of the file in bytes
	Thinned int    // how often every second record was taken out
	Damaged int    // places that could not be read
}

// Place is how far a reader has come.
type Place struct {
	Name    string
	Acked   uint64 // everything up to here is acknowledged, or gone
	Waiting int    // records held that it has not acknowledged
}

// Record is one record as Dump gives it. Data is the function's to keep.
type Record struct {
	Pos     uint64
	Time    time.Time // when it was appended, by the system clock
	Data    []byte
	Waiting []string // the readers that have not acknowledged it
}

// Inspect reads the directories that a spool was opened with, whole, and changes nothing. A daemon may be using it: then the
// answer is as good as a moment ago. A directory without a spool is an error that is fs.ErrNotExist.
func Inspect(dir, runtime string) (Listing, error) {
	var l Listing
	places := map[string]*Place{}
	st, err := survey(dir, runtime, func(seg Segment, records []Record) error {
		for _, r := range records {
			l.Records++
			l.Bytes += int64(recordHeader + len(r.Data))
			for _, name := range r.Waiting {
				if places[name] == nil {
					places[name] = &Place{Name: name, Acked: r.Pos - 1}
				}
				places[name].Waiting++
			}
		}
		l.Segments = append(l.Segments, seg)
		return nil
	})
	if err != nil {
		return Listing{}, fmt.Errorf("inspect spool: %w", err)
	}
	l.Dropped, l.Last = st.dropped, st.last
	for _, name := range slices.Sorted(maps.Keys(st.readers)) {
		p := Place{Name: name, Acked: st.last}
		if places[name] != nil {
			p = *places[name]
		}
		l.Readers = append(l.Readers, p)
	}
	return l, nil
}

// Dump gives the records held, oldest first, and stops at the first error that each returns. It changes nothing, as
// Inspect.
func Dump(dir, runtime string, each func(Record) error) error {
	_, err := survey(dir, runtime, func(_ Segment, records []Record) error {
		for _, r := range records {
			if err := each(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("dump spool: %w", err)
	}
	return nil
}

// Drop acknowledges everything for every reader, and so empties the spool: it returns how many records were held. The
// error is a problem with CodeInUse while a daemon uses it.
func Drop(dir, runtime string) (records int, err error) {
	before, err := Inspect(dir, runtime)
	if err != nil {
		return 0, err
	}
	names := []string{"drop"} // when no reader is known
	if len(before.Readers) > 0 {
		names = nil
		for _, p := range before.Readers {
			names = append(names, p.Name)
		}
	}
	s, err := Open(Options{Dir: dir, Runtime: runtime, Readers: names, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	s.acknowledgeAll()
	return before.Records, s.Close()
}

// survey gives every segment with the records held that count in it, oldest first.
func survey(dir, runtime string, each func(Segment, []Record) error) (state, error) {
	recent, err := recentPath(dir, runtime)
	if err != nil {
		return state{}, err
	}
	disk, err := surveyed(dir)
	if err != nil {
		return state{}, err
	}
	defer disk.files.close()
	if _, err := disk.files.(readDirectory).Lstat(lockName); err != nil {
		return state{}, err
	}
	lately, err := surveyed(recent)
	if errors.Is(err, fs.ErrNotExist) {
		lately, err = &log{files: memory{}, guard: unguarded{}}, nil
	}
	if err != nil {
		return state{}, err
	}
	defer lately.files.close()
	st, _, err := disk.load()
	if err != nil {
		return st, err
	}
	now, _, err := lately.load()
	if err != nil {
		return st, err
	}
	st.join(now)
	for _, l := range []*log{disk, lately} {
		isRecent, after := l == lately, uint64(0)
		if isRecent {
			after = disk.newest
		}
		for _, s := range l.segs {
			seg, records, err := s.survey(l, st, after)
			if errors.Is(err, fs.ErrNotExist) { // a daemon has removed it meanwhile
				continue
			}
			if err != nil {
				return st, err
			}
			seg.Recent = isRecent
			if err := each(seg, records); err != nil {
				return st, err
			}
		}
		for _, seg := range l.foreign {
			seg.Path, seg.Recent = filepath.Join(l.name, seg.Path), isRecent
			if err := each(seg, nil); err != nil {
				return st, err
			}
		}
	}
	return st, nil
}

func surveyed(dir string) (*log, error) {
	d, err := directory.Open(dir)
	if err != nil {
		return nil, err
	}
	return &log{files: readDirectory{&onDisk{d}}, guard: unguarded{}, name: dir, log: slog.New(slog.DiscardHandler)}, nil
}

// survey reads one segment. Records up to a position are held elsewhere.
func (s *segment) survey(l *log, st state, after uint64) (Segment, []Record, error) {
	f, err := l.files.open(segmentName(s.base))
	if err != nil {
		return Segment{}, nil, err
	}
	defer f.Close()
	c := s.readContent(f)
	seg := Segment{
		Path: filepath.Join(l.name, segmentName(s.base)), Format: Format, First: s.base, Last: s.base - 1, Records: len(c.records),
		Size: s.size, Thinned: int(s.level), Damaged: c.damaged,
	}
	var records []Record
	for _, e := range c.records {
		seg.Last = e.pos
		waiting := st.waiting(e.pos)
		if e.pos <= after || len(waiting) == 0 && len(st.readers) > 0 {
			continue
		}
		s.file = f
		if r, err := s.read(e); err == nil {
			seg.Held++
			records = append(records, Record{Pos: r.pos, Time: time.UnixMilli(r.at), Data: r.data, Waiting: waiting})
		}
	}
	s.file = nil
	return seg, records, nil
}

// waiting names the readers that have not acknowledged a position.
func (s state) waiting(pos uint64) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(s.readers)) {
		if !s.readers[name].has(pos) {
			names = append(names, name)
		}
	}
	return names
}

// readDirectory is a directory of which nothing is written.
type readDirectory struct{ *onDisk }

func (d readDirectory) open(name string) (file, error) {
	f, err := d.OpenFile(name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Below returns the directories of spools that are one or two levels below a directory, as those of a daemon's devices are.
func Below(dir string) (all []string) {
	for _, level := range []string{"*", "*/*"} {
		locks, _ := filepath.Glob(filepath.Join(dir, level, lockName)) // an error is of a directory whose name is a wrong pattern
		for _, lock := range locks {
			all = append(all, filepath.Dir(lock))
		}
	}
	return all
}

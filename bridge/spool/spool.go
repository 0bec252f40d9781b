package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/problem"
)

const (
	// DefaultMax is the default bound in bytes of a spool in memory. A fix is about 300 bytes as a record, so 32 MiB hold
	// a day at one fix a second, and leave room in the 96 MiB that a small board can spare.
	DefaultMax = 32 << 20
	// defaultDiskMax is the default bound in bytes of a spool on disk: ten days at one fix a second.
	defaultDiskMax = 256 << 20
	// MinMax is the least bound in bytes: 16 of the smallest segments, so that there is something to thin.
	MinMax = 16 * minSegment
	// DefaultSync is how long a record may stay unacknowledged before it goes to the disk.
	DefaultSync = time.Second
	// recentMax bounds in bytes the log of what is not on the disk yet. Half of it is for what is kept after its acknowledgement
	// (Reader.Retain): ten minutes of fixes at 17 Hz. It holds six hours of fixes at 1 Hz should the disk fail, and is a sixteenth
	// of what the service may use (MemoryMax counts its pages on a tmpfs).
	recentMax = 8 << 20
	// diskTimeout is how long the disk may take for one batch before it counts as failed: three times what Linux allows
	// an SD card for one write (3 s).
	diskTimeout = 10 * time.Second
	// slowDisk is how long the disk may take for what it is given at once before the goroutine that writes it counts as hung: far above
	// diskTimeout, since to start again makes no card faster.
	slowDisk = 2 * time.Minute
	// noticeTime is how long Stats shows what was wrong and is over: long enough for a page or a monitor that asks once in
	// half a minute.
	noticeTime = time.Minute
)

// Codes of what Open finds wrong, and of Stats.Problem. The keys of the problems are those of the section [spool].
const (
	CodeInUse        problem.Code = "spool-in-use"             // by another process
	CodeDirUnusable  problem.Code = "spool-directory-unusable" // it cannot be made, opened or read
	CodeMaxTooSmall  problem.Code = "spool-max-too-small"      // less than MinMax
	CodeMinFree      problem.Code = "spool-min-free-negative"  // less than 0 bytes
	CodeSync         problem.Code = "spool-sync-negative"      // less than 0 s
	CodeDiskFull     problem.Code = "spool-disk-full"          // no space, or no quota, left
	CodeDiskReadOnly problem.Code = "spool-disk-read-only"     // as a worn card becomes
	CodeDiskFailed   problem.Code = "spool-disk-failed"        // any other error of writing
	CodeDirGone      problem.Code = "spool-directory-gone"     // and cannot be made again
	CodeDirDeleted   problem.Code = "spool-directory-deleted"  // and was made again: shown for noticeTime
	CodeDiskStalled  problem.Code = "spool-disk-stalled"       // no answer for diskTimeout
)

// Errors that callers decide on.
var (
	ErrClosed   = errors.New("spool is closed")
	errTooLarge = errors.New("record is too large for the spool")
)

// Options are how a spool is opened. The zero value is a spool without readers, which keeps nothing.
type Options struct {
	// Dir is the directory on disk; it is made when missing. Without it records are held in memory and end with the process.
	Dir string
	// Runtime is a directory on a tmpfs that outlives the process, such as $RUNTIME_DIRECTORY with
	// RuntimeDirectoryPreserve=yes. Records that are acknowledged within Sync are written there and never to Dir. Without
	// it they are written to Dir at once and synced after Sync.
	Runtime string
	// Max bounds the files in Dir, or else the memory, in bytes; MinMax or more. 0 means defaultDiskMax or DefaultMax.
	Max int64
	// MinFree is the space in bytes that others are left on the file system of Dir. Below it the spool stops growing.
	MinFree int64
	// Sync bounds what a power cut loses: the unacknowledged records of the time before it, and of what Reader.Late adds. 0 means
	// DefaultSync.
	Sync time.Duration
	// Readers name those that must acknowledge each record, each name once, of 255 bytes at the most. One that the spool
	// does not know begins at the oldest record that is held. One that is not named any more is forgotten. Without readers
	// nothing is kept, and Dir is left as it is.
	Readers []string
	// Beat, if set, is called by the goroutine that writes to the disk, with the time within which it will call it again
	// unless it hangs; 0 promises nothing, as after Close.
	Beat func(within time.Duration)
	// Log receives faults of the disk and their end, and damage. nil means slog.Default.
	Log *slog.Logger
}

// sizes of what the files of a spool hold, in bytes.
type sizes struct {
	segment int64 // a segment on the disk, or in memory
	recent  int64 // the recent log
}

func (o Options) sizes() sizes {
	return sizes{
		// A sixteenth of the bound in whole blocks of 4 KiB, within reason.
		segment: min(maxSegment, max(minSegment, o.Max/16)&^4095),
		recent:  min(recentMax, o.Max),
	}
}

// Spool is a bounded queue of records. Its methods may be called from any goroutine.
//
// Two locks keep Append away from the disk. mu is held for moments and guards what Append touches; out is the readers'
// side, held while they read files. A goroutine that takes both takes out first. What each reader has acknowledged is changed with
// both held, and so may be read with either.
type Spool struct {
	// set once
	max     int64
	every   time.Duration
	log     *slog.Logger
	beat    func(within time.Duration)
	readers map[string]*Reader
	boot    [16]byte
	disk    *log // nil when records are held in memory; its guard is out
	lock    *os.File
	hurry   chan struct{} // asks for what is not on the disk to be written now, with room for one
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when nothing runs in the background

	changes problem.Changes // of problem; owned by the goroutine that writes the disk, before it by Open

	writing sync.Mutex // held by the one writer of the disk log, taken before the others
	out     sync.Mutex
	mu      sync.Mutex

	// guarded as the readers' acknowledgements
	saved uint64 // up to here everything is on disk or acknowledged, or in asked
	asked ranges // what Reader.Again has asked for that is in the recent log alone
	again uint64 // how often that was

	// guarded by mu
	recent   *log // what is not on disk yet; in memory mode everything
	clock    clock
	closed   bool
	wake     chan struct{} // closed and replaced at each arrival, last acknowledgement and writing to the disk; closed for good by Close
	last     uint64
	appended uint64
	dropped  uint64           // at Open, and records that were too large
	changed  time.Time        // the first change of the state that is not on disk, zero when there is none
	partly   bool             // the state on disk lacks acknowledgements of records that others still want
	problem  *problem.Problem // why the disk could not be written the last time
	notice   *problem.Problem // what was wrong and is over
	noticed  time.Time
	busy     time.Time // since when the disk has been taking a batch, zero when it is not
}

// Stats count what went through a spool.
type Stats struct {
	Records  int     `json:"records"`              // held now
	Bytes    int64   `json:"bytes"`                // held now, overhead included
	MaxBytes int64   `json:"max_bytes"`            // the bound
	Appended uint64  `json:"appended"`             // records appended since it was opened
	Dropped  uint64  `json:"dropped"`              // records that left unacknowledged because there was no room, ever; a crash in the middle of thinning leaves its own out
	Damaged  uint64  `json:"damaged"`              // records or stretches of records that the disk did not give back, since it was opened
	Oldest   float64 `json:"oldest_age,omitempty"` // age of the oldest record held, in seconds; the time since Open for one of an earlier run whose clock was not set

	Problem *problem.Problem `json:"problem,omitempty"` // why records are not getting to the disk
}

// Open opens the spool in a directory, with what it holds, or an empty one in memory. The error is a problem that names the
// option, with CodeInUse where another process uses the directory; damage is not an error.
func Open(o Options) (*Spool, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := newSpool(o, o.sizes())
	if o.Dir == "" || len(o.Readers) == 0 {
		close(s.stopped)
		return s, nil
	}
	if err := s.openDisk(o); err != nil {
		return nil, directoryProblem(o.Dir, errors.Join(err, s.release()))
	}
	go s.run()
	return s, nil
}

// directoryProblem is the problem that err is, or that it is with the spool's directory.
func directoryProblem(dir string, err error) *problem.Problem {
	if p := problem.Of(err); p.Code != "" {
		return p
	}
	return &problem.Problem{Code: CodeDirUnusable, Key: "dir", Cause: fmt.Sprintf("%q cannot be used: %v", dir, err), Err: err,
		Fix: "give the directory to the user that runs gpsbridge, or name another"}
}

// newSpool returns a spool in memory.
func newSpool(o Options, z sizes) *Spool {
	s := &Spool{
		max: o.Max, every: o.Sync, log: o.Log, beat: o.Beat, readers: map[string]*Reader{}, wake: make(chan struct{}),
		hurry: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
		clock: clock{opened: time.Now()},
	}
	for _, name := range o.Readers {
		s.readers[name] = &Reader{spool: s, name: name, acked: ranges{{0, 0}}}
	}
	s.recent = &log{
		files: memory{}, guard: unguarded{}, needed: s.unsaved, kept: s.kept, state: func() record { return record{kind: kindState} },
		name: "the spool in memory", segment: z.segment, max: o.Max, log: o.Log,
	}
	return s
}

// complete puts the defaults in and checks the rest.
func (o *Options) complete() error {
	if o.Max == 0 {
		o.Max = DefaultMax
		if o.Dir != "" {
			o.Max = defaultDiskMax
		}
	}
	if o.Sync == 0 {
		o.Sync = DefaultSync
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Beat == nil {
		o.Beat = func(time.Duration) {}
	}
	switch {
	case o.Max < MinMax:
		return &problem.Problem{Code: CodeMaxTooSmall, Key: "max", Cause: fmt.Sprintf("%d bytes are too few", o.Max), Fix: fmt.Sprintf("use %d or more", MinMax)}
	case o.MinFree < 0:
		return &problem.Problem{Code: CodeMinFree, Key: "min_free", Cause: fmt.Sprintf("%d bytes are less than none", o.MinFree), Fix: "use 0 or more"}
	case o.Sync < 0:
		return &problem.Problem{Code: CodeSync, Key: "sync", Cause: fmt.Sprintf("%s is less than nothing", o.Sync), Fix: "use more than 0"}
	}
	for i, name := range o.Readers {
		if len(name) > 255 {
			return fmt.Errorf("name of reader %q is %d bytes, want 255 or fewer", name, len(name))
		}
		if slices.Contains(o.Readers[:i], name) {
			return fmt.Errorf("two readers are called %q", name)
		}
	}
	return nil
}

// unguarded is the guard of a log that is used under a lock anyway.
type unguarded struct{}

func (unguarded) Lock()   {}
func (unguarded) Unlock() {}

// change notes that the state on disk is not what it should be. mu is held.
func (s *Spool) change() {
	if s.changed.IsZero() {
		s.changed = time.Now()
	}
}

// signal wakes all that wait for a change. mu is held.
func (s *Spool) signal() {
	if !s.closed {
		close(s.wake)
		s.wake = make(chan struct{})
	}
}

// wanted reports whether a reader has yet to acknowledge a position. out or mu is held.
func (s *Spool) wanted(pos uint64) bool {
	for _, r := range s.readers {
		if !r.acked.has(pos) {
			return true
		}
	}
	return false
}

// unsaved reports whether the recent log needs a position. mu is held.
func (s *Spool) unsaved(pos uint64) bool { return (pos > s.saved || s.asked.has(pos)) && s.wanted(pos) }

// kept is the position after which a reader may ask for what it has acknowledged. out or mu is held.
func (s *Spool) kept() uint64 {
	after := uint64(math.MaxUint64)
	for _, r := range s.readers {
		if len(r.marks) > 0 {
			after = min(after, r.marks[0].low)
		}
	}
	return after
}

// stateHeld returns the state as a record. mu is held.
func (s *Spool) stateHeld() record {
	st := state{last: s.last, dropped: s.totalDropped(), boot: s.boot, again: s.again, readers: map[string]ranges{}}
	for name, r := range s.readers {
		st.readers[name] = r.acked
	}
	return st.encode()
}

func (s *Spool) stateRecord() record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stateHeld()
}

// totalDropped is Stats.Dropped. mu is held.
func (s *Spool) totalDropped() uint64 {
	n := s.dropped + s.recent.dropped.Load()
	if s.disk != nil {
		n += s.disk.dropped.Load()
	}
	return n
}

// Reader returns the reader of that name, nil when Options did not name it.
func (s *Spool) Reader(name string) *Reader { return s.readers[name] }

// Stats returns the counts as they stand.
func (s *Spool) Stats() Stats {
	s.out.Lock()
	defer s.out.Unlock()
	st := Stats{MaxBytes: s.max}
	var oldest *segment
	var e entry
	if s.disk != nil {
		st.Records, st.Bytes = s.disk.held()
		st.Damaged = s.disk.damaged
		if st.Records > 0 && s.lock != nil {
			oldest, e, _ = s.disk.find(0) // unreadable for now: its age is not known
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	records, bytes := s.recent.held()
	st.Records, st.Bytes, st.Damaged = st.Records+records, st.Bytes+bytes, st.Damaged+s.recent.damaged
	st.Appended, st.Dropped = s.appended, s.totalDropped()
	if oldest == nil && st.Records == records {
		oldest, e, _ = s.recent.find(0)
	}
	if oldest != nil {
		st.Oldest = s.clock.age(e.pos, e.at, time.Now()).Seconds()
	}
	switch {
	case s.problem != nil:
		st.Problem = s.problem
	case s.notice != nil && time.Since(s.noticed) < noticeTime:
		st.Problem = s.notice
	case s.diskTime() < 0:
		st.Problem = &problem.Problem{Code: CodeDiskStalled, Key: "dir",
			Cause: fmt.Sprintf("the disk has not answered for %s", time.Since(s.busy).Round(time.Second)), Fix: checkDisk}
	}
	return st
}

// Close ends every waiting Next with ErrClosed, writes to the disk what is not acknowledged, and unlocks the directory.
// An error means that the disk did not take it; it is then still in the Runtime directory. In memory what is not
// acknowledged is gone. Stats still counts it.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.wake)
	s.mu.Unlock()
	for _, r := range s.readers {
		r.Retain(0)
	}
	close(s.stop)
	<-s.stopped
	if s.disk == nil {
		return nil
	}
	err := s.follow()
	if err == nil {
		err = s.flush(true)
	}
	if err != nil {
		err = fmt.Errorf("close spool: %w", err)
		s.mu.Lock()
		_ = s.recent.append(s.last+1, s.stateHeld()) // what was dropped since the last; without it the count is too low
		s.mu.Unlock()
	}
	return errors.Join(err, s.release())
}

// openSegments is how many segments of the disk are kept loaded, each 100 KB for a full one: some for every place that
// is being read, the backlog and its end for each of a few readers.
const openSegments = 8

// reserved is the distance to the next positions when it is not known how many were given before a power cut: 13 years at
// 10 Hz, and room for 4 billion power cuts.
const reserved = 1 << 32

// openDisk makes the directories that are missing, takes the lock and opens what is there.
func (s *Spool) openDisk(o Options) error {
	made, err := directory.Make(o.Dir)
	if err != nil {
		return err
	}
	dir := &onDisk{made}
	if s.lock, err = lock(dir); err != nil {
		return errors.Join(err, dir.close())
	}
	recent, err := openRecent(dir, o.Runtime)
	if err != nil {
		s.log.Warn("the spool's runtime directory cannot be made, a daemon that is killed loses the fixes of its last second: "+
			"free space on its tmpfs, or correct spool.runtime", "err", err)
		return s.attach(o, o.sizes(), dir, memory{}, [16]byte{})
	}
	return s.attach(o, o.sizes(), dir, recent, bootID(recent.Name()))
}

// openRecent opens the directory of the recent log, and makes it when it is missing.
func openRecent(dir *onDisk, runtime string) (*onDisk, error) {
	if runtime == "" {
		made, err := dir.Make(recentName)
		return &onDisk{made}, err
	}
	path, err := recentPath(dir.Name(), runtime)
	if err != nil {
		return nil, err
	}
	made, err := directory.Make(path)
	return &onDisk{made}, err
}

// attach puts the spool on two directories, and takes over what they hold. No other goroutine has the spool yet.
func (s *Spool) attach(o Options, z sizes, disk, recent files, boot [16]byte) error {
	s.boot = boot
	s.disk = &log{
		files: disk, guard: &s.out, needed: s.wanted, kept: s.kept, state: s.stateRecord, durable: true, name: fmt.Sprintf("spool %q", o.Dir),
		segment: z.segment, max: o.Max, floor: o.MinFree, open: openSegments, log: o.Log,
	}
	s.recent = &log{
		files: recent, guard: unguarded{}, needed: s.unsaved, kept: s.kept, state: s.stateHeld, name: "recent part of " + s.disk.name,
		segment: min(z.segment, minSegment), max: z.recent, log: o.Log,
	}
	known, onDisk, err := s.disk.load()
	if err != nil {
		return err
	}
	lately, inRecent, err := s.recent.load()
	if err != nil {
		return err
	}
	sameBoot := inRecent && lately.boot == boot && boot != [16]byte{}
	if lately.dropped > known.dropped || lately.again != known.again || s.ackedSince(known, lately) {
		s.changed = time.Now()
	}
	known.join(lately)
	s.partly = true // what the recent log knows the disk may not
	s.last, s.dropped, s.again, s.saved = known.last, known.dropped, known.again, s.disk.newest
	if (onDisk || inRecent) && !sameBoot || s.disk.opaque || s.recent.opaque {
		s.last = (s.last/reserved + 1) * reserved
	}
	s.adopt(known.readers)
	if err := s.settle(); err != nil {
		return err
	}
	if n := s.disk.damaged + s.recent.damaged; n > 0 {
		s.log.Warn("parts of the spool are damaged and were passed over", "places", n)
	}
	if !sameBoot {
		// From here on both logs know this boot. An error is met again when there is something to write.
		_ = s.recent.rotate(s.last + 1)
		s.changed = time.Now()
		s.report(s.flush(false))
	}
	for _, r := range s.readers {
		r.advance()
	}
	return nil
}

// ackedSince reports whether the recent log knows of acknowledgements of records that the disk may have, and the disk does not.
func (s *Spool) ackedSince(known, lately state) bool {
	of := ranges{{0, s.disk.newest}}
	for name, acked := range lately.readers {
		if !slices.Equal(intersect(acked, of), intersect(known.readers[name], of)) {
			return true
		}
	}
	return false
}

// recentName is the directory of the recent log in that of the spool, where there is no runtime directory.
const recentName = "recent"

// recentPath is the directory of the recent log. In a runtime directory its name keeps spools apart: the positions of one
// mean nothing to another.
func recentPath(dir, runtime string) (string, error) {
	if runtime == "" {
		return filepath.Join(dir, recentName), nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	return filepath.Join(runtime, fmt.Sprintf("spool-%08x", crc32.Checksum([]byte(abs), castagnoli))), nil
}

// bootID identifies a boot of the machine: what the recent log has noted is of this boot when it is the same.
// On a tmpfs it is of this boot because it is there. Elsewhere it is zero where the boot cannot be known, as in a service
// that may see nothing of /proc but processes: then every start is taken for the first after a power cut.
func bootID(recent string) (id [16]byte) {
	if isTmpfs(recent) {
		copy(id[:], "tmpfs")
		return id
	}
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		copy(id[:], strings.ReplaceAll(string(bytes.TrimSpace(b)), "-", ""))
	}
	return id
}

// adopt gives the readers what they have acknowledged. A new one begins where all those before it had been.
func (s *Spool) adopt(known map[string]ranges) {
	all := intersect(slices.Collect(maps.Values(known))...)
	for name, r := range s.readers {
		acked, ok := known[name]
		if !ok {
			acked = all
		}
		r.acked.union(acked)
	}
}

// settle finds out which records a reader still wants, once it is known what each has acknowledged.
func (s *Spool) settle() error {
	var sets []ranges
	for _, r := range s.readers {
		sets = append(sets, r.acked)
	}
	all := intersect(sets...)
	if err := s.disk.settle(all); err != nil {
		return err
	}
	all.add(0, s.saved)
	return s.recent.settle(all)
}

// release lets go of the directories. Nothing runs in the background any more.
func (s *Spool) release() error {
	s.out.Lock()
	defer s.out.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, l := range []*log{s.disk, s.recent} {
		if l == nil {
			continue
		}
		l.shut = true
		for _, seg := range l.segs {
			seg.unload()
		}
		if l.spare != nil {
			errs = append(errs, l.spare.Close())
			if err := l.files.remove(spareName); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		errs = append(errs, l.files.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// Append stores a copy of a record as the newest and returns its position; without readers it only counts it. A full spool thins its
// oldest part, counted.
// The error is errTooLarge (above half a segment: 512 KiB in memory, 32 KiB with Dir, less when Max is small), ErrClosed,
// or that of writing; the record is then counted as dropped.
//
// It waits for the disk only when the recent log is full (8 MiB, or Max when that is less), which a burst can bring about
// and a receiver at its own pace cannot: then until the disk has taken a batch, of a quarter of a segment. When that
// takes more than 10 s, or the disk has failed, it waits no more and the recent log thins. It never waits for a sync that
// it does not need. With a Runtime directory it does not touch the disk; without one it writes to it, not synced, and that
// takes what the kernel makes it take.
func (s *Spool) Append(data []byte) (pos uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, ErrClosed
	}
	size := recordHeader + int64(len(data))
	if limit := s.recent.capacity() / 2; size > limit {
		s.drop()
		return 0, fmt.Errorf("append %d bytes: %w, which takes %d", len(data), errTooLarge, limit-recordHeader)
	}
	if len(s.readers) == 0 { // what is appended is acknowledged by all
		s.last++
		s.appended++
		return s.last, nil
	}
	s.makeRoom(size)
	if s.closed { // meanwhile
		return 0, ErrClosed
	}
	r := record{kind: kindData, pos: s.last + 1, at: s.clock.stamp(s.last+1, time.Now()), data: data}
	err = s.recent.append(r.pos, r)
	if err != nil { // in a new segment it may go
		err = s.recent.append(r.pos, r)
	}
	if err != nil {
		s.drop()
		return 0, fmt.Errorf("append: %w", err)
	}
	s.last = r.pos
	s.appended++
	s.recent.publish()
	s.signal()
	return r.pos, nil
}

// makeRoom sees to it that the recent log can take a record of so many bytes. Once it is half full the disk is to take
// it over, before it is due; a full one waits for that, and is thinned only where there is no working disk. mu is
// held, and given away while it waits.
func (s *Spool) makeRoom(size int64) {
	for !s.closed && !s.recent.fits(size) {
		_ = s.recent.sweep() // what could not be removed is not needed, and is found at the next start
		for s.recent.size() >= s.recent.max/2 && s.recent.forget() {
		}
		left := s.diskTime()
		if left > 0 && s.recent.size() > s.recent.max/2 {
			select {
			case s.hurry <- struct{}{}:
			default: // it was asked for
			}
		}
		switch {
		case !s.recent.full():
			return
		case left > 0:
			s.await(left)
		default:
			s.change() // of the count of what was dropped
			if s.recent.shrink() != nil {
				return // appending meets the error again and returns it
			}
		}
	}
}

// diskTime returns how much longer the disk may take for what it is at, 0 or less when there is none or it has failed.
// mu is held.
func (s *Spool) diskTime() time.Duration {
	switch {
	case s.disk == nil || s.problem != nil:
		return 0
	case s.busy.IsZero():
		return diskTimeout
	}
	return diskTimeout - time.Since(s.busy)
}

// await waits for the next signal, for a time at the most. mu is held, and given away meanwhile.
func (s *Spool) await(atMost time.Duration) {
	wake, timer := s.wake, time.NewTimer(atMost)
	s.mu.Unlock()
	defer s.mu.Lock()
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	}
}

// drop counts a record that could not be taken. mu is held.
func (s *Spool) drop() {
	s.dropped++
	s.change()
}

// lockName is the file that the one process holds which has a spool open. It stays when the spool is closed: the lock
// is on the file, not in its existence, so a crash leaves nothing to clear away.
const lockName = "lock"

// lock takes a directory for this process until the file is closed.
func lock(d *onDisk) (*os.File, error) {
	f, err := d.OpenFile(lockName, unix.O_RDWR|unix.O_CREAT, 0o600)
	if errors.Is(err, unix.EROFS) {
		f, err = d.OpenFile(lockName, unix.O_RDONLY, 0) // where there has been a spool before
	}
	if err != nil {
		return nil, err
	}
	if err := hold(f, d.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// hold takes the lock until f is closed.
func hold(f *os.File, dir string) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &problem.Problem{Code: CodeInUse, Key: "dir", Cause: fmt.Sprintf("another gpsbridge is using this spool: %q", dir), Err: err,
			Fix: "stop it, or give this one a directory of its own"}
	}
	if err != nil {
		return fmt.Errorf("lock %q: %w", dir, err)
	}
	return nil
}

// Free reports whether Open could use a directory now: a problem with CodeInUse names it. It changes nothing.
func Free(dir string) error {
	d, err := directory.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	f, err := d.OpenFile(lockName, unix.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(hold(f, dir), f.Close())
}

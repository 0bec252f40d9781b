package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// openSegments is how many segments of the disk are kept loaded, each 100 KB for a full one: some for every place that
// is being read, the backlog and its end for each of a few readers.
const openSegments = 8

// reserved is the distance to the next positions when nobody knows how many were given before a power cut: 13 years at
// 10 Hz, and room for 4 billion power cuts.
const reserved = 1 << 32

// openDisk makes the folders that are missing, takes the lock and opens what is there.
func (s *Spool) openDisk(o Options) error {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	var err error
	if s.lock, err = lock(o.Dir); err != nil {
		return err
	}
	recent, err := recentFolder(o.Dir, o.Runtime)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(recent, 0o700); err != nil {
		s.log.Warn("the spool's runtime folder cannot be made, a daemon that is killed loses the fixes of its last second: "+
			"free space on its tmpfs, or mend spool.runtime", "err", err)
		return s.attach(o, folder(o.Dir), memory{}, [16]byte{})
	}
	handOver(recent)
	return s.attach(o, folder(o.Dir), folder(recent), bootID(recent))
}

// attach puts the spool on two folders, and takes over what they hold. Nobody else knows the spool yet.
func (s *Spool) attach(o Options, disk, recent files, boot [16]byte) error {
	s.boot = boot
	s.disk = &log{
		files: disk, guard: &s.out, needed: s.wanted, state: s.stateRecord, durable: true, name: fmt.Sprintf("spool %q", o.Dir),
		segment: o.segment, max: o.Max, floor: o.MinFree, open: openSegments, log: o.Log,
	}
	s.recent = &log{
		files: recent, guard: unguarded{}, needed: s.unsaved, state: s.stateHeld, name: "recent part of " + s.disk.name,
		segment: min(o.segment, minSegment), max: o.recent, log: o.Log,
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
	if lately.dropped > known.dropped || s.ackedSince(known, lately) {
		s.changed = time.Now()
	}
	known.merge(lately)
	s.partly = true // what the recent log knows the disk may not
	s.last, s.dropped, s.saved = known.last, known.dropped, s.disk.newest
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

// ackedSince says whether the recent log knows of acknowledgements of records that the disk may have, and the disk does not.
func (s *Spool) ackedSince(known, lately state) bool {
	of := ranges{{0, s.disk.newest}}
	for name, acked := range lately.readers {
		if !slices.Equal(intersect(acked, of), intersect(known.readers[name], of)) {
			return true
		}
	}
	return false
}

// recentFolder is where the records are that are not in dir yet. In a runtime folder its name tells spools apart: the
// positions of one mean nothing to another.
func recentFolder(dir, runtime string) (string, error) {
	if runtime == "" {
		return filepath.Join(dir, "recent"), nil
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

// bootID tells one boot of the machine from the next: what the recent log has noted is of this boot when it is the same.
// On a tmpfs it is of this boot because it is there. Elsewhere it is zero where the boot cannot be known, as in a service
// that may see nothing of /proc but processes: then every start is taken for the first after a power cut.
func bootID(recent string) (id [16]byte) {
	var st unix.Statfs_t
	if err := unix.Statfs(recent, &st); err == nil && int64(st.Type) == unix.TMPFS_MAGIC {
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

// settle finds out which records somebody still wants, once it is known who has acknowledged what.
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

// release gives the folder free. Nothing runs in the background any more.
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
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

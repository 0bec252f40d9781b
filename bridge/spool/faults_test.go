package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// TestFaults lets each operation on the disk fail for a while, at each place where it is done.
func TestFaults(t *testing.T) {
	for _, op := range []string{"write", "sync", "create", "rename", "remove", "syncdir", "open", "read"} {
		t.Run(op, func(t *testing.T) {
			for nth := range 12 {
				m, n := newMachine(), 0
				m.max = 1 << 40
				m.disk.fail = func(what, name string) error {
					if what == op {
						if n++; n > nth && n <= nth+3 {
							return &fs.PathError{Op: what, Path: name, Err: unix.EIO}
						}
					}
					return nil
				}
				m.open(t, "r")
				want := map[uint64]string{}
				for i := range 60 {
					data := fmt.Sprint(i, strings.Repeat("x", 500))
					want[mustAppend(t, m.spool, data)] = data
					if i%3 == 0 {
						m.spool.report(m.spool.flush(false))
					}
				}
				m.disk.fail = nil
				if m.disk.behind > 0 {
					t.Errorf("fault %d: %d writes to a file in which nobody knows what is", nth, m.disk.behind)
				}
				if op == "read" || op == "open" { // what a disk does not give back is counted, not invented
					for pos, data := range contents(t, m.spool.Reader("r")) {
						if want[pos] != data {
							t.Fatalf("fault %d: %d is %q", nth, pos, data)
						}
					}
					continue
				}
				if got := contents(t, m.spool.Reader("r")); !maps.Equal(got, want) {
					t.Fatalf("fault %d: lost %v", nth, without(want, got))
				}
				if err := m.spool.Close(); err != nil {
					t.Fatalf("fault %d: %v", nth, err)
				}
				c := &machine{disk: onlySynced(m.disk), tmpfs: newSimFolder(), boot: 2}
				c.open(t, "r")
				if got := contents(t, c.spool.Reader("r")); !maps.Equal(got, want) {
					t.Fatalf("fault %d: a power cut lost %v", nth, without(want, got))
				}
			}
		})
	}
}

// TestFaultsOfTheRecentLog lets each operation on the tmpfs fail for a while: a record is held, or Append says that it is
// not, and that is counted.
func TestFaultsOfTheRecentLog(t *testing.T) {
	for _, op := range []string{"write", "create", "rename", "remove", "read"} {
		for nth := range 12 {
			m, n := newMachine(), 0
			m.max, m.recent = 1<<40, 4*testSegment
			m.open(t, "r")
			m.tmpfs.fail = func(what, name string) error {
				if what == op {
					if n++; n > nth && n <= nth+3 {
						return &fs.PathError{Op: what, Path: name, Err: unix.EIO}
					}
				}
				return nil
			}
			want, refused := map[uint64]string{}, uint64(0)
			for i := range 60 {
				data := fmt.Sprint(i, strings.Repeat("x", 500))
				pos, err := m.spool.Append([]byte(data))
				if err != nil {
					refused++
				} else {
					want[pos] = data
				}
				if i%10 == 9 {
					m.spool.report(m.spool.flush(false))
				}
			}
			m.tmpfs.fail = nil
			got, st := contents(t, m.spool.Reader("r")), m.spool.Stats()
			if wrong := without(got, want); len(wrong) > 0 {
				t.Fatalf("%s, fault %d: given %v otherwise", op, nth, wrong)
			}
			if st.Dropped != refused || uint64(len(want)-len(got)) != st.Damaged || op != "read" && st.Damaged > 0 {
				t.Fatalf("%s, fault %d: %d of %d are held, %d were refused, %+v", op, nth, len(got), len(want), refused, st)
			}
		}
	}
}

// TestThinningIsCutShort ends each time between the rename that replaces two segments and the removal of the second:
// what is in both is there once.
func TestThinningIsCutShort(t *testing.T) {
	m := newMachine()
	m.max = MinMax
	m.open(t, "r")
	m.disk.fail = func(op, name string) error {
		if op == "remove" {
			return unix.EIO
		}
		return nil
	}
	last := 0
	for n := 0; n < 3; last++ {
		mustAppend(t, m.spool, fmt.Sprintf("%d %s", last+1, strings.Repeat("x", 500)))
		if err := m.spool.flush(false); errors.Is(err, unix.EIO) {
			n++
			boot := m.disk
			m.disk = onlySynced(m.disk)
			m.disk.fail = boot.fail
			m.open(t, "r") // the tmpfs is still there
			got := contents(t, m.spool.Reader("r"))
			if st := m.spool.Stats(); st.Records != len(got) || st.Damaged != 0 || int(st.Dropped)+len(got)+n*2*testSegment/500 < last+1 {
				t.Fatalf("cut %d: %d records are given, %+v", n, len(got), st)
			}
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFewSegmentsAreLoaded reads a backlog of many segments.
func TestFewSegmentsAreLoaded(t *testing.T) {
	m := newMachine()
	m.max = 1 << 40
	m.open(t, "r")
	for range 500 {
		mustAppend(t, m.spool, strings.Repeat("x", 1000))
		if err := m.spool.flush(false); err != nil {
			t.Fatal(err)
		}
	}
	positions(t, m.spool.Reader("r"))
	loaded := 0
	for _, s := range m.spool.disk.segs {
		if s.file != nil {
			loaded++
		}
	}
	if n := len(m.spool.disk.segs); loaded > openSegments+1 || n < 3*openSegments {
		t.Errorf("%d of %d segments are loaded, want %d at the most", loaded, n, openSegments+1)
	}
}

// TestMemoryDoesNotGrowWithTheBacklog compares what a backlog takes in memory with what one four times as long takes.
func TestMemoryDoesNotGrowWithTheBacklog(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), Runtime: onTmpfs(t), Sync: time.Hour})
	const short, long = 30_000, 120_000
	after := func(n int) int64 {
		for s.Stats().Records < n {
			for range 1000 {
				mustAppend(t, s, string(fix))
			}
			if err := s.flush(false); err != nil {
				t.Fatal(err)
			}
		}
		for pos := uint64(1); pos < uint64(n); pos += 997 { // every segment is looked into
			if _, _, _, err := s.Reader("r").next(pos); err != nil {
				t.Fatal(err)
			}
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	few := after(short)
	if more := after(long) - few; more > (long-short)*4 { // an entry of an index takes 24 bytes
		t.Errorf("%d records take %d bytes more in memory than %d", long, more, short)
	}
}

// TestDeadDiskIsSaidOnce keeps records in the recent part while the disk takes nothing, says so once, and puts them on
// the disk when it comes back.
func TestDeadDiskIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newSimFolder()
		var said strings.Builder
		s := runOn(t, disk, newSimFolder(), slog.NewTextHandler(&said, nil), "r")
		synctest.Wait()
		var full atomic.Bool
		full.Store(true)
		disk.fail = func(op, name string) error {
			if full.Load() && (op == "write" || op == "create") {
				return unix.ENOSPC
			}
			return nil
		}
		for range 100 {
			mustAppend(t, s, "a fix")
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := strings.Count(said.String(), "level=ERROR"); n != 1 {
			t.Errorf("said %d times:\n%s", n, said.String())
		}
		if st := s.Stats(); st.Records != 100 || !strings.Contains(st.Fault, "no space left") {
			t.Errorf("%+v", st)
		}
		full.Store(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if st := s.Stats(); st.Fault != "" || !strings.Contains(said.String(), "again") {
			t.Errorf("after the fault: %+v\n%s", st, said.String())
		}
		c := &machine{disk: onlySynced(disk), tmpfs: newSimFolder(), boot: 2}
		c.open(t, "r")
		if n := len(contents(t, c.spool.Reader("r"))); n != 100 {
			t.Errorf("%d of 100 records are on the disk", n)
		}
		mustClose(t, s)
	})
}

// TestFullTmpfsCostsNothing has no room where every record goes first.
func TestFullTmpfsCostsNothing(t *testing.T) {
	m := newMachine()
	m.tmpfs.fail = func(op, name string) error {
		if op == "create" {
			return unix.ENOSPC
		}
		return nil
	}
	m.max = 1 << 40
	m.open(t, "r")
	for range 100 {
		mustAppend(t, m.spool, strings.Repeat("x", 1000))
	}
	if n := len(contents(t, m.spool.Reader("r"))); n != 100 {
		t.Errorf("%d of 100 records are held", n)
	}
	if err := m.spool.flush(false); err != nil {
		t.Fatal(err)
	}
	m.tmpfs = newSimFolder()
	m.boot++
	m.open(t, "r")
	if n := len(contents(t, m.spool.Reader("r"))); n != 100 {
		t.Errorf("%d of 100 records reached the disk", n)
	}
}

func TestFullDiskThinsAndCountsForEver(t *testing.T) {
	m := newMachine()
	m.max = MinMax
	m.open(t, "r")
	const n = 4000 // of 1 KB: four times the bound
	for i := range n {
		mustAppend(t, m.spool, fmt.Sprintf("%d %s", i+1, strings.Repeat("x", 1000)))
		if i%10 == 0 {
			if err := m.spool.flush(false); err != nil {
				t.Fatal(err)
			}
			if size := int64(len(m.disk.names)) * testSegment; size > MinMax {
				t.Fatalf("%d bytes are in use, bound %d", size, MinMax)
			}
		}
	}
	check := func(when string) {
		t.Helper()
		got := contents(t, m.spool.Reader("r"))
		st := m.spool.Stats()
		if len(got) != st.Records || uint64(len(got))+st.Dropped != n || len(got) < MinMax/2/1000 {
			t.Fatalf("%s: %d are held, %+v", when, len(got), st)
		}
		all := slices.Sorted(maps.Keys(got))
		if all[0] != 1 || all[len(all)-1] != n {
			t.Fatalf("%s: from %d to %d", when, all[0], all[len(all)-1])
		}
		for pos, data := range got {
			if !strings.HasPrefix(data, fmt.Sprint(pos, " ")) {
				t.Fatalf("%s: %d is %q", when, pos, data)
			}
		}
	}
	check("full")
	mustClose(t, m.spool)
	check2 := m.spool.Stats()
	m.powerCut(func() bool { return false })
	m.open(t, "r")
	check("opened again")
	if st := m.spool.Stats(); st.Dropped != check2.Dropped {
		t.Errorf("%d dropped, %d before it was closed", st.Dropped, check2.Dropped)
	}
}

// TestClosingCountsWhatItThins closes a full spool with one record to put on the disk, for which others have to go. What was
// acknowledged last has the state written beside it, from before that.
func TestClosingCountsWhatItThins(t *testing.T) {
	m := newMachine()
	m.max = MinMax
	m.open(t, "r")
	appendAndFlush(t, m.spool, 1500)
	mustAppend(t, m.spool, strings.Repeat("x", 1000))
	m.spool.Reader("r").Ack(1)
	m.spool.disk.active.end = m.spool.disk.capacity() // the next record begins a segment
	dropped := m.spool.Stats().Dropped
	mustClose(t, m.spool)
	m.powerCut(func() bool { return false })
	m.open(t, "r")
	if st := m.spool.Stats(); uint64(st.Records)+st.Dropped != 1500 || st.Dropped == dropped {
		t.Errorf("of 1500 records that nobody acknowledged, %d dropped before it was closed: %+v", dropped, st)
	}
}

// appendAndFlush appends records of 1 KB, and has them put on the disk ten at a time.
func appendAndFlush(t *testing.T, s *Spool, n int) {
	t.Helper()
	for i := range n {
		mustAppend(t, s, strings.Repeat("x", 1000))
		if i%10 == 9 {
			if err := s.flush(false); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestFloorOfFreeSpace(t *testing.T) {
	m := newMachine()
	m.max = 1 << 40
	m.open(t, "r")
	m.spool.disk.floor = 1 << 30
	for i := range 2000 {
		if m.disk.space = 1<<30 + 1<<20; i >= 500 {
			m.disk.space = 1 << 29 // somebody else has filled the disk
		}
		mustAppend(t, m.spool, strings.Repeat("x", 1000))
		m.spool.report(m.spool.flush(false))
		if i == 500 {
			n := len(m.disk.names)
			defer func() {
				if len(m.disk.names) > n || len(m.disk.names) < n/2 {
					t.Errorf("%d files, %d before the disk was full", len(m.disk.names), n)
				}
			}()
		}
	}
	if st := m.spool.Stats(); uint64(st.Records)+st.Dropped != 2000 || st.Records < 200 || st.Fault != "" {
		t.Errorf("%+v", st)
	}
}

// TestBadPlaceCostsWhatIsInIt has one block of a segment that does not read any more, once the segment is being read.
func TestBadPlaceCostsWhatIsInIt(t *testing.T) {
	m := newMachine()
	m.max = 1 << 40
	m.open(t, "r")
	for range 100 {
		mustAppend(t, m.spool, strings.Repeat("x", 1000))
	}
	if err := m.spool.flush(false); err != nil {
		t.Fatal(err)
	}
	r := m.spool.Reader("r")
	if got := contents(t, r); len(got) != 100 { // its index is known by now
		t.Fatalf("%d of 100 records are given", len(got))
	}
	segs := m.spool.disk.segs
	m.disk.names[segmentName(segs[1].base)].bad = span{4096, 8192}
	got := contents(t, r)
	if st := m.spool.Stats(); len(got) < 94 || len(got) == 100 || st.Damaged == 0 || st.Records != len(got) {
		t.Errorf("%d of 100 records are given, %+v", len(got), st)
	}
}

// TestDiskThatIsAwayLosesNothing takes the folder away while it holds a backlog, as a stick that is pulled out does, or has
// every file of it refuse to be opened or read: what was there is given when it is back.
func TestDiskThatIsAwayLosesNothing(t *testing.T) {
	for _, errno := range []error{fs.ErrNotExist, unix.EIO} {
		for _, op := range []string{"open", "read"} {
			if op == "read" && errno == fs.ErrNotExist {
				continue
			}
			t.Run(fmt.Sprint(op, " ", errno), func(t *testing.T) {
				m := newMachine()
				m.max = 1 << 40
				m.open(t, "r")
				const n = 200
				for range n {
					mustAppend(t, m.spool, strings.Repeat("x", 1000))
				}
				if err := m.spool.flush(false); err != nil {
					t.Fatal(err)
				}
				m.disk.fail = func(what, _ string) error {
					if what == op || op == "open" && (what == "create" || what == "remove") {
						return errno
					}
					return nil
				}
				live := mustAppend(t, m.spool, "live")
				if got := contents(t, m.spool.Reader("r")); got[live] != "live" {
					t.Errorf("what came meanwhile is not given")
				}
				m.spool.Reader("r").Ack(live)
				_ = m.spool.flush(false) // and what nobody needs is removed
				if low, st := m.spool.Reader("r").Acked(), m.spool.Stats(); low != 0 || st.Records != n {
					t.Errorf("away: acknowledged up to %d, %+v", low, st)
				}
				m.disk.fail = nil
				if got := contents(t, m.spool.Reader("r")); len(got) != n {
					t.Errorf("%d of %d records are given when it is back", len(got), n)
				}
				if st := m.spool.Stats(); st.Damaged != 0 {
					t.Errorf("%+v", st)
				}
				mustClose(t, m.spool)
			})
		}
	}
}

// TestSegmentThatCannotBeOpenedIsKept starts with one file of the disk log that does not open, as one of another owner: what
// comes meanwhile goes on, and what is in it is given once it opens.
func TestSegmentThatCannotBeOpenedIsKept(t *testing.T) {
	for _, which := range []int{0, 3, -1} {
		for _, reboot := range []bool{false, true} {
			t.Run(fmt.Sprint(which, " ", reboot), func(t *testing.T) {
				m := newMachine()
				m.max = 1 << 40
				m.open(t, "r")
				for i := range 60 {
					mustAppend(t, m.spool, fmt.Sprint(i, strings.Repeat("x", 1000)))
					if i%7 == 0 {
						m.spool.flush(false)
					}
				}
				want := contents(t, m.spool.Reader("r"))
				if reboot {
					mustClose(t, m.spool)
					m.powerCut(func() bool { return false })
				}
				segs := m.spool.disk.segs
				locked := segmentName(segs[(which+len(segs))%len(segs)].base)
				m.disk.fail = func(op, name string) error {
					if op == "open" && name == locked {
						return fs.ErrPermission
					}
					return nil
				}
				for range 2 { // starts
					m.open(t, "r")
					r := m.spool.Reader("r")
					for pos, data := range contents(t, r) {
						if want[pos] != "" && want[pos] != data {
							t.Fatalf("%d is %.10q", pos, data)
						}
						r.Ack(pos)
						delete(want, pos)
					}
					live := mustAppend(t, m.spool, "live")
					if got := contents(t, r); got[live] != "live" {
						t.Errorf("what comes meanwhile is not given: %v", got)
					}
					want[live] = "live"
					mustClose(t, m.spool)
				}
				if reboot && len(want) < 5 {
					t.Fatalf("only %d records were in %s", len(want), locked)
				}
				m.disk.fail = nil
				m.powerCut(func() bool { return false })
				m.open(t, "r")
				if lost := without(want, contents(t, m.spool.Reader("r"))); len(lost) > 0 {
					t.Errorf("lost %d records: %v", len(lost), lost)
				}
			})
		}
	}
}

// TestWhatCannotBeReadIsThinnedFirst fills a spool in which one file does not open: it stands in nobody's way, and is counted.
func TestWhatCannotBeReadIsThinnedFirst(t *testing.T) {
	m := newMachine()
	m.max = MinMax
	m.open(t, "r")
	appendAndFlush(t, m.spool, 500)
	s := m.spool.disk.segs[2]
	s.unload()
	m.disk.fail = func(op, name string) error {
		if op == "open" && name == segmentName(s.base) {
			return unix.EIO
		}
		return nil
	}
	appendAndFlush(t, m.spool, 3500)
	got, st := contents(t, m.spool.Reader("r")), m.spool.Stats()
	if len(got) != st.Records || uint64(len(got))+st.Dropped != 4000 || got[4000] == "" || m.disk.get(segmentName(s.base)) != nil {
		t.Errorf("%d are held, %+v", len(got), st)
	}
}

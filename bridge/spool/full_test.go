package spool

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
	m.tmpfs = newSimDirectory()
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
	if st := m.spool.Stats(); st.Dropped != check2.Dropped || st.Records != check2.Records || st.Bytes != check2.Bytes {
		t.Errorf("%+v, before it was closed %+v", st, check2)
	}
	check("opened again")
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
		t.Errorf("of 1500 unacknowledged records, %d dropped before it was closed: %+v", dropped, st)
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
			m.disk.space = 1 << 29 // another program has filled the disk
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
	if st := m.spool.Stats(); uint64(st.Records)+st.Dropped != 2000 || st.Records < 200 || st.Problem != nil {
		t.Errorf("%+v", st)
	}
}

// TestFloorIsExact: a segment that leaves just what is to be left is begun.
func TestFloorIsExact(t *testing.T) {
	const floor = 1 << 30
	for free, grows := range map[int64]bool{floor + testSegment: true, floor + testSegment - 1: false} {
		m := newMachine()
		m.max = 1 << 40
		m.open(t, "r")
		m.spool.disk.floor = floor
		appendAndFlush(t, m.spool, 50)
		before := len(m.disk.names)
		m.disk.space = free
		appendAndFlush(t, m.spool, 50)
		if n := len(m.disk.names); n > before != grows {
			t.Errorf("%d bytes free: %d files after %d", free, n, before)
		}
	}
}

// TestFloorOfARealDisk: what is free there is known in bytes.
func TestFloorOfARealDisk(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), Max: MinMax, MinFree: 1 << 20, Sync: time.Hour})
	appendAndFlush(t, s, 300)
	if st := s.Stats(); st.Dropped != 0 || st.Records != 300 || st.Problem != nil {
		t.Errorf("%+v", st)
	}
	s = mustOpen(t, Options{Dir: t.TempDir(), MinFree: 1 << 60, Sync: time.Hour}) // more than there is
	if p := s.Stats().Problem; p == nil || p.Code != CodeDiskFull {
		t.Errorf("problem %v, want %s", p, CodeDiskFull)
	}
}

// TestDiskFilledByOthers: what comes has a place, since the oldest part is thinned, and not let go whole.
func TestDiskFilledByOthers(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT} {
		m := newMachine()
		m.max = 1 << 40
		m.open(t, "r")
		appendAndFlush(t, m.spool, 100)
		most := len(m.disk.names)
		m.disk.fail = func(op, _ string) error {
			if op == "create" && len(m.disk.names) >= most {
				return errno
			}
			return nil
		}
		for range 100 {
			mustAppend(t, m.spool, strings.Repeat("x", 1000))
			if err := m.spool.flush(false); err != nil {
				t.Fatal(err)
			}
		}
		got, st := positions(t, m.spool.Reader("r")), m.spool.Stats()
		if uint64(len(got))+st.Dropped != 200 || len(got) < 70 || got[0] != 1 || got[len(got)-1] != 200 {
			t.Errorf("%v: %d held from %d to %d, %+v", errno, len(got), got[0], got[len(got)-1], st)
		}
	}
}

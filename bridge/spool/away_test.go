package spool

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

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

// TestDiskThatIsAwayLosesNothing takes the directory away while it holds a backlog, as a stick that is pulled out does, or has
// every file of it refuse to be opened or read: what was there is given when it is back.
func TestDiskThatIsAwayLosesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		ops []string
		err error
	}{
		"pulled out":         {[]string{"open", "create", "remove"}, fs.ErrNotExist},
		"opens nothing":      {[]string{"open", "create", "remove"}, unix.EIO},
		"gives back nothing": {[]string{"read"}, unix.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { diskIsAway(t, test.ops, test.err) })
		})
	}
}

func diskIsAway(t *testing.T, ops []string, errno error) {
	const n = 200
	m := newMachine()
	m.max = 1 << 40
	m.open(t, "r")
	r := m.spool.Reader("r")
	appendAndFlush(t, m.spool, n)
	tries := 0
	m.disk.fail = func(op, _ string) error {
		if !slices.Contains(ops, op) {
			return nil
		}
		tries++
		return errno
	}
	live := mustAppend(t, m.spool, "live")
	if got := contents(t, r); got[live] != "live" {
		t.Error("what came meanwhile is not given")
	}
	r.Ack(live)
	_ = m.spool.flush(false) // and what is not needed is removed
	if low, st := r.Acked(), m.spool.Stats(); low != 0 || st.Records != n {
		t.Errorf("away: acknowledged up to %d, %+v", low, st)
	}
	before := tries
	for range 1000 {
		r.Ack(live)
		contents(t, r)
	}
	if tries -= before; tries > 1000*7 { // the records of the newest segment may be looked at
		t.Errorf("%d tries to read within a moment", tries)
	}
	m.disk.fail = nil
	time.Sleep(diskTimeout)
	if got := contents(t, r); len(got) != n {
		t.Errorf("%d of %d records are given when it is back", len(got), n)
	}
	if st := m.spool.Stats(); st.Damaged != 0 || st.Records != n {
		t.Errorf("%+v", st)
	}
	mustClose(t, m.spool)
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

// TestWhatCannotBeReadIsThinnedFirst fills a spool in which one file does not open, or is read once and not again: it blocks no
// other file, and is counted.
func TestWhatCannotBeReadIsThinnedFirst(t *testing.T) {
	for op, from := range map[string]int{"open": 1, "read": 2} {
		m := newMachine()
		m.max = MinMax
		m.open(t, "r")
		appendAndFlush(t, m.spool, 500)
		s, n := m.spool.disk.segs[2], 0
		s.unload()
		m.disk.fail = func(what, name string) error {
			if what == op && name == segmentName(s.base) {
				if n++; n >= from {
					return unix.EIO
				}
			}
			return nil
		}
		appendAndFlush(t, m.spool, 3500)
		got, st := contents(t, m.spool.Reader("r")), m.spool.Stats()
		if len(got) != st.Records || uint64(len(got))+st.Dropped != 4000 || got[4000] == "" || n < from {
			t.Errorf("%s: %d are held, %+v", op, len(got), st)
		}
		if op == "open" && m.disk.get(segmentName(s.base)) != nil {
			t.Errorf("%s is there", segmentName(s.base))
		}
	}
}

// TestAcknowledgedBesideASegmentThatIsAway: what came while the newest segment could not be read is let go when it is
// acknowledged.
func TestAcknowledgedBesideASegmentThatIsAway(t *testing.T) {
	m := newMachine()
	m.boot = 1
	m.open(t, "r")
	appendAndFlush(t, m.spool, 10)
	mustClose(t, m.spool)
	segs := m.spool.disk.segs
	m.disk.fail = func(op, name string) error {
		if op == "open" && name == segmentName(segs[len(segs)-1].base) {
			return fs.ErrPermission
		}
		return nil
	}
	m.open(t, "r")
	r := m.spool.Reader("r")
	r.Ack(10) // which is in it
	for range 3 {
		mustAppend(t, m.spool, "live")
	}
	if err := m.spool.flush(false); err != nil {
		t.Fatal(err)
	}
	before, live := m.spool.Stats().Records, 0
	for pos := range contents(t, r) {
		if pos > 10 {
			r.Ack(pos)
			live++
		}
	}
	if n := m.spool.Stats().Records; live != 3 || n != before-live {
		t.Errorf("%d records are held after %d, %d acknowledged", n, before, live)
	}
}

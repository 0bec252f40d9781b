package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
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
					t.Errorf("fault %d: %d writes to a file of unknown contents", nth, m.disk.behind)
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
				c := &machine{disk: onlySynced(m.disk), tmpfs: newSimDirectory(), boot: 2}
				c.open(t, "r")
				if got := contents(t, c.spool.Reader("r")); !maps.Equal(got, want) {
					t.Fatalf("fault %d: a power cut lost %v", nth, without(want, got))
				}
			}
		})
	}
}

// TestFaultsOfTheRecentLog lets each operation on the tmpfs fail for a while: a record is held, or Append reports that it is
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
	if n := len(m.spool.disk.segs); loaded != openSegments+1 || n < 3*openSegments {
		t.Errorf("%d of %d segments are loaded, want %d", loaded, n, openSegments+1)
	}
}

// TestMemoryDoesNotGrowWithTheBacklog compares what a backlog takes in memory with what one four times as long takes.
func TestMemoryDoesNotGrowWithTheBacklog(t *testing.T) {
	if testing.Short() {
		t.Skip("fewer records show nothing, and these take seconds")
	}
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
			if _, _, err := s.Reader("r").Next(pos); err != nil {
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

// TestDeadDiskIsLoggedOnce keeps records in the recent part while the disk takes nothing, logs so once, and puts them on
// the disk when it comes back.
func TestDeadDiskIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newSimDirectory()
		var said strings.Builder
		s := runOn(t, disk, newSimDirectory(), slog.NewTextHandler(&said, nil), "r")
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
		if st := s.Stats(); st.Records != 100 || st.Problem == nil || st.Problem.Code != CodeDiskFull {
			t.Errorf("%+v", st)
		}
		full.Store(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if st := s.Stats(); st.Problem != nil || !strings.Contains(said.String(), "again") {
			t.Errorf("after the fault: %+v\n%s", st, said.String())
		}
		c := &machine{disk: onlySynced(disk), tmpfs: newSimDirectory(), boot: 2}
		c.open(t, "r")
		if n := len(contents(t, c.spool.Reader("r"))); n != 100 {
			t.Errorf("%d of 100 records are on the disk", n)
		}
		mustClose(t, s)
	})
}

// TestProblemsOfTheDisk: each kind of error has its code, and a cause without paths.
func TestProblemsOfTheDisk(t *testing.T) {
	for _, test := range []struct {
		err   error
		code  problem.Code
		cause string
	}{
		{unix.ENOSPC, CodeDiskFull, `the disk of spool "simulated" is full`},
		{unix.EDQUOT, CodeDiskFull, `the disk of spool "simulated" is full`},
		{errFull, CodeDiskFull, `the disk of spool "simulated" is full`},
		{unix.EROFS, CodeDiskReadOnly, `the disk of spool "simulated" is read-only`},
		{unix.EIO, CodeDiskFailed, `spool "simulated" cannot be written: input/output error`},
		{errors.New("odd"), CodeDiskFailed, `spool "simulated" cannot be written: sync file: odd`},
	} {
		m := newMachine()
		m.open(t, "r")
		mustAppend(t, m.spool, "x")
		m.disk.fail = func(op, _ string) error {
			if op == "sync" {
				return &fs.PathError{Op: op, Path: "file", Err: test.err}
			}
			return nil
		}
		m.spool.report(m.spool.flush(false))
		if p := m.spool.Stats().Problem; p == nil || p.Code != test.code || p.Key != "dir" || p.Cause != test.cause || p.Fix == "" {
			t.Errorf("%v: %v", test.err, p)
		}
	}
}

// TestSpareThatStaysIsAnErrorOfClose.
func TestSpareThatStaysIsAnErrorOfClose(t *testing.T) {
	m := newMachine()
	m.open(t, "r")
	appendAndFlush(t, m.spool, 10)
	m.disk.fail = func(op, name string) error {
		if op == "remove" && name == spareName {
			return unix.EIO
		}
		return nil
	}
	if err := m.spool.Close(); !errors.Is(err, unix.EIO) {
		t.Errorf("Close: %v, want %v", err, unix.EIO)
	}
}

// TestPositionsGoOnAfterAFailure of which nothing is left but the state.
func TestPositionsGoOnAfterAFailure(t *testing.T) {
	m := newMachine()
	m.open(t, "r")
	r := m.spool.Reader("r")
	take := func() {
		r.Ack(mustAppend(t, m.spool, "x"))
		if err := m.spool.flush(false); err != nil {
			t.Fatal(err)
		}
	}
	pos := mustAppend(t, m.spool, "x")
	if err := m.spool.flush(false); err != nil {
		t.Fatal(err)
	}
	r.Ack(pos)
	take()
	m.disk.fail = func(op, _ string) error {
		if op == "write" {
			return unix.EIO
		}
		return nil
	}
	pos = mustAppend(t, m.spool, "x")
	if err := m.spool.flush(false); !errors.Is(err, unix.EIO) {
		t.Fatal(err)
	}
	m.disk.fail = nil
	r.Ack(pos)
	take()
	m.powerCut(func() bool { return true })
	m.open(t, "r")
	if next := mustAppend(t, m.spool, "x"); next <= pos+1 {
		t.Errorf("positions go on with %d after %d", next, pos+1)
	}
}

package spool

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/problem"
)

func mustOpen(t testing.TB, o Options) *Spool {
	t.Helper()
	if o.Readers == nil {
		o.Readers = []string{"r"}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustAppend(t testing.TB, s *Spool, data string) uint64 {
	t.Helper()
	pos, err := s.Append([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

func mustClose(t testing.TB, s *Spool) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestClosedAndOpened(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "new", "spool"), Runtime: t.TempDir(), Readers: []string{"a", "b"}}
	s := mustOpen(t, o)
	for i := range 10 {
		mustAppend(t, s, fmt.Sprint(i+1))
	}
	s.Reader("a").Ack(1)
	s.Reader("a").Ack(4)
	s.Reader("b").Ack(2)
	mustClose(t, s)
	s.Reader("a").Ack(2) // too late
	if _, err := s.Append(nil); err != ErrClosed {
		t.Errorf("Append to a closed spool: %v", err)
	}

	s = mustOpen(t, o)
	if got, want := positions(t, s.Reader("a")), []uint64{2, 3, 5, 6, 7, 8, 9, 10}; !slices.Equal(got, want) {
		t.Errorf("a is given %v, want %v", got, want)
	}
	if got, want := positions(t, s.Reader("b")), []uint64{1, 3, 4, 5, 6, 7, 8, 9, 10}; !slices.Equal(got, want) {
		t.Errorf("b is given %v, want %v", got, want)
	}
	if pos := mustAppend(t, s, "more"); pos != 11 {
		t.Errorf("positions go on with %d, want 11", pos)
	}
	if st := s.Stats(); st.Records != 11 || st.Appended != 1 || st.Oldest < 0 || st.Damaged != 0 {
		t.Errorf("%+v", st)
	}
}

// What is acknowledged while the disk is taking a batch is on the disk with the next.
func TestAcknowledgedDuringASync(t *testing.T) {
	m := newMachine()
	m.open(t, "r")
	for range 3 {
		mustAppend(t, m.spool, "x")
	}
	if err := m.spool.flush(false); err != nil {
		t.Fatal(err)
	}
	m.spool.Reader("r").Ack(1)
	m.disk.fail = func(op, _ string) error {
		if op == "sync" {
			m.spool.Reader("r").Ack(2)
		}
		return nil
	}
	if err := m.spool.flush(false); err != nil {
		t.Fatal(err)
	}
	m.disk.fail = nil
	mustClose(t, m.spool)
	m.powerCut(func() bool { return false })
	m.open(t, "r")
	if got, want := positions(t, m.spool.Reader("r")), []uint64{3}; !slices.Equal(got, want) {
		t.Errorf("given %v, want %v", got, want)
	}
}

// TestWithoutARuntimeFolder has a place for it where none can be made, as a full tmpfs is.
func TestWithoutARuntimeFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	o := Options{Dir: t.TempDir(), Runtime: filepath.Join(file, "run"), Log: slog.New(slog.NewTextHandler(&said, nil))}
	for want := 1; want < 4; want++ {
		s := mustOpen(t, o)
		mustAppend(t, s, "x")
		if got := contents(t, s.Reader("r")); len(got) != want {
			t.Errorf("given %v, want %d", got, want)
		}
		mustClose(t, s)
	}
	if !strings.Contains(said.String(), file) {
		t.Errorf("not said:\n%s", said.String())
	}
}

func TestReadersComeAndGo(t *testing.T) {
	o := Options{Dir: t.TempDir(), Runtime: t.TempDir(), Readers: []string{"a", "b"}}
	s := mustOpen(t, o)
	for range 5 {
		mustAppend(t, s, "x")
	}
	for _, pos := range []uint64{1, 2, 3} {
		s.Reader("a").Ack(pos)
	}
	s.Reader("b").Ack(1)
	mustClose(t, s)

	o.Readers = []string{"a", "c"} // b is forgotten, c is new
	s = mustOpen(t, o)
	if got, want := positions(t, s.Reader("c")), []uint64{2, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("a new reader is given %v, want %v", got, want)
	}
	for pos := range uint64(5) {
		s.Reader("c").Ack(pos + 1)
	}
	if n := s.Stats().Records; n != 2 {
		t.Errorf("%d records are held for a, want 2", n)
	}
	mustClose(t, s)

	o.Readers = []string{}
	s = mustOpen(t, o)
	mustAppend(t, s, "for no reader")
	mustClose(t, s)
	o.Readers = []string{"a"}
	s = mustOpen(t, o)
	if got, want := positions(t, s.Reader("a")), []uint64{4, 5}; !slices.Equal(got, want) {
		t.Errorf("after a time without readers a is given %v, want %v", got, want)
	}
}

func TestTwoCannotShareAFolder(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir, Readers: []string{"r"}})
	if p := problem.Of(err); p == nil || p.Code != CodeInUse || p.Key != "dir" || !strings.Contains(p.Cause, dir) {
		t.Errorf("second daemon: %v", err)
	}
	if _, err := Drop(dir, ""); err == nil {
		t.Error("dropped the spool of a running daemon")
	}
	mustClose(t, s)
	mustOpen(t, Options{Dir: dir})
}

// TestConnectedWritesNothingToDisk runs an hour at 10 Hz in which every record is acknowledged after 900 ms, by two
// readers of different speed.
func TestConnectedWritesNothingToDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, tmpfs := newSimDirectory(), newSimDirectory()
		s := runOn(t, disk, tmpfs, slog.DiscardHandler, "a", "b")
		begin := disk.written.Load()
		names := maps.Clone(disk.names)
		for i := range 36000 {
			time.Sleep(100 * time.Millisecond)
			pos := mustAppend(t, s, "a fix")
			if i >= 3 {
				s.Reader("a").Ack(pos - 3)
			}
			if i >= 9 {
				s.Reader("b").Ack(pos - 9)
			}
		}
		if disk.written.Load() != begin || !maps.Equal(names, disk.names) {
			t.Errorf("%d bytes were written, files %v", disk.written.Load()-begin, slices.Collect(maps.Keys(disk.names)))
		}
		if n := len(tmpfs.names); n > 3 {
			t.Errorf("%d files are on the tmpfs", n)
		}
		time.Sleep(DefaultSync)
		synctest.Wait()
		if disk.written.Load() == begin {
			t.Error("what stayed unacknowledged was not written to the disk")
		}
		mustClose(t, s)
	})
}

// TestLateAcknowledgements has one reader acknowledge up to 3 s later than the other, as its server does: nothing is written while
// both keep to that. What is missing for longer is on the disk a second later than without, and what comes after it is not later.
func TestLateAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = 3 * time.Second
		disk := newSimDirectory()
		s := runOn(t, disk, newSimDirectory(), slog.DiscardHandler, "late", "prompt")
		begin := disk.written.Load()
		onDisk := func() int {
			c := &machine{disk: onlySynced(disk), tmpfs: newSimDirectory(), boot: 2}
			c.open(t, "late", "prompt")
			return len(contents(t, c.spool.Reader("late")))
		}
		// second appends ten records; what the late reader acknowledges comes with every fourth.
		second := func(i int, acks, prompt bool) {
			for range 10 {
				time.Sleep(100 * time.Millisecond)
				pos := mustAppend(t, s, "a fix")
				if prompt {
					s.Reader("prompt").Ack(pos)
				}
				for p := s.Reader("late").Acked() + 1; acks && i%3 == 0 && p <= pos; p++ {
					s.Reader("late").Ack(p)
				}
			}
			synctest.Wait()
		}
		s.Reader("late").Late(late)
		for i := range 30 {
			second(i, true, true)
		}
		if n := disk.written.Load() - begin; n != 0 {
			t.Errorf("%d bytes were written while both readers acknowledged", n)
		}
		for i := range 12 { // the connection is dead, and that is not known
			second(i, false, true)
			want := 10 * (i - 1) // that were appended a second ago
			if i < 5 {
				want = 0
			}
			if got := onDisk(); got < want {
				t.Errorf("%d s after the last acknowledgement %d records are on the disk, want %d", i+1, got, want)
			}
		}
		for i := range 9 {
			second(i, true, true)
		}
		begin = disk.written.Load()
		for i := range 12 {
			second(i, true, true)
		}
		if n := disk.written.Load() - begin; n != 0 {
			t.Errorf("%d bytes were written after the acknowledgements came back", n)
		}
		s.Reader("late").Late(0) // the connection has ended
		second(0, false, true)
		second(0, false, true)
		if got := onDisk(); got < 10 {
			t.Errorf("%d records are on the disk two seconds after the connection has ended, want 10", got)
		}
		mustClose(t, s)
	})
}

// The other reader's records do not wait for one whose acknowledgements come late.
func TestLateAcknowledgementsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newSimDirectory()
		s := runOn(t, disk, newSimDirectory(), slog.DiscardHandler, "late", "away")
		s.Reader("late").Late(time.Hour)
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			mustAppend(t, s, "a fix")
		}
		synctest.Wait()
		c := &machine{disk: onlySynced(disk), tmpfs: newSimDirectory(), boot: 2}
		c.open(t, "late", "away")
		if got := len(contents(t, c.spool.Reader("away"))); got < 9 {
			t.Errorf("%d of 20 records are on the disk after two seconds, want 9", got)
		}
		mustClose(t, s)
	})
}

// runOn opens a spool with its goroutine on simulated directories.
func runOn(t testing.TB, disk, tmpfs files, log slog.Handler, readers ...string) *Spool {
	t.Helper()
	return runWith(t, Options{Readers: readers, Max: MinMax, Log: slog.New(log)}, disk, tmpfs)
}

// runWith is runOn with options.
func runWith(t testing.TB, o Options, disk, tmpfs files) *Spool {
	t.Helper()
	o.Dir = "simulated"
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	s := newSpool(o, o.sizes())
	if err := s.attach(o, o.sizes(), disk, tmpfs, [16]byte{1}); err != nil {
		t.Fatal(err)
	}
	go s.run()
	return s
}

// TestPowerCutLosesAtMostOneSync counts what is on the disk while nothing is acknowledged.
func TestPowerCutLosesAtMostOneSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newSimDirectory()
		s := runOn(t, disk, newSimDirectory(), slog.DiscardHandler, "r")
		for i := range 600 {
			time.Sleep(100 * time.Millisecond)
			mustAppend(t, s, "a fix")
			synctest.Wait()
			if i%7 != 0 {
				continue
			}
			c := &machine{disk: onlySynced(disk), tmpfs: newSimDirectory(), boot: 2}
			c.open(t, "r")
			// 10 in the last second, and the one that is being appended as the second ends
			if got := len(contents(t, c.spool.Reader("r"))); got < i+1-11 {
				t.Fatalf("after %d records %d are on the disk", i+1, got)
			}
		}
		if st := s.Stats(); st.Records != 600 {
			t.Errorf("%+v", st)
		}
		mustClose(t, s)
	})
}

// onlySynced returns a copy of a directory as a power cut leaves it that spares nothing.
func onlySynced(d *simDirectory) *simDirectory {
	c := newSimDirectory()
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, f := range d.durable {
		c.names[name] = &simFile{directory: c, name: name, b: slices.Clone(f.synced), synced: slices.Clone(f.synced)}
	}
	c.durable = maps.Clone(c.names)
	return c
}

// TestRestartWritesNothing: in the same boot the disk knows already what is to be known.
func TestRestartWritesNothing(t *testing.T) {
	m := newMachine()
	m.boot = 1
	m.open(t, "r")
	appendAndFlush(t, m.spool, 10)
	mustClose(t, m.spool)
	m.open(t, "r")
	before := m.disk.written.Load()
	if err := m.spool.flush(false); err != nil || m.disk.written.Load() != before {
		t.Errorf("%d bytes were written, %v", m.disk.written.Load()-before, err)
	}
}

// TestCountsOfASegmentOfSeveralRuns are those of its records, known by its seal.
func TestCountsOfASegmentOfSeveralRuns(t *testing.T) {
	m := newMachine()
	m.boot = 1
	records, bytes := 0, 0
	for run := range 4 {
		m.open(t, "r")
		for part := range 2 {
			if part == 1 && run%3 == 0 { // the next record begins a segment
				m.spool.disk.active.end = m.spool.disk.capacity()
			}
			for i := range 3 {
				data := strings.Repeat("x", 10*run+5*part+i)
				mustAppend(t, m.spool, data)
				records, bytes = records+1, bytes+recordHeader+len(data)
			}
			if err := m.spool.flush(false); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, m.spool)
	}
	m.open(t, "r")
	if st := m.spool.Stats(); st.Records != records || st.Bytes != int64(bytes) || st.Damaged != 0 {
		t.Errorf("%+v, want %d records of %d bytes", st, records, bytes)
	}
}

// TestAcknowledgementGetsToTheDisk within two intervals, of the newest record on it too.
func TestAcknowledgementGetsToTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newSimDirectory()
		s := runOn(t, disk, newSimDirectory(), slog.DiscardHandler, "r")
		pos := mustAppend(t, s, "x")
		time.Sleep(3 * DefaultSync)
		s.Reader("r").Ack(pos)
		time.Sleep(2 * DefaultSync)
		synctest.Wait()
		c := &machine{disk: onlySynced(disk), tmpfs: newSimDirectory(), boot: 2}
		c.open(t, "r")
		if got := contents(t, c.spool.Reader("r")); len(got) > 0 {
			t.Errorf("given again after a power cut: %v", got)
		}
		mustClose(t, s)
	})
}

// TestBeatPromisesTheNext while it runs, and nothing at the end.
func TestBeatPromisesTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var beats []time.Duration
		s := mustOpen(t, Options{Dir: t.TempDir(), Sync: 3 * time.Second, Beat: func(within time.Duration) { beats = append(beats, within) }})
		synctest.Wait()
		mustClose(t, s)
		if want := []time.Duration{3*time.Second + slowDisk, 0}; !slices.Equal(beats, want) {
			t.Errorf("beats %v, want %v", beats, want)
		}
	})
}

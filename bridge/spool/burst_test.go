package spool

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// burst is more than the recent log takes, in records of recordSize.
const (
	recordSize = 2000
	burst      = 3 * recentMax / recordSize
)

// openForBurst opens a spool on simulated directories with room on the disk, or none to speak of.
func openForBurst(t *testing.T, disk, tmpfs *simDirectory, most int64) *Spool {
	t.Helper()
	return runWith(t, Options{Max: most, Sync: time.Hour, Readers: []string{"r"}, Log: slog.New(slog.DiscardHandler)}, disk, tmpfs)
}

// TestBurstGoesToTheDisk appends three times what the recent log takes, long before the disk is due.
func TestBurstGoesToTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, tmpfs := newSimDirectory(), newSimDirectory()
		s := openForBurst(t, disk, tmpfs, defaultDiskMax)
		disk.fail = func(op, _ string) error {
			if op == "sync" {
				time.Sleep(2 * time.Second) // a slow card; the bubble's clock
			}
			return nil
		}
		most := 0
		for range burst {
			mustAppend(t, s, strings.Repeat("x", recordSize))
			most = max(most, len(s.recent.segs))
		}
		if limit := recentMax / minSegment; most > limit {
			t.Errorf("the recent log had %d segments, want %d at the most", most, limit)
		}
		synctest.Wait()
		if got := positions(t, s.Reader("r")); len(got) != burst || got[0] != 1 || got[burst-1] != burst {
			t.Errorf("%d of %d records are held", len(got), burst)
		}
		if st := s.Stats(); st.Dropped != 0 || st.Problem != nil {
			t.Errorf("%+v", st)
		}
		mustClose(t, s)
		c := &machine{disk: onlySynced(disk), tmpfs: newSimDirectory(), boot: 2, max: defaultDiskMax}
		c.open(t, "r")
		if n := len(contents(t, c.spool.Reader("r"))); n != burst {
			t.Errorf("%d of %d records are on the disk", n, burst)
		}
	})
}

// TestBurstIntoAFullDiskThins has a disk that takes a quarter of the burst.
func TestBurstIntoAFullDiskThins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openForBurst(t, newSimDirectory(), newSimDirectory(), recentMax/2)
		for range burst {
			mustAppend(t, s, strings.Repeat("x", recordSize))
		}
		synctest.Wait()
		got, st := positions(t, s.Reader("r")), s.Stats()
		if len(got) != st.Records || uint64(len(got))+st.Dropped != burst || len(got) < recentMax/4/recordSize || st.Problem != nil {
			t.Errorf("%d held of %d, %+v", len(got), burst, st)
		}
		if got[0] != 1 || got[len(got)-1] != burst {
			t.Errorf("held from %d to %d", got[0], got[len(got)-1])
		}
		mustClose(t, s)
	})
}

// TestBurstWithoutADisk finds the disk dead: nothing waits for it, the recent log thins, counted, and all that is left
// gets there once the disk is back.
func TestBurstWithoutADisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newSimDirectory()
		s := openForBurst(t, disk, newSimDirectory(), defaultDiskMax)
		var dead atomic.Bool
		dead.Store(true)
		disk.fail = func(op, _ string) error {
			if dead.Load() && op == "sync" {
				return unix.EIO
			}
			return nil
		}
		begin := time.Now()
		for range burst {
			mustAppend(t, s, strings.Repeat("x", recordSize))
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("a dead disk was waited for %s", took)
		}
		synctest.Wait()
		got, st := positions(t, s.Reader("r")), s.Stats()
		if uint64(len(got))+st.Dropped != burst || st.Dropped == 0 || len(got) < recentMax/2/recordSize || st.Problem == nil {
			t.Errorf("%d held of %d, %+v", len(got), burst, st)
		}
		dead.Store(false)
		mustClose(t, s)
		c := &machine{disk: onlySynced(disk), tmpfs: newSimDirectory(), boot: 2, max: defaultDiskMax}
		c.open(t, "r")
		if n := len(contents(t, c.spool.Reader("r"))); n != len(got) {
			t.Errorf("%d of %d records are on the disk", n, len(got))
		}
		if now := c.spool.Stats().Dropped; now != st.Dropped {
			t.Errorf("%d are counted as dropped after opening again, want %d", now, st.Dropped)
		}
	})
}

// TestDiskThatDoesNotAnswer hangs in a sync. Only a burst waits for it, for a bounded time.
func TestDiskThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newSimDirectory()
		s := openForBurst(t, disk, newSimDirectory(), defaultDiskMax)
		var hangs atomic.Bool
		answer := make(chan struct{})
		hangs.Store(true)
		disk.fail = func(op, _ string) error {
			if hangs.Load() && op == "sync" {
				<-answer
			}
			return nil
		}
		begin, r := time.Now(), s.Reader("r")
		for i := range burst {
			pos := mustAppend(t, s, strings.Repeat("x", recordSize))
			if i%1000 == 0 { // readers go on meanwhile
				synctest.Wait()
				if !free(&s.mu) || !free(&s.out) {
					t.Fatal("a lock is held while the disk syncs")
				}
				if got, _, err := r.Next(pos - 1); got != pos || err != nil {
					t.Fatalf("Next = %d, %v, want %d", got, err, pos)
				}
				r.Ack(pos)
				s.Stats()
			}
		}
		if took := time.Since(begin); took != diskTimeout {
			t.Errorf("the burst took %s, want %s", took, diskTimeout)
		}
		time.Sleep(time.Minute)
		if st := s.Stats(); st.Problem == nil || st.Problem.Code != CodeDiskStalled || !strings.Contains(st.Problem.Cause, "1m10s") || st.Dropped == 0 {
			t.Errorf("%+v", st)
		}
		closing := make(chan error, 1)
		go func() { closing <- s.Close() }()
		synctest.Wait()
		if _, err := s.Append(nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Append while closing: %v", err)
		}
		hangs.Store(false)
		close(answer)
		if err := <-closing; err != nil {
			t.Error(err)
		}
	})
}

// free reports whether no goroutine that is still at work holds a lock.
func free(l *sync.Mutex) bool {
	if !l.TryLock() {
		return false
	}
	l.Unlock()
	return true
}

// TestAppendDoesNotWaitForReads has a reader whose read of the disk takes its time.
func TestAppendDoesNotWaitForReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newSimDirectory()
		s := openForBurst(t, disk, newSimDirectory(), defaultDiskMax)
		mustAppend(t, s, "on the disk")
		if err := s.flush(false); err != nil {
			t.Fatal(err)
		}
		answer := make(chan struct{})
		disk.fail = func(op, _ string) error {
			if op == "read" {
				<-answer
			}
			return nil
		}
		read := make(chan string)
		go func() {
			_, data, _ := s.Reader("r").Next(0)
			read <- string(data)
		}()
		synctest.Wait()
		if !free(&s.mu) {
			t.Error("Append would wait for the reader")
		} else {
			mustAppend(t, s, "meanwhile")
		}
		close(answer)
		if got := <-read; got != "on the disk" {
			t.Errorf("read %q", got)
		}
		mustClose(t, s)
	})
}

// TestCloseEndsWaitingForTheDisk closes a spool while a burst waits.
func TestCloseEndsWaitingForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newSimDirectory()
		s := openForBurst(t, disk, newSimDirectory(), defaultDiskMax)
		disk.fail = func(op, _ string) error {
			if op == "sync" {
				time.Sleep(time.Second)
			}
			return nil
		}
		taken, ended := 0, make(chan error, 1)
		go func() {
			for {
				if _, err := s.Append(make([]byte, recordSize)); err != nil {
					ended <- err
					return
				}
				taken++
			}
		}()
		synctest.Wait() // it is full
		before := s.Stats().Appended
		mustClose(t, s)
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("the append that waited: %v", err)
		}
		if st := s.Stats(); st.Records != taken || st.Appended != before || st.Dropped != 0 {
			t.Errorf("%d were taken, %d before it was closed, %+v", taken, before, st)
		}
	})
}

// TestAcknowledgementsThinNothing acknowledges out of order while the recent log is full and the disk dead: where each
// segment still has what is wanted, a note of an acknowledgement needs one more.
func TestAcknowledgementsThinNothing(t *testing.T) {
	m := newMachine()
	m.max, m.recent = 1<<40, 16*testSegment
	m.open(t, "r")
	m.disk.fail = func(op, _ string) error {
		if op == "sync" {
			return unix.EIO
		}
		return nil
	}
	m.spool.report(m.spool.flush(false))
	mustAppend(t, m.spool, "x")
	m.spool.report(m.spool.flush(false)) // it fails
	for m.spool.recent.size() < m.recent {
		mustAppend(t, m.spool, strings.Repeat("x", 100))
	}
	before := m.spool.Stats()
	all := positions(t, m.spool.Reader("r"))
	acked := 0
	for i, pos := range all {
		if i%2 == 0 {
			m.spool.Reader("r").Ack(pos)
			acked++
		}
	}
	if st := m.spool.Stats(); st.Dropped != before.Dropped || st.Records != before.Records-acked {
		t.Errorf("%d acknowledged: %+v, before %+v", acked, st, before)
	}
}

package spool

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A tracker at 10 Hz whose server acknowledges in time, but for an outage of ten minutes at first and one of half a minute later: whatever the
// spool is made of, all that was acknowledged in the last ten minutes comes again, in order, and little that was acknowledged before. To keep
// it writes nothing to the disk.
func TestAcknowledgedRecordsComeAgain(t *testing.T) {
	const (
		rate   = 100 * time.Millisecond
		retain = 10 * time.Minute
	)
	fix := strings.Repeat("x", 335)
	for name, o := range map[string]Options{"disk and tmpfs": {}, "memory": {Max: DefaultMax}} {
		for _, outage := range []time.Duration{0, 30 * time.Second} {
			t.Run(name+", outage "+outage.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o.Readers, o.Log = []string{"r"}, slog.New(slog.DiscardHandler)
					disk, tmpfs := newSimDirectory(), newSimDirectory()
					s := runWith(t, o, disk, tmpfs)
					if name == "memory" {
						mustClose(t, s)
						s = mustOpen(t, o)
					}
					r := s.Reader("r")
					r.Retain(retain)
					acked := map[uint64]time.Time{}
					run := func(lasts time.Duration, connected bool) {
						for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(rate) {
							mustAppend(t, s, fix)
							if !connected {
								continue
							}
							for range 4 { // the backlog at three times the rate of fixes
								if pos, _, err := r.Next(0); err != nil {
									t.Fatal(err)
								} else if pos > 0 {
									r.Ack(pos)
									acked[pos] = time.Now()
								}
							}
						}
					}
					run(10*time.Minute, false)
					run(4*time.Minute, true) // the backlog is through after 3.3
					time.Sleep(2 * time.Second)
					written := disk.written.Load()
					run(14*time.Minute, true)
					if now := disk.written.Load(); now != written {
						t.Errorf("%d bytes went to the disk while connected", now-written)
					}
					run(outage, false)
					run(time.Minute, true)
					last, begin := r.Last(), time.Now().Add(-retain)
					if n := r.Again(); n == 0 {
						t.Fatal("nothing comes again")
					}
					got := positions(t, r)
					given := map[uint64]bool{}
					for _, pos := range got {
						given[pos] = true
						if at, ok := acked[pos]; ok && at.Before(begin.Add(-retain/marksInRetain-time.Minute)) {
							t.Fatalf("record %d was acknowledged %s ago and comes again", pos, time.Since(at))
						}
					}
					for pos, at := range acked {
						if at.After(begin) && !given[pos] {
							t.Fatalf("record %d was acknowledged %s ago and does not come again", pos, time.Since(at))
						}
					}
					if r.Acked() >= got[0] || r.Last() != last {
						t.Errorf("acknowledged up to %d of %d while %d comes", r.Acked(), r.Last(), got[0])
					}
					for _, pos := range got {
						r.Ack(pos)
					}
					if left := positions(t, r); len(left) > 0 || r.Acked() != last {
						t.Errorf("%d are left, acknowledged up to %d of %d", len(left), r.Acked(), last)
					}
					r.Retain(0)
					if r.Again() != 0 {
						t.Error("records come again that are not kept")
					}
					mustClose(t, s)
				})
			})
		}
	}
}

// What was asked for again stays wanted after a power cut that leaves the recent log as it was before, with the acknowledgements in it: on a
// disk without a tmpfs that happens, because nothing of that log is synced.
func TestAnOlderRecentLogTakesNothingBack(t *testing.T) {
	m := newMachine()
	m.onDisk, m.max = true, 1<<40
	m.open(t, "r")
	for range 3 {
		mustAppend(t, m.spool, "fix")
	}
	flush := func() {
		if err := m.spool.flush(true); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	r := m.spool.Reader("r")
	r.Retain(time.Hour)
	for pos := range uint64(3) {
		r.Ack(pos + 1)
	}
	for _, f := range m.tmpfs.names { // as the kernel may at any time
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.tmpfs.sync(); err != nil {
		t.Fatal(err)
	}
	if n := r.Again(); n != 3 {
		t.Fatalf("%d records come again, want 3", n)
	}
	flush()
	m.kill()
	m.powerCut(func() bool { return false })
	m.open(t, "r")
	defer m.kill()
	if got := contents(t, m.spool.Reader("r")); len(got) != 3 {
		t.Errorf("after a power cut %d records are given, want 3", len(got))
	}
}

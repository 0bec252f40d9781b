package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"gpsbridge/bridge/realtest"
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
	mustAppend(t, s, "for nobody")
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
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "stop it, or give this one") {
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
		disk, tmpfs := newSimFolder(), newSimFolder()
		s := runOn(t, disk, tmpfs, []string{"a", "b"})
		begin := disk.written
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
		if disk.written != begin || !maps.Equal(names, disk.names) {
			t.Errorf("%d bytes were written, files %v", disk.written-begin, slices.Collect(maps.Keys(disk.names)))
		}
		if n := len(tmpfs.names); n > 3 {
			t.Errorf("%d files are on the tmpfs", n)
		}
		time.Sleep(DefaultSync)
		synctest.Wait()
		if disk.written == begin {
			t.Error("what stayed unacknowledged was not written to the disk")
		}
		mustClose(t, s)
	})
}

// TestConnectedWritesNothingToADevice is the same on a block device, whose own count of written sectors includes what a
// file system adds.
func TestConnectedWritesNothingToADevice(t *testing.T) {
	realtest.Need(t, realtest.Root)
	dir, tmpfs := mount(t, "-o", "loop", ext4(t, 24)), onTmpfs(t)
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, Options{Dir: dir, Runtime: tmpfs})
		begin := sectors(t, dir)
		for range 36000 { // an hour
			time.Sleep(100 * time.Millisecond)
			pos := mustAppend(t, s, string(fix))
			if pos > 9 {
				s.Reader("r").Ack(pos - 9)
			}
		}
		if n := sectors(t, dir) - begin; n != 0 {
			t.Errorf("%d bytes were written to the device while connected", 512*n)
		}
		for range 10 {
			time.Sleep(time.Second)
			mustAppend(t, s, string(fix))
		}
		n := sectors(t, dir) - begin
		if n == 0 {
			t.Error("nothing was written to the device without a connection")
		}
		t.Logf("%d bytes written for 10 fixes without a connection", 512*n)
		mustClose(t, s)
	})
}

// sectors returns how many sectors were ever written to the device of a folder, everything in memory included.
func sectors(t *testing.T, dir string) (n int) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var st unix.Stat_t
	if err := errors.Join(unix.Syncfs(int(d.Fd())), unix.Fstat(int(d.Fd()), &st)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		t.Skip("this kernel does not count what is written: ", err)
	}
	if n, err = strconv.Atoi(strings.Fields(string(b))[6]); err != nil {
		t.Fatal(err)
	}
	return n
}

// runOn opens a spool with its goroutine on simulated folders.
func runOn(t testing.TB, disk, tmpfs files, readers []string) *Spool {
	t.Helper()
	o := Options{Dir: "simulated", Readers: readers, Max: MinMax, Log: slog.New(slog.DiscardHandler), segment: minSegment}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	s := newSpool(o)
	if err := s.attach(o, disk, tmpfs, [16]byte{1}); err != nil {
		t.Fatal(err)
	}
	go s.run()
	return s
}

// TestPowerCutLosesAtMostOneSync counts what is on the disk while nobody acknowledges.
func TestPowerCutLosesAtMostOneSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newSimFolder()
		s := runOn(t, disk, newSimFolder(), []string{"r"})
		for i := range 600 {
			time.Sleep(100 * time.Millisecond)
			mustAppend(t, s, "a fix")
			synctest.Wait()
			if i%7 != 0 {
				continue
			}
			c := &machine{disk: onlySynced(disk), tmpfs: newSimFolder(), boot: 2}
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

// onlySynced returns a copy of a folder as a power cut leaves it that spares nothing.
func onlySynced(d *simFolder) *simFolder {
	c := newSimFolder()
	for name, f := range d.durable {
		c.names[name] = &simFile{folder: c, name: name, b: slices.Clone(f.synced), synced: slices.Clone(f.synced)}
	}
	c.durable = maps.Clone(c.names)
	return c
}

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

// TestDeadDiskIsSaidOnce keeps records in the recent part while the disk takes nothing, says so once, and puts them on
// the disk when it comes back.
func TestDeadDiskIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newSimFolder()
		s := runOn(t, disk, newSimFolder(), []string{"r"})
		var said strings.Builder
		s.log = slog.New(slog.NewTextHandler(&said, nil))
		disk.fail = func(op, name string) error {
			if op == "write" || op == "create" {
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
		disk.fail = nil
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

func TestInspectDumpDrop(t *testing.T) {
	o := Options{Dir: t.TempDir(), Runtime: t.TempDir(), Readers: []string{"a", "b"}}
	if _, err := Inspect(o.Dir, o.Runtime); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder without a spool: %v", err)
	}
	s := mustOpen(t, o)
	for i := range 4 {
		mustAppend(t, s, fmt.Sprint("fix ", i+1))
	}
	s.flush(false)
	mustAppend(t, s, "fix 5")
	for _, pos := range []uint64{1, 2, 3} {
		s.Reader("a").Ack(pos)
	}
	s.Reader("b").Ack(1)
	s.Reader("b").Ack(5)
	l, err := Inspect(o.Dir, o.Runtime) // beside the daemon
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Place{{"a", 3, 2}, {"b", 1, 3}}, l.Readers); diff != "" {
		t.Error(diff)
	}
	if l.Records != 4 || l.Last != 5 || len(l.Segments) != 2 || !l.Segments[1].Recent || l.Segments[0].Held != 3 || l.Segments[0].Damaged != 0 {
		t.Errorf("%+v", l)
	}
	var dump []string
	if err := Dump(o.Dir, o.Runtime, func(r Record) error {
		if since := time.Since(r.Time); since < 0 || since > time.Minute {
			t.Errorf("record %d was appended at %s", r.Pos, r.Time)
		}
		dump = append(dump, fmt.Sprint(r.Pos, string(r.Data), r.Waiting))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"2fix 2[b]", "3fix 3[b]", "4fix 4[a b]", "5fix 5[a]"}, dump); diff != "" {
		t.Error(diff)
	}
	mustClose(t, s)
	if n, err := Drop(o.Dir, o.Runtime); n != 4 || err != nil {
		t.Errorf("Drop = %d, %v, want 4", n, err)
	}
	s = mustOpen(t, o)
	if st := s.Stats(); st.Records != 0 || st.Dropped != 0 {
		t.Errorf("after Drop: %+v", st)
	}
	if pos := mustAppend(t, s, "next"); pos != 6 {
		t.Errorf("after Drop positions go on with %d, want 6", pos)
	}
}

// mount mounts a file system for the test and returns its folder.
func mount(t *testing.T, args ...string) string {
	t.Helper()
	realtest.Need(t, realtest.Root)
	dir := t.TempDir()
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Skipf("mounting is not possible here: mount %v: %v: %s", args, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", dir, err, out)
		}
	})
	return dir
}

// ext4 makes a file with an ext4 file system of so many MiB.
func ext4(t *testing.T, mib int64) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(mib<<20), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		t.Skipf("no ext4 here: mkfs.ext4: %v: %s", err, out)
	}
	return image
}

// TestFullRealFileSystems fills small file systems, with nothing but the spool and with a neighbour that takes the rest.
func TestFullRealFileSystems(t *testing.T) {
	for name, args := range map[string]func() []string{
		"tmpfs": func() []string { return []string{"-t", "tmpfs", "-o", "size=12m", "none"} },
		"ext4":  func() []string { return []string{"-o", "loop", ext4(t, 24)} },
	} {
		t.Run(name, func(t *testing.T) {
			realtest.Need(t, realtest.Root)
			dir := mount(t, args()...)
			o := Options{Dir: filepath.Join(dir, "spool"), Runtime: t.TempDir()}
			s := mustOpen(t, o)
			const n = 100_000
			data := strings.Repeat("x", 500)
			for i := range n { // 52 MB
				mustAppend(t, s, data)
				if i%500 == 0 {
					if err := s.flush(false); err != nil {
						t.Fatalf("after %d records: %v", i, err)
					}
				}
				if i == n/2 { // a neighbour takes what is left
					f, err := os.Create(filepath.Join(dir, "neighbour"))
					if err != nil {
						t.Fatal(err)
					}
					for err == nil {
						_, err = f.Write(make([]byte, 4096))
					}
					f.Close()
				}
			}
			st := s.Stats()
			got := positions(t, s.Reader("r"))
			if len(got) != st.Records || uint64(len(got))+st.Dropped != n || got[0] != 1 || got[len(got)-1] != n || len(got) < 8000 {
				t.Fatalf("%d held from %d to %d, %+v", len(got), got[0], got[len(got)-1], st)
			}
			mustClose(t, s)
			s = mustOpen(t, o)
			// Closing has put the last records on the disk, for which others had to go.
			again := positions(t, s.Reader("r"))
			if now := s.Stats(); uint64(len(again))+now.Dropped != n || len(again) < len(got)-3000 || again[0] != 1 || again[len(again)-1] != n {
				t.Errorf("opened again %d are held from %d, %d dropped; before %d, %d", len(again), again[0], now.Dropped, len(got), st.Dropped)
			}
			for _, pos := range got {
				s.Reader("r").Ack(pos)
			}
			mustAppend(t, s, "more")
			if err := s.flush(false); err != nil {
				t.Error(err)
			}
			mustClose(t, s)
		})
	}
}

package spool

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"gpsbridge/bridge/realtest"
)

// TestConnectedWritesNothingToADevice is the same on a block device, whose own count of written sectors includes what a
// file system adds.
func TestConnectedWritesNothingToADevice(t *testing.T) {
	dir, tmpfs := mount(t, "-o", "loop", ext4(t, 24)), onTmpfs(t)
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, Options{Dir: dir, Runtime: tmpfs})
		if _, err := os.Stat("/dev/shm"); err == nil && !strings.HasPrefix(string(s.boot[:]), "tmpfs") {
			t.Errorf("a tmpfs is not known for one: %q", s.boot)
		}
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

// sectors returns how many sectors were ever written to the device of a directory, everything in memory included.
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
		t.Fatal("this kernel does not count what is written: ", err)
	}
	if n, err = strconv.Atoi(strings.Fields(string(b))[6]); err != nil {
		t.Fatal(err)
	}
	return n
}

// mount mounts a file system for the test and returns its directory.
func mount(t *testing.T, args ...string) string {
	t.Helper()
	realtest.Need(t, realtest.Mount)
	dir := t.TempDir()
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Fatalf("mount %v: %v: %s", args, err, out)
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
	realtest.Need(t, realtest.Mount)
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(mib<<20), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	return image
}

// TestFileSystemWithoutReservation has a disk that cannot reserve space, as FAT cannot; here it is a ramfs.
func TestFileSystemWithoutReservation(t *testing.T) {
	o := Options{Dir: mount(t, "-t", "ramfs", "none"), Runtime: t.TempDir()}
	f, err := os.Create(filepath.Join(o.Dir, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 4096); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Fatalf("a ramfs reserves space: %v", err)
	}
	s := mustOpen(t, o)
	mustAppend(t, s, "a fix")
	mustClose(t, s)
	o.Runtime = t.TempDir()
	s = mustOpen(t, o)
	if got := contents(t, s.Reader("r")); len(got) != 1 || got[1] != "a fix" {
		t.Errorf("opened again: %v", got)
	}
}

// TestFullRealFileSystems fills small file systems, with nothing but the spool and with a neighbour that takes the rest.
func TestFullRealFileSystems(t *testing.T) {
	for name, args := range map[string]func(*testing.T) []string{
		"tmpfs": func(*testing.T) []string { return []string{"-t", "tmpfs", "-o", "size=12m", "none"} },
		"ext4":  func(t *testing.T) []string { return []string{"-o", "loop", ext4(t, 24)} },
	} {
		t.Run(name, func(t *testing.T) {
			dir := mount(t, args(t)...)
			o := Options{Dir: filepath.Join(dir, "spool"), Runtime: t.TempDir(), Sync: time.Hour} // ticks are the test's
			s := mustOpen(t, o)
			const n = 33_000
			data := strings.Repeat("x", 1500)
			for i := range n { // 50 MB
				mustAppend(t, s, data)
				if i%200 == 0 {
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
			if len(got) != st.Records || uint64(len(got))+st.Dropped != n || got[0] != 1 || got[len(got)-1] != n || len(got) < 2700 {
				t.Fatalf("%d held from %d to %d, %+v", len(got), got[0], got[len(got)-1], st)
			}
			mustClose(t, s)
			s = mustOpen(t, o)
			// Closing has put the last records on the disk, for which others had to go.
			again := positions(t, s.Reader("r"))
			if now := s.Stats(); uint64(len(again))+now.Dropped != n || len(again) < len(got)-1000 || again[0] != 1 || again[len(again)-1] != n {
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

// TestReadOnlyDiskIsReadAndKeptBeside opens a spool on a disk that has become read-only, as a worn card does: what it holds
// is given, and what comes survives the process in the recent part.
func TestReadOnlyDiskIsReadAndKeptBeside(t *testing.T) {
	dir := mount(t, "-t", "tmpfs", "-o", "size=12m", "none")
	remount := func(how string) {
		t.Helper()
		if out, err := exec.Command("mount", "-o", "remount,"+how, dir).CombinedOutput(); err != nil {
			t.Fatalf("remount %s: %v: %s", how, err, out)
		}
	}
	for name, runtime := range map[string]string{"with a runtime directory": onTmpfs(t), "without": ""} {
		o := Options{Dir: filepath.Join(dir, name), Runtime: runtime, Sync: time.Hour}
		s := mustOpen(t, o)
		for range 3 {
			mustAppend(t, s, "before")
		}
		mustClose(t, s)
		remount("ro")
		s = mustOpen(t, o)
		s.Reader("r").Ack(1)
		want := map[uint64]string{2: "before", 3: "before", mustAppend(t, s, "meanwhile"): "meanwhile"}
		if diff := cmp.Diff(want, contents(t, s.Reader("r"))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if err := s.Close(); !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: Close: %v", name, err)
		}
		if runtime == "" { // then this ends with the process
			want = map[uint64]string{1: "before", 2: "before", 3: "before"}
		}
		s = mustOpen(t, o)
		if diff := cmp.Diff(want, contents(t, s.Reader("r"))); diff != "" {
			t.Errorf("%s, opened again: %s", name, diff)
		}
		s.Close()
		remount("rw")
		mustClose(t, mustOpen(t, o)) // puts everything on the disk
		o.Runtime = t.TempDir()
		s = mustOpen(t, o)
		if diff := cmp.Diff(want, contents(t, s.Reader("r"))); diff != "" {
			t.Errorf("%s, on a disk that works again: %s", name, diff)
		}
		mustClose(t, s)
	}
}

package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/problem"
)

// TestDeletedDirectoryIsMadeAgain deletes it under a running spool: what is open is kept, and it is reported.
func TestDeletedDirectoryIsMadeAgain(t *testing.T) {
	for name, runtime := range map[string]bool{"with a runtime directory": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logged strings.Builder
				o := Options{Dir: filepath.Join(t.TempDir(), "spool"), Readers: []string{"r"}, Log: slog.New(slog.NewTextHandler(&logged, nil))}
				if runtime {
					o.Runtime = t.TempDir()
				}
				s := mustOpen(t, o)
				for i := range 10 {
					mustAppend(t, s, fmt.Sprint("before ", i))
				}
				time.Sleep(3 * time.Second) // they are on the disk
				synctest.Wait()             // and nothing writes
				if err := os.RemoveAll(o.Dir); err != nil {
					t.Fatal(err)
				}
				mustAppend(t, s, "after")
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if p := s.Stats().Problem; p == nil || p.Code != CodeDirDeleted || p.Fix == "" {
					t.Errorf("problem %v, want %s", p, CodeDirDeleted)
				}
				if n := strings.Count(logged.String(), "was deleted while in use"); n == 0 {
					t.Errorf("not logged:\n%s", logged.String())
				}
				if _, err := Open(o); problem.CodeOf(err) != CodeInUse {
					t.Errorf("another on the directory that was made again: %v, want %s", err, CodeInUse)
				}
				mustAppend(t, s, "later")
				time.Sleep(time.Until(s.noticed.Add(noticeTime - 1)))
				if p := s.Stats().Problem; p == nil {
					t.Errorf("no problem just before %s", noticeTime)
				}
				if time.Sleep(time.Nanosecond); s.Stats().Problem != nil {
					t.Errorf("problem %v, %s after", s.Stats().Problem, noticeTime)
				}
				mustClose(t, s)
				s = mustOpen(t, o)
				got := contents(t, s.Reader("r"))
				if len(got) != 12 || got[1] != "before 0" || got[11] != "after" || got[12] != "later" {
					t.Errorf("kept %v, want all 12", got)
				}
				mustClose(t, s)
			})
		})
	}
}

// TestDeletedJustBeforeTheEnd: what Close writes is found at the next start.
func TestDeletedJustBeforeTheEnd(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "spool"), Readers: []string{"r"}, Log: slog.New(slog.DiscardHandler), Sync: time.Hour}
	s := mustOpen(t, o)
	mustAppend(t, s, "x")
	if err := os.RemoveAll(o.Dir); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	if got := contents(t, s.Reader("r")); len(got) != 1 || got[1] != "x" {
		t.Errorf("kept %v, want x", got)
	}
	mustClose(t, s)
}

// TestGoneDirectoryIsAnErrorOfClose: nothing that is written to a directory that was moved away is kept for the next start.
func TestGoneDirectoryIsAnErrorOfClose(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "spool"), Readers: []string{"r"}, Log: slog.New(slog.DiscardHandler)}
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, o)
		mustAppend(t, s, "x")
		if err := os.Rename(o.Dir, o.Dir+".old"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if p := s.Stats().Problem; p == nil || p.Code != CodeDirGone {
			t.Errorf("problem %v, want %s", p, CodeDirGone)
		}
		if err := s.Close(); problem.CodeOf(err) != CodeDirGone {
			t.Errorf("Close: %v, want %s", err, CodeDirGone)
		}
	})
}

// TestPlantedLinksAreNotFollowed: a user with write access to the directory cannot lead the spool, or root's command, to another
// file.
func TestPlantedLinksAreNotFollowed(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	const secret = "not the spool's"
	fill := func(o Options) {
		t.Helper()
		s := mustOpen(t, o)
		for range 3 {
			mustAppend(t, s, "x")
		}
		mustClose(t, s)
	}
	for name, plant := range map[string]func(dir string) error{
		"next":    func(dir string) error { return os.Symlink(outside, filepath.Join(dir, nextName)) },
		"spare":   func(dir string) error { return os.Symlink(outside, filepath.Join(dir, spareName)) },
		"segment": func(dir string) error { return os.Symlink(outside, filepath.Join(dir, segmentName(7))) },
		"lock": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, lockName)), os.Symlink(outside, filepath.Join(dir, lockName)))
		},
		"recent": func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, recentName)), os.Symlink(filepath.Dir(outside), filepath.Join(dir, recentName)))
		},
		"hard link": func(dir string) error { return os.Link(outside, filepath.Join(dir, nextName)) },
		"fifo":      func(dir string) error { return unix.Mkfifo(filepath.Join(dir, segmentName(7)), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(outside, []byte(secret), 0o600); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadDir(filepath.Dir(outside))
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Dir: t.TempDir(), Readers: []string{"r"}, Log: slog.New(slog.DiscardHandler)}
			fill(o)
			if err := plant(o.Dir); err != nil {
				t.Fatal(err)
			}
			giveAway(t, o.Dir)
			_, _ = Drop(o.Dir, "") // it may refuse
			if s, err := Open(o); err == nil {
				_, _ = s.Append([]byte("more"))
				_ = s.flush(false)
				_ = s.Close()
			}
			if got, err := os.ReadFile(outside); err != nil || string(got) != secret {
				t.Errorf("the file outside is now %d bytes (%v), want it as it was", len(got), err)
			}
			if after, err := os.ReadDir(filepath.Dir(outside)); err != nil || len(after) != len(before) {
				t.Errorf("files were made outside: %v, %v", after, err)
			}
		})
	}
}

// giveAway gives directories and what is in them to another user, where the test runs as root. It leaves alone what has another
// name elsewhere.
func giveAway(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			info, infoErr := os.Lstat(path)
			if err != nil || infoErr != nil || os.Geteuid() != 0 || !e.IsDir() && info.Sys().(*syscall.Stat_t).Nlink > 1 {
				return errors.Join(err, infoErr)
			}
			return os.Lchown(path, stranger, stranger)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

const stranger = 65534 // nobody

// TestLinkInPlaceOfTheDirectory is followed unless another user made it.
func TestLinkInPlaceOfTheDirectory(t *testing.T) {
	dir, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	mustClose(t, mustOpen(t, Options{Dir: link, Readers: []string{"r"}}))
	if err := os.Lchown(link, stranger, stranger); err != nil {
		t.Skip("cannot give a link to another user: ", err)
	}
	if _, err := Open(Options{Dir: link, Readers: []string{"r"}}); !errors.Is(err, directory.ErrLink) {
		t.Errorf("a link of another user: %v, want %v", err, directory.ErrLink)
	}
}

// TestDirectoryReplacedByACopy goes on in the copy.
func TestDirectoryReplacedByACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Dir: filepath.Join(t.TempDir(), "spool")}
		s := mustOpen(t, o)
		mustAppend(t, s, "before")
		time.Sleep(3 * time.Second) // it is on the disk
		synctest.Wait()             // and nothing writes
		old := o.Dir + ".old"
		if err := errors.Join(os.Rename(o.Dir, old), os.CopyFS(o.Dir, os.DirFS(old))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for range 2 {
			mustAppend(t, s, "after")
			time.Sleep(3 * time.Second)
		}
		mustClose(t, s)
		s = mustOpen(t, o)
		if got := contents(t, s.Reader("r")); len(got) != 3 || got[1] != "before" || got[2] != "after" || got[3] != "after" {
			t.Errorf("kept %v", got)
		}
		mustClose(t, s)
	})
}

// TestFree: a directory can be used unless a spool holds it, or it cannot be opened.
func TestFree(t *testing.T) {
	used, closed, linked, none := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	mustOpen(t, Options{Dir: used})
	mustClose(t, mustOpen(t, Options{Dir: closed}))
	file := filepath.Join(none, "file")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(file, filepath.Join(linked, lockName))); err != nil {
		t.Fatal(err)
	}
	for dir, free := range map[string]bool{used: false, closed: true, linked: false, none: true, filepath.Join(none, "new"): true, file: false} {
		if err := Free(dir); (err == nil) != free || dir == used && problem.CodeOf(err) != CodeInUse {
			t.Errorf("%s: %v, free %t", dir, err, free)
		}
	}
}

// TestRecentPathOfOneSpool is the same whichever link leads to it.
func TestRecentPathOfOneSpool(t *testing.T) {
	dir, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	real, err := recentPath(dir, "run")
	linked, linkErr := recentPath(link, "run")
	other, otherErr := recentPath(filepath.Dir(dir), "run")
	if real != linked || real == other || errors.Join(err, linkErr, otherErr) != nil {
		t.Errorf("%q and %q, another %q", real, linked, other)
	}
}

// TestTmpfsIsKnown for one, and another file system is not.
func TestTmpfsIsKnown(t *testing.T) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Skip(err)
	}
	if isTmpfs("/proc") {
		t.Error("/proc is taken for a tmpfs")
	}
	if strings.Contains(string(mounts), " /dev/shm tmpfs ") && !isTmpfs("/dev/shm") {
		t.Error("/dev/shm is not known for a tmpfs")
	}
}

package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// stranger is another user: nobody.
const stranger = 65534

// planted is a directory of a stranger with links to what is not the stranger's. The test needs root.
type planted struct{ outside, precious, dir string }

const text = "another's"

func plant(t *testing.T) planted {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make links of another user")
	}
	p := planted{outside: t.TempDir(), dir: filepath.Join(t.TempDir(), "theirs")}
	p.precious = filepath.Join(p.outside, "precious")
	link := func(target, name string) error {
		return errors.Join(os.Symlink(target, filepath.Join(p.dir, name)), os.Lchown(filepath.Join(p.dir, name), stranger, stranger))
	}
	if err := errors.Join(os.WriteFile(p.precious, []byte(text), 0o600), os.Mkdir(p.dir, 0o700),
		link(p.precious, "file"), link(p.precious, "file.new"), link("../theirs/file", "far"), link(p.outside, "above"), link(filepath.Join(p.outside, "missing"), "dangling"),
		os.Link(p.precious, filepath.Join(p.dir, "hard")), os.Chown(p.dir, stranger, stranger)); err != nil {
		t.Fatal(err)
	}
	return p
}

// untouched fails the test when anything outside of the stranger's directory is not as it was.
func (p planted) untouched(t *testing.T) {
	t.Helper()
	names, err := os.ReadDir(p.outside)
	if got, readErr := os.ReadFile(p.precious); err != nil || readErr != nil || string(got) != text || len(names) != 1 {
		t.Errorf("outside there are now %v, with %q in the file, want it as it was", names, got)
	}
}

func TestLinksOfAnotherUserAreNotFollowed(t *testing.T) {
	for name, do := range map[string]func(dir string) error{
		"open":               func(dir string) error { _, err := Open(dir + "/above"); return err },
		"make":               func(dir string) error { _, err := Make(dir + "/above/sub"); return err },
		"make at the end":    func(dir string) error { _, err := Make(dir + "/dangling"); return err },
		"read":               func(dir string) error { _, err := ReadFile(dir + "/file"); return err },
		"read by two links":  func(dir string) error { _, err := ReadFile(dir + "/far"); return err },
		"read from below":    func(dir string) error { _, err := ReadFile(dir + "/above/precious"); return err },
		"read by hard link":  func(dir string) error { _, err := ReadFile(dir + "/hard"); return err },
		"rewrite":            func(dir string) error { return Rewrite(dir+"/file", nil) },
		"replace from below": func(dir string) error { return Replace(dir+"/above/precious", nil, 0o600) },
		"create from below":  func(dir string) error { return Replace(dir+"/above/new", nil, 0o600) },
		"write": func(dir string) error {
			d, err := Open(dir)
			if err != nil {
				return fmt.Errorf("the directory itself: %v", err)
			}
			defer d.Close()
			for _, name := range []string{"file", "hard", "dangling"} {
				f, openErr := d.OpenFile(name, unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC, 0o600)
				if openErr == nil {
					t.Errorf("%s was opened", name)
					f.Close()
				}
				err = openErr
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := plant(t)
			if err := do(p.dir); !errors.Is(err, ErrLink) && !errors.Is(err, unix.ELOOP) && !errors.Is(err, fs.ErrPermission) {
				t.Errorf("error %v, want that a link is not followed", err)
			}
			p.untouched(t)
		})
	}
}

// TestLinksInPlaceOfAFileAreReplaced by what root writes, which is the owner's.
func TestLinksInPlaceOfAFileAreReplaced(t *testing.T) {
	p := plant(t)
	for _, name := range []string{"file", "hard", "dangling"} {
		path := filepath.Join(p.dir, name)
		if err := Replace(path, []byte("new"), 0o640); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o640 || info.Sys().(*syscall.Stat_t).Uid != stranger {
			t.Errorf("%s: %v, %v, want a file of the owner", name, info, err)
		}
	}
	p.untouched(t)
	d, err := Make(filepath.Join(p.dir, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if st, err := d.Lstat("."); err != nil || st.Uid != stranger {
		t.Errorf("what root made in it is of user %d (%v), want the owner's", st.Uid, err)
	}
}

// TestOwnLinksAreFollowed, and root's: /var/lib/gpsbridge is one of them with DynamicUser=yes.
func TestOwnLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.MkdirAll(at("private/a/b"), 0o700), os.WriteFile(at("private/file"), []byte(text), 0o600), os.Symlink("private/a", at("link")),
		os.Symlink("../../file", at("private/a/b/up")), os.Symlink(at("link"), at("again")), os.Symlink("loop", at("loop"))); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadFile(at("again/b/up")); err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
	if err := Rewrite(at("again/b/up"), []byte("new")); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(at("private/file")); err != nil || string(got) != "new" {
		t.Errorf("what a link leads to was not rewritten: %q, %v", got, err)
	}
	d, err := Make(at("again/b/c"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := os.Stat(at("private/a/b/c")); err != nil || d.Name() != at("again/b/c") {
		t.Errorf("%s was opened (%v)", d.Name(), err)
	}
	if _, err := Open(at("loop")); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a link to itself: %v", err)
	}
	if _, err := Open("/"); err != nil {
		t.Error(err)
	}
	if _, err := ReadFile(at("none/file")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none") {
		t.Errorf("a missing directory: %v", err)
	}
}

// TestNothingIsLeft of a file that could not be replaced.
func TestNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte(text), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%v (%v) are there", names, err)
	}
}

// TestOnlyFilesAreOpened: a FIFO would block, a directory is none.
func TestOnlyFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600), os.Mkdir(filepath.Join(dir, "sub"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "sub"} {
		if _, err := ReadFile(filepath.Join(dir, name)); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: %v, want %v", name, err, ErrNotRegular)
		}
	}
}

// TestLargeFilesAreNotRead: a user who owns the directory could have the program take all memory.
func TestLargeFilesAreNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large")
	for size, want := range map[int64]error{maxFile: nil, maxFile + 1: ErrTooLarge} {
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFile(path); !errors.Is(err, want) || want == nil && len(got) != int(size) {
			t.Errorf("of %d bytes: %d read, %v, want %v", size, len(got), err, want)
		}
	}
}

// A rewritten file is a new one, with the mode and the owner of the old one.
func TestRewriteKeepsModeAndOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	owner, group := os.Getuid(), os.Getgid()
	if err := Rewrite(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("a new file: %v, %v, want one that everyone may read", info, err)
	}
	if owner == 0 {
		owner, group = stranger, stranger
	}
	if err := errors.Join(os.Chown(path, owner, group), os.Chmod(path, 0o640)); err != nil {
		t.Fatal(err)
	}
	old, err := os.Stat(path)
	if err := errors.Join(err, Rewrite(path, []byte("second"))); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st, _ := info.Sys().(*syscall.Stat_t)
	if got, _ := os.ReadFile(path); info.Mode().Perm() != 0o640 || int(st.Uid) != owner || int(st.Gid) != group || string(got) != "second" || os.SameFile(old, info) {
		t.Errorf("%v, owner %d, group %d, %q; want 0640, %d, %d, another file with the new text", info.Mode(), st.Uid, st.Gid, got, owner, group)
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("%v, %v, want the file alone", names, err)
	}
}

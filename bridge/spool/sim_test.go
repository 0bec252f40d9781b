package spool

import (
	"io/fs"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// simDirectory is a directory on a disk that forgets what was not synced when the power is cut, except for what it happened
// to have written already: sectors of files in any order, names in the order of their changes.
type simDirectory struct {
	mu      sync.Mutex // of the names, which one writes while others read, and of what is synced; other tests look when nothing writes
	names   map[string]*simFile
	durable map[string]*simFile
	pending []func(map[string]*simFile) // changes of names that are not durable
	fail    func(op, name string) error // nil: nothing fails
	written atomic.Int64                // bytes
	behind  int                         // writes to files of which a write or sync had failed
	space   int64                       // bytes free
}

type simFile struct {
	directory *simDirectory
	name      string // the latest, for fail
	b         []byte
	synced    []byte
	dirty     [][2]int // from, to
	failed    bool     // its contents are unknown
	bad       span     // bytes that do not read; none when both are 0
}

const sector = 512

func newSimDirectory() *simDirectory {
	return &simDirectory{names: map[string]*simFile{}, durable: map[string]*simFile{}, space: 1 << 40}
}

func (d *simDirectory) failed(op, name string) error {
	if d.fail == nil {
		return nil
	}
	return d.fail(op, name)
}

// get returns a file, nil when there is none.
func (d *simDirectory) get(name string) *simFile {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[name]
}

func (d *simDirectory) change(f func(map[string]*simFile)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d.names)
	d.pending = append(d.pending, f)
}

func (d *simDirectory) open(name string) (file, error) {
	if err := d.failed("open", name); err != nil {
		return nil, err
	}
	if f := d.get(name); f != nil {
		return f, nil
	}
	return nil, fs.ErrNotExist
}

func (d *simDirectory) create(name string, size int64) (file, error) {
	if err := d.failed("create", name); err != nil {
		return nil, err
	}
	f := &simFile{directory: d, name: name, b: make([]byte, size), synced: make([]byte, size)}
	d.change(func(names map[string]*simFile) { names[name] = f })
	return f, nil
}

func (d *simDirectory) rename(from, to string) error {
	if err := d.failed("rename", from); err != nil {
		return err
	}
	f := d.get(from)
	if f == nil {
		return fs.ErrNotExist
	}
	f.name = to
	d.change(func(names map[string]*simFile) {
		delete(names, from)
		names[to] = f
	})
	return nil
}

func (d *simDirectory) remove(name string) error {
	if err := d.failed("remove", name); err != nil {
		return err
	}
	if d.get(name) == nil {
		return fs.ErrNotExist
	}
	d.change(func(names map[string]*simFile) { delete(names, name) })
	return nil
}

func (d *simDirectory) list() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.names)), nil
}

func (d *simDirectory) free() (int64, error) { return d.space, nil }
func (d *simDirectory) moved() (bool, error) { return false, nil }
func (d *simDirectory) reopen() error        { return nil }
func (d *simDirectory) close() error         { return nil }

func (d *simDirectory) sync() error {
	if err := d.failed("syncdir", ""); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, change := range d.pending {
		change(d.durable)
	}
	d.pending = nil
	return nil
}

// cut is a power cut; chance decides of each thing that was not synced whether it reached the disk.
func (d *simDirectory) cut(chance func() bool) {
	for _, change := range d.pending {
		if !chance() {
			break
		}
		change(d.durable)
	}
	d.pending = nil
	d.names = maps.Clone(d.durable)
	for _, f := range d.names {
		now := slices.Clone(f.synced)
		for _, w := range f.dirty {
			for from := w[0]; from < w[1]; {
				to := min(w[1], (from/sector+1)*sector)
				if chance() {
					copy(now[from:to], f.b[from:to])
				}
				from = to
			}
		}
		f.b, f.synced, f.dirty = now, slices.Clone(now), nil
	}
}

func (f *simFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.directory.failed("read", f.name); err != nil {
		return 0, err
	}
	if from, to := int64(f.bad.from), int64(f.bad.to); off < to && off+int64(len(p)) > from {
		return 0, unix.EIO
	}
	return (&memFile{b: f.b, size: int64(len(f.b))}).ReadAt(p, off)
}

func (f *simFile) WriteAt(p []byte, off int64) (int, error) {
	if f.failed {
		f.directory.behind++
	}
	if err := f.directory.failed("write", f.name); err != nil {
		f.failed = true
		half := len(p) / 2 // a write that fails may have written a part
		copy(f.b[off:], p[:half])
		f.dirty = append(f.dirty, [2]int{int(off), int(off) + half})
		return half, err
	}
	f.directory.written.Add(int64(len(p)))
	f.dirty = append(f.dirty, [2]int{int(off), int(off) + len(p)})
	return copy(f.b[off:], p), nil
}

func (f *simFile) Sync() error {
	if err := f.directory.failed("sync", f.name); err != nil {
		f.failed = true
		// As Linux does: what was dirty counts as clean, and may or may not be on the disk. Here it is not.
		for _, w := range f.dirty {
			copy(f.b[w[0]:w[1]], f.synced[w[0]:w[1]])
		}
		f.dirty = nil
		return err
	}
	f.directory.mu.Lock()
	defer f.directory.mu.Unlock()
	f.synced, f.dirty = slices.Clone(f.b), nil
	return nil
}

func (f *simFile) Size() (int64, error) { return int64(len(f.b)), nil }
func (f *simFile) Close() error         { return nil }

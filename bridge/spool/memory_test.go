package spool

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"

	"pgregory.net/rapid"
)

// TestMemoryFileAgreesWithBytes: what was reserved and not written reads as zeros, and beyond it is the end.
func TestMemoryFileAgreesWithBytes(t *testing.T) {
	const size = 40
	rapid.Check(t, func(t *rapid.T) {
		m := memory{}
		created, err := m.create(nextName, size)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, size)
		for range rapid.IntRange(0, 5).Draw(t, "writes") {
			off := rapid.IntRange(0, size-1).Draw(t, "off")
			p := rapid.SliceOfN(rapid.Byte(), 0, size-off).Draw(t, "p")
			if n, err := created.WriteAt(p, int64(off)); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
			copy(want[off:], p)
		}
		if err := m.rename(nextName, "a"); err != nil {
			t.Fatal(err)
		}
		f, err := m.open("a")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := f.Size(); n != size || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		off := rapid.IntRange(0, size).Draw(t, "from")
		p := bytes.Repeat([]byte{0xff}, rapid.IntRange(0, size+10).Draw(t, "read"))
		n, err := f.ReadAt(p, int64(off))
		if wanted := min(len(p), size-off); n != wanted || !bytes.Equal(p[:n], want[off:off+n]) || (err == io.EOF) != (wanted < len(p)) {
			t.Fatalf("read %d bytes from %d: %d %v %x, want %x", len(p), off, n, err, p, want)
		}
	})
	m := memory{}
	if _, err := m.open("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

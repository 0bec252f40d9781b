package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestInspectDumpDrop(t *testing.T) {
	o := Options{Dir: t.TempDir(), Runtime: t.TempDir(), Readers: []string{"a", "b"}, Sync: time.Hour}
	if _, err := Inspect(o.Dir, o.Runtime); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory without a spool: %v", err)
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
	bytes := int64(4 * (recordHeader + len("fix 1")))
	disk, recent := l.Segments[0], l.Segments[1]
	if l.Bytes != bytes || disk.First != 1 || disk.Last != 4 || disk.Records != 4 || disk.Size != 1<<20 || disk.Format != Format ||
		recent.First != 1 || recent.Last != 5 || recent.Held != 1 {
		t.Errorf("%d bytes, want %d: %+v", l.Bytes, bytes, l.Segments)
	}
	stop, given := errors.New("enough"), 0
	if err := Dump(o.Dir, o.Runtime, func(Record) error { given++; return stop }); !errors.Is(err, stop) || given != 1 {
		t.Errorf("Dump gave %d records to a function that ends it: %v", given, err)
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

// TestSpoolWithoutReaders is one of which every reader was removed from the configuration: what it holds is shown and dropped.
func TestSpoolWithoutReaders(t *testing.T) {
	dir := t.TempDir()
	mustClose(t, mustOpen(t, Options{Dir: dir})) // for the lock
	b := appendRecord(encodeHeader(1, 0, minSegment), state{last: 2}.encode())
	for pos := range uint64(2) {
		b = appendRecord(b, record{kind: kindData, pos: pos + 1, data: []byte("fix")})
	}
	b = append(b, make([]byte, minSegment-len(b))...)
	for _, name := range segmentsIn(t, dir) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), b, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Inspect(dir, "")
	if err != nil || l.Records != 2 || l.Last != 2 || len(l.Readers) != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	if n, err := Drop(dir, ""); n != 2 || err != nil {
		t.Errorf("Drop = %d, %v, want 2", n, err)
	}
	if l, err := Inspect(dir, ""); err != nil || l.Records != 0 {
		t.Errorf("after Drop: %+v, %v", l, err)
	}
}

// segmentsIn are the files of all segments in a directory and below it.
func segmentsIn(t *testing.T, dir string) (names []string) {
	for _, pattern := range []string{"*", "*/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern+segmentSuffix))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	return names
}

// TestDropByRootLeavesTheDirectoryToItsOwner: the service goes on with what root has emptied.
func TestDropByRootLeavesTheDirectoryToItsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can do it")
	}
	o := Options{Dir: t.TempDir(), Runtime: t.TempDir()}
	s := mustOpen(t, o)
	mustAppend(t, s, "x")
	mustClose(t, s)
	o.Runtime = t.TempDir() // as after a start of the machine
	giveAway(t, o.Dir, o.Runtime)
	if n, err := Drop(o.Dir, o.Runtime); n != 1 || err != nil {
		t.Fatalf("Drop = %d, %v", n, err)
	}
	for _, dir := range []string{o.Dir, o.Runtime} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			info, statErr := os.Stat(path)
			if statErr == nil && info.Sys().(*syscall.Stat_t).Uid != stranger {
				err = fmt.Errorf("%s is root's", path)
			}
			return errors.Join(err, statErr)
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestInspectANewSpool: there is no record, and no position was given. A file of another format is listed with the rest.
func TestInspectANewSpool(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, Options{Dir: dir, Sync: time.Hour})
	l, err := Inspect(dir, "")
	if err != nil || l.Last != 0 || l.Records != 0 || len(l.Segments) != 2 {
		t.Errorf("%+v, %v", l, err)
	}
	for _, seg := range l.Segments {
		if seg.First != 1 || seg.Last != 0 || seg.Records != 0 {
			t.Errorf("%+v", seg)
		}
	}
	b := encodeHeader(40, 0, minSegment)
	b[8] = Format + 1
	binary.LittleEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
	other := filepath.Join(dir, segmentName(40))
	if err := os.WriteFile(other, b, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err = Inspect(dir, "")
	if err != nil || len(l.Segments) != 3 || l.Segments[1].Format != Format+1 || l.Segments[1].Path != other || !l.Segments[2].Recent {
		t.Errorf("with another format: %+v, %v", l.Segments, err)
	}
}

package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/problem"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tester is a test, or one check of a property.
type tester interface {
	Helper()
	Fatal(...any)
}

// got is a piece as it was read.
type got struct {
	At   time.Duration
	Data string
}

func readAll(t tester, r io.Reader) []got {
	t.Helper()
	var all []got
	for in := NewReader(r); ; {
		at, data, err := in.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got{at, string(data)})
	}
}

// wholeRecording puts the files of a recording together, oldest first.
func wholeRecording(t tester, path string) []byte {
	t.Helper()
	names, err := filepath.Glob(path + ".*")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, name := range append(names, path) { // Glob sorts
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func newWriter(t tester, c Config) *Writer {
	t.Helper()
	c.MinFree = -1 // whatever disk the tests run on
	w, err := Create(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func closeWriter(t tester, w *Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRoundTrip: any pieces at any times come back the same, over as many files as it takes.
func TestRoundTrip(t *testing.T) {
	piece := rapid.OneOf(
		rapid.SliceOfN(rapid.Byte(), 1, 5000),
		rapid.Map(rapid.SampledFrom([]string{"\n", "#", "#@1.000000 5\n", "# note\n", magic + " x\n", "$GPGGA,1*00\r\n", "$GPG", "\r\n"}),
			func(s string) []byte { return []byte(s) }),
	)
	pause := rapid.OneOf(rapid.Just(time.Duration(0)), rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(0, 300_000_000).Draw(t, "µs")) * time.Microsecond
	}))
	synctest.Test(t, func(t *testing.T) {
		n := 0
		dir := t.TempDir()
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) { // asking for the test's deadline is not allowed in a bubble
			n++
			path := filepath.Join(dir, fmt.Sprint(n, ".nmea"))
			w := newWriter(t, Config{Path: path, Total: 1 << 20, Source: "/dev/fake"})
			done := false
			defer func() { // rapid may leave a check in the middle
				if !done {
					_ = w.Close()
				}
			}()
			began := time.Now()
			var want []got
			for _, p := range rapid.SliceOfN(piece, 0, 100).Draw(t, "pieces") {
				time.Sleep(pause.Draw(t, "pause"))
				want = append(want, got{time.Since(began), string(p)})
				w.Data(p)
				if rapid.IntRange(0, 20).Draw(t, "note") == 0 {
					w.Note("opened\nagain")
				}
			}
			done = true
			closeWriter(t, w)
			if st := w.Status(); st.Lost != 0 {
				t.Fatalf("status: %+v", st)
			}
			if diff := cmp.Diff(want, readAll(t, bytes.NewReader(wholeRecording(t, path)))); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
		})
	})
}

const epoch = "$GNRMC,090001.00,A,5130.20181,N,00007.65743,W,27.0,84.4,231126,,,A*6F\r\n" +
	"$GNGGA,090001.00,5130.20181,N,00007.65743,W,1,09,0.80,11.2,M,46.7,M,,*5B\r\n"

// TestFormat pins what is written, and that it reads as a log with comments.
func TestFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "drive.nmea")
		w := newWriter(t, Config{Path: path, Source: "/dev/ttyUSB0"})
		time.Sleep(1204518 * time.Microsecond)
		for range 2 { // as a serial port gives them
			w.Data([]byte(epoch[:64]))
			time.Sleep(16003 * time.Microsecond)
			w.Data([]byte(epoch[64:128]))
			time.Sleep(16 * time.Millisecond)
			w.Data([]byte(epoch[128:]))
			time.Sleep(time.Second - 32003*time.Microsecond)
		}
		w.Note("opened")
		w.Note("opened again")
		w.Data([]byte("\xb5\x62\x01"))
		w.Note("opened for nothing")
		closeWriter(t, w)
		want := "# gpsbridge recording 1, begun 2000-01-01T00:00:00.000000Z, /dev/ttyUSB0\n" +
			"#@1.204518 64 +16003 64 +16000 17\n" + epoch +
			"#@2.204518 64 +16003 64 +16000 17\n" + epoch +
			"# opened again\n" +
			"#@3.204518 3\n\xb5\x62\x01\n"
		if diff := cmp.Diff(want, string(wholeRecording(t, path))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestCutFile: a recording that a power cut has cut anywhere plays up to there.
func TestCutFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "drive.nmea")
		w := newWriter(t, Config{Path: path})
		for range 3 {
			w.Data([]byte(epoch[:70]))
			w.Data([]byte(epoch[70:]))
			time.Sleep(time.Second)
		}
		closeWriter(t, w)
		whole := wholeRecording(t, path)
		all := strings.Repeat(epoch, 3)
		longest := 0
		for cut := range whole {
			var data strings.Builder
			for _, g := range readAll(t, bytes.NewReader(whole[:cut])) {
				data.WriteString(g.Data)
			}
			if !strings.HasPrefix(all, data.String()) {
				t.Fatalf("cut at %d: read %q", cut, data.String())
			}
			if missing := cut - data.Len(); missing > len(whole)-len(all) {
				t.Fatalf("cut at %d: only %d bytes were read", cut, data.Len())
			}
			longest = max(longest, data.Len())
		}
		if longest != len(all)-1 {
			t.Errorf("%d bytes of %d were read when one was cut off", longest, len(all))
		}
	})
}

func TestDamage(t *testing.T) {
	const head, other = magic + " begun 2026-11-23T09:00:00.000000Z, a\n", magic + " begun 2026-11-23T10:00:00.000000Z, a\n"
	s := time.Second
	tests := []struct {
		name, file string
		want       []got
	}{
		{"empty", "", nil},
		{"head alone", head, nil},
		{"block damaged", head + "#@1.000000 2\na\n#@2.00x000 2\nb\n#@3.000000 2\nc\n", []got{{s, "a\n"}, {s, "b\n"}, {3 * s, "c\n"}}},
		{"too much promised", head + "#@1.000000 99999999\na\n", []got{{0, "a\n"}}},
		{"no size", head + "#@1.000000\na\n", []got{{0, "a\n"}}},
		{"negative", head + "#@1.000000 2 +-5 2\na\nb\n", []got{{0, "a\n"}, {0, "b\n"}}},
		{"line deleted by hand", head + "#@1.000000 4\na\n#@2.000000 2\nb\n", []got{{s, "a\n#@"}, {s, "2.000000 2\n"}, {s, "b\n"}}},
		{"times go back", head + "#@5.000000 2\na\n#@2.000000 2\nb\n#@3.000000 2\nc\n", []got{{5 * s, "a\n"}, {5 * s, "b\n"}, {6 * s, "c\n"}}},
		{"same recording goes on", head + "#@5.000000 2\na\n" + head + "#@65.000000 2\nb\n", []got{{5 * s, "a\n"}, {65 * s, "b\n"}}},
		{"another recording follows at once", head + "#@0.000000 2\na\n" + other + "#@3600.000000 2\nb\n#@3601.000000 2\nc\n",
			[]got{{0, "a\n"}, {0, "b\n"}, {s, "c\n"}}},
		{"line ends of another system", head + "#@1.000000 2\r\na\n", []got{{s, "a\n"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, readAll(t, strings.NewReader(test.file))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(magic + " begun x\n#@1.000000 2 +5 3\nab\ncd\n# note\n$GP\n"))
	f.Add([]byte("#@315360000.000000 1 +999999 1\nab"))
	f.Fuzz(func(t *testing.T, b []byte) {
		last := time.Duration(0)
		total := 0
		for r := NewReader(bytes.NewReader(b)); ; {
			at, data, err := r.Next()
			if err != nil {
				break
			}
			if at < last || len(data) == 0 {
				t.Fatalf("%d bytes at %v after %v", len(data), at, last)
			}
			last, total = at, total+len(data)
		}
		if total > len(b) {
			t.Errorf("%d bytes came out of %d", total, len(b))
		}
	})
}

// TestBound: new files are begun, the oldest removed, and what was there before a start is kept as long as there is room.
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "drive.nmea")
		for _, other := range []string{"drive.nmea.000001.bak", "drive.nmea.1", "other.nmea.000001"} { // not ours
			if err := os.WriteFile(filepath.Join(dir, other), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c := Config{Path: path, Total: 256 << 10}
		for range 3 { // starts
			w := newWriter(t, c)
			for range 300 {
				w.Data(bytes.Repeat([]byte("$GPGGA\r\n"), 100))
				time.Sleep(time.Second)
			}
			closeWriter(t, w)
		}
		closeWriter(t, newWriter(t, c)) // hears nothing, and leaves nothing but an empty file
		closeWriter(t, newWriter(t, c))
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		sum, ours := int64(0), 0
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Size() != 4 {
				ours++
				sum += info.Size()
				if info.Size() > c.fileSize() {
					t.Errorf("%s has %d bytes", e.Name(), info.Size())
				}
			}
		}
		if len(entries) != ours+3 || ours < 4 || sum > c.Total || sum < c.Total/2 {
			t.Errorf("%d files of the recording among %d, %d bytes", ours, len(entries), sum)
		}
	})
}

// TestFlush: what has come is in the file after two intervals at most, and the disk is left alone between.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeDisk{}
		w := createOn(t, disk, Config{})
		for range 60 {
			w.Data([]byte(epoch))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := disk.writes; n < 6 || n > 8 { // the head is one
			t.Errorf("%d writes in a minute, want one in 10 s", n)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := strings.Count(disk.String(), "$GNRMC"); n != 60 {
			t.Errorf("%d epochs are written of 60", n)
		}
		closeWriter(t, w)
	})
}

// fakeDisk is a disk that can be full or hang.
type fakeDisk struct {
	bytes.Buffer
	writes int
	full   atomic.Bool
	hang   chan struct{}
}

func (d *fakeDisk) Write(p []byte) (int, error) {
	if d.hang != nil {
		<-d.hang
	}
	d.writes++
	if d.full.Load() {
		n, _ := d.Buffer.Write(p[:len(p)/2])
		return n, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return d.Buffer.Write(p)
}

func (d *fakeDisk) Close() error { return nil }

func createOn(t *testing.T, d *fakeDisk, c Config) *Writer {
	t.Helper()
	c.Path, c.MinFree = filepath.Join(t.TempDir(), "drive.nmea"), -1
	w, err := create(c, func() (io.WriteCloser, error) { return d, nil })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestFullDisk: the recording ends with one line, and what was written can be played.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, log := &fakeDisk{}, &bytes.Buffer{}
		w := createOn(t, disk, Config{Log: slog.New(slog.NewTextHandler(log, nil))})
		for i := range 100 {
			if i == 45 { // between two writes
				disk.full.Store(true)
			}
			w.Data([]byte(epoch))
			time.Sleep(time.Second)
		}
		st := w.Status()
		closeWriter(t, w)
		want := &problem.Problem{Code: DiskFull, Key: "record", Cause: st.Path + ": the disk is full", Fix: "free space, or record elsewhere"}
		if !st.Problem.Same(want) {
			t.Errorf("stopped: %v\nwant     %v", st.Problem, want)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "the disk is full") {
			t.Errorf("log: %s", log)
		}
		if st.Bytes >= 100*uint64(len(epoch)) {
			t.Error("it goes on taking bytes")
		}
		played := 0
		for _, g := range readAll(t, bytes.NewReader(disk.Bytes())) {
			played += strings.Count(g.Data, "$GNRMC")
		}
		if played < 40 {
			t.Errorf("%d epochs can be played of 45", played)
		}
	})
}

// TestHangingDisk: a disk that does not come back delays no reader, memory is bounded, and what is lost is logged.
func TestHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeDisk{hang: make(chan struct{})}
		w := createOn(t, disk, Config{})
		p := bytes.Repeat([]byte("$GPGGA\r\n"), 512)
		for range 600 {
			w.Data(p) // a call that waits would be a deadlock here
			time.Sleep(time.Second)
		}
		st := w.Status()
		if st.Bytes != 600*uint64(len(p)) || st.Lost == 0 || st.Lost > st.Bytes-memoryLimit/2 {
			t.Errorf("status: %+v", st)
		}
		close(disk.hang)
		synctest.Wait()
		w.Data([]byte("$GPEND\r\n"))
		closeWriter(t, w)
		var read uint64
		for _, g := range readAll(t, bytes.NewReader(disk.Bytes())) {
			read += uint64(len(g.Data))
		}
		if st = w.Status(); read+st.Lost != st.Bytes {
			t.Errorf("%d bytes were read and %d lost of %d", read, st.Lost, st.Bytes)
		}
		if !strings.Contains(disk.String(), fmt.Sprintf("# %d bytes are missing here", st.Lost)) {
			t.Error("the file does not say that bytes are missing")
		}
	})
}

func TestLowOnSpace(t *testing.T) {
	log := &bytes.Buffer{}
	path := filepath.Join(t.TempDir(), "drive.nmea")
	synctest.Test(t, func(t *testing.T) {
		w, err := Create(Config{Path: path, MinFree: 1 << 62, Log: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		w.Data([]byte(epoch))
		time.Sleep(time.Minute)
		if st := w.Status(); st.Problem == nil || st.Problem.Code != DiskFull || !strings.HasSuffix(st.Problem.Cause, "MiB are free on the disk") {
			t.Errorf("status: %+v", st)
		}
		closeWriter(t, w)
	})
}

func TestCannotRecord(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, []byte("not a recording, and longer than its first line would be"), 0o600); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		c    Config
		want string
	}{
		{Config{}, "record: it is empty: name a file"},
		{Config{Path: precious}, "record: " + precious + " exists and is not a recording: name another file"},
		{Config{Path: short}, "record: " + short + " exists and is not a recording: name another file"},
		{Config{Path: dir}, "record: " + dir + " is not a file: name one to record to"},
		{Config{Path: dir + "/none/a"}, "record: " + dir + "/none/a: its directory does not exist: make it, or name another file"},
		{Config{Path: dir + "/a", Total: 100 << 10}, "record_max: a total of 102400 bytes is too small for files of 65536: use twice that or more"},
	}
	for _, test := range tests {
		_, err := Create(test.c)
		if err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
	if b, err := os.ReadFile(precious); err != nil || !strings.HasPrefix(string(b), "not a recording") {
		t.Errorf("the file that was there: %q, %v", b, err)
	}
}

// A user who may write in the directory cannot lead the daemon to another file.
func TestRecordingFollowsNoLinks(t *testing.T) {
	outside, path := filepath.Join(t.TempDir(), "outside"), filepath.Join(t.TempDir(), "drive.log")
	if err := os.Symlink(outside, path); err != nil {
		t.Fatal(err)
	}
	if w, err := Create(Config{Path: path}); err == nil {
		w.Close()
		t.Error("a link was followed")
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("a file was made outside")
	}
}

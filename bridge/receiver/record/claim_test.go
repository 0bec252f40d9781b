package record

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestOneWriter: who records to a path keeps it, before the first byte, through a change of files and until the end.
func TestOneWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "drive.nmea")
		old := newWriter(t, Config{Path: path, Total: 512 << 10})
		for range 100 { // two files and more
			old.Data(bytes.Repeat([]byte("$GPGGA\r\n"), 200))
			time.Sleep(time.Second)
		}
		closeWriter(t, old)
		refused := func(when string) {
			t.Helper()
			before := names(t, dir)
			_, err := Create(Config{Path: path, Total: 128 << 10, MinFree: -1}) // has room for less than is there
			if want := "record: " + path + " is recorded by another program: name another file"; err == nil || err.Error() != want {
				t.Errorf("%s:\ngot  %v\nwant %s", when, err, want)
			}
			if diff := cmp.Diff(before, names(t, dir)); diff != "" {
				t.Errorf("%s: files (-before +after):\n%s", when, diff)
			}
		}
		w := newWriter(t, Config{Path: path, Total: 512 << 10})
		refused("nothing written")
		n := len(names(t, dir))
		for range 100 {
			w.Data(bytes.Repeat([]byte("$GPGGA\r\n"), 200))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if st := w.Status(); st.Problem != nil || len(names(t, dir)) <= n {
			t.Fatalf("no change of files: %+v", st)
		}
		refused("after a change of files")
		closeWriter(t, w)
		closeWriter(t, newWriter(t, Config{Path: path}))
	})
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

package record

import (
	"io"
	"path/filepath"
	"testing"
)

// discard is a disk that takes everything.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// BenchmarkData is what recording costs the receiver's goroutine for a piece of a sentence's size.
func BenchmarkData(b *testing.B) {
	c := Config{Path: filepath.Join(b.TempDir(), "drive.nmea"), MinFree: -1}
	w, err := create(c, func() (io.WriteCloser, error) { return discard{}, nil })
	if err != nil {
		b.Fatal(err)
	}
	p := []byte(epoch[:71])
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		w.Data(p)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

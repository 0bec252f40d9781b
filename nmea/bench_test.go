package nmea

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// benchStream returns a recorded log when there is one, and else an hour of a receiver's sentences.
func benchStream(b *testing.B) []byte {
	b.Helper()
	dir := os.Getenv("TEST_GPSBRIDGE_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "corpus", "gpsd")
	}
	if p, err := os.ReadFile(filepath.Join(dir, "ublox-8.log")); err == nil {
		return p
	}
	b.Log("no recorded log: the stream is made up")
	var s stream
	for i := range 3600 {
		s.epoch(36000+float64(i), "RMC", "VTG", "GGA", "GSA", "GSV", "GLL")
	}
	return s.Bytes()
}

// discard takes fixes and skies and forgets them.
type discard struct{ fixes int }

func (d *discard) Fix(*Fix) { d.fixes++ }
func (d *discard) Sky(*Sky) {}

func BenchmarkScan(b *testing.B) {
	p := benchStream(b)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		var s Scanner
		s.Scan(p, func([]byte) { n++ })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/sentence")
}

// encoder encodes into one buffer.
type encoder struct{ buf []byte }

func (e *encoder) Fix(f *Fix) { e.buf = f.AppendJSON(e.buf[:0]) }
func (e *encoder) Sky(s *Sky) { e.buf = s.AppendJSON(e.buf[:0]) }

// BenchmarkPipeline measures scan, parse, assemble and encode.
func BenchmarkPipeline(b *testing.B) {
	p := benchStream(b)
	a := NewAssembler(&encoder{}, Options{})
	var s Scanner
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	rounds := 0
	for b.Loop() {
		s.Scan(p, a.Push)
		a.Reset()
		rounds++
	}
	n := float64(s.Stats().Sentences)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/sentence")
	b.ReportMetric(testing.AllocsPerRun(1, func() {
		s.Scan(p, a.Push)
		a.Reset()
	})*float64(rounds)/n, "allocs/sentence")
}

// BenchmarkAppendJSON measures the encoding of a full fix.
func BenchmarkAppendJSON(b *testing.B) {
	f := fullFix()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = f.AppendJSON(buf[:0])
	}
}

// BenchmarkAssembler measures parse and assemble alone.
func BenchmarkAssembler(b *testing.B) {
	var sentences [][]byte
	var s Scanner
	s.Scan(benchStream(b), func(p []byte) { sentences = append(sentences, bytes.Clone(p)) })
	a := NewAssembler(&discard{}, Options{})
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for _, p := range sentences {
			a.Push(p)
		}
		a.Reset()
		n += len(sentences)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/sentence")
}

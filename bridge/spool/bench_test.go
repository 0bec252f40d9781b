package spool

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// fix is the size of a message of a fix with everything in it.
var fix = []byte(strings.Repeat("x", 280))

// onTmpfs returns a directory for what is on a tmpfs in a real machine.
func onTmpfs(b testing.TB) string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		dir, err := os.MkdirTemp("/dev/shm", "spool")
		if err == nil {
			b.Cleanup(func() { os.RemoveAll(dir) })
			return dir
		}
	}
	return b.TempDir()
}

func BenchmarkAppend(b *testing.B) {
	for name, o := range map[string]Options{
		"memory":    {},
		"tmpfs":     {Dir: b.TempDir(), Runtime: onTmpfs(b)},
		"disk only": {Dir: b.TempDir()},
	} {
		b.Run(name, func(b *testing.B) {
			s := mustOpen(b, o)
			b.ReportAllocs()
			for b.Loop() {
				mustAppend(b, s, string(fix))
			}
		})
	}
}

// BenchmarkAppendAck is what a connected tracker does for a record.
func BenchmarkAppendAck(b *testing.B) {
	for name, o := range map[string]Options{
		"memory": {},
		"tmpfs":  {Dir: b.TempDir(), Runtime: onTmpfs(b)},
	} {
		b.Run(name, func(b *testing.B) {
			s := mustOpen(b, o)
			r := s.Reader("r")
			b.ReportAllocs()
			for b.Loop() {
				pos := mustAppend(b, s, string(fix))
				if _, _, err := r.Next(pos - 1); err != nil {
					b.Fatal(err)
				}
				r.Ack(pos)
			}
		})
	}
}

// million fills a spool with a million records, of which the reader has acknowledged some, in and out of order.
func million(b *testing.B) Options {
	o := Options{Dir: b.TempDir(), Runtime: onTmpfs(b), Max: 1 << 30}
	s := mustOpen(b, o)
	for i := range 1_000_000 {
		mustAppend(b, s, string(fix))
		if i%1000 == 0 {
			if err := s.flush(false); err != nil {
				b.Fatal(err)
			}
		}
	}
	r := s.Reader("r")
	for pos := range uint64(5000) {
		r.Ack(pos + 1)
		r.Ack(500_000 + pos)
		r.Ack(990_000 + pos)
	}
	mustClose(b, s)
	return o
}

func BenchmarkOpenMillion(b *testing.B) {
	o := million(b)
	for b.Loop() {
		s := mustOpen(b, o)
		if n := s.Stats().Records; n != 985_000 {
			b.Fatalf("%d records are held", n)
		}
		b.StopTimer()
		mustClose(b, s)
		b.StartTimer()
	}
}

// BenchmarkDrainMillion reads and acknowledges a backlog of a million records, and reports the memory that it takes.
func BenchmarkDrainMillion(b *testing.B) {
	for range b.N {
		b.StopTimer()
		o := million(b)
		b.StartTimer()
		s := mustOpen(b, o)
		r := s.Reader("r")
		var high uint64
		for n, after := 0, uint64(0); n < 985_000; n++ {
			pos, _, err := r.Next(after)
			if err != nil || pos == 0 {
				b.Fatal(n, pos, err)
			}
			r.Ack(pos)
			after = pos
			if n%100_000 == 50_000 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				high = max(high, m.HeapAlloc)
			}
		}
		b.ReportMetric(float64(high)/1e6, "MB-heap")
		mustClose(b, s)
	}
}

package share

import (
	"io"
	"net"
	"testing"
)

// BenchmarkData is what four clients that read cost the receiver's goroutine for a piece of a sentence's size.
func BenchmarkData(b *testing.B) {
	s, err := Listen(Config{Listen: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(b.Context()) }()
	for range 4 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, c) }() // ends with the server
		b.Cleanup(func() { _ = c.Close() })
	}
	b.Cleanup(func() {
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	p := []byte("$GNRMC,090001.00,A,5130.20181,N,00007.65743,W,27.0,84.4,231126,,,A*6F\r\n")
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		s.Data(p)
	}
}

package serial

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
)

// TestRestLosesNothing plays to a real terminal whose reader rests whenever it has read: as fast as it is taken, and at the
// pace of 115200 baud.
func TestRestLosesNothing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		bytes int
		chunk int
		every time.Duration
	}{
		{"full speed", 1 << 20, 4096, 0},
		{"115200 baud", 5760, 115, 10 * time.Millisecond},
		{"in bursts", 16 << 10, 2000, 60 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLine(t)
			ctx, cancel := context.WithCancel(t.Context())
			rec, done := receivertest.NewRecorder(), make(chan error, 1)
			rec.RestFor = 50 * time.Millisecond
			r := receiver.New(fixed(l.path, 115200), receiver.Config{})
			go func() { done <- r.Run(ctx, rec) }()
			rec.Wait(t, "opened port", func(string) bool { return r.Status().Opens == 1 })
			sent := make([]byte, test.bytes)
			for i := range sent {
				sent[i] = byte(i * i >> 3)
			}
			for at := 0; at < len(sent); at += test.chunk {
				if test.every > 0 {
					<-time.After(test.every) // the pace of the line is what is tested
				}
				if _, err := l.master.Write(sent[at:min(at+test.chunk, len(sent))]); err != nil {
					t.Fatal(err)
				}
			}
			rec.Wait(t, "whole", func(data string) bool { return len(data) >= len(sent) })
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
			if !bytes.Equal([]byte(rec.All()), sent) {
				t.Error("the bytes came out changed")
			}
		})
	}
}

// TestGate: a rest lasts as long as it should although bytes come, they are there behind it, and Close ends it at once.
func TestGate(t *testing.T) {
	l := newLine(t)
	g, err := openSerial(l.path, 115200)
	if err != nil {
		t.Fatal(err)
	}
	const rest = 50 * time.Millisecond
	until := time.Now().Add(rest)
	go func() { _, _ = l.master.WriteString("hello") }()
	if err := g.Rest(until); err != nil || time.Now().Before(until) {
		t.Errorf("rest: %v, %v too early", err, time.Until(until))
	}
	buf := make([]byte, 100)
	if err := g.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := g.Read(buf); string(buf[:n]) != "hello" || err != nil {
		t.Errorf("behind the rest: %q, %v", buf[:n], err)
	}
	if err := g.SetReadDeadline(time.Now().Add(rest)); err != nil {
		t.Fatal(err)
	}
	if n, err := g.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at the deadline: %d bytes, %v", n, err)
	}
	if err := g.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-time.After(rest) // most likely Read waits by then
		_, _ = l.master.WriteString("again")
	}()
	if n, err := g.Read(buf); string(buf[:n]) != "again" || err != nil {
		t.Errorf("what wakes a read behind a rest: %q, %v", buf[:n], err)
	}
	ended := make(chan error)
	go func() { ended <- g.Rest(time.Now().Add(time.Hour)) }()
	if err := g.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a rest that was broken off returned nil")
		}
	case <-time.After(time.Minute):
		t.Fatal("Close did not end a rest")
	}
}

package source_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"
)

// countingConn counts how often a deadline is set.
type countingConn struct {
	net.Conn
	sets int
}

func (c *countingConn) SetReadDeadline(t time.Time) error {
	c.sets++
	return c.Conn.SetReadDeadline(t)
}

// TestReader: a deadline that moves with every byte is set again when it has passed, and holds to the nanosecond all the same.
func TestReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		const bytes, apart, wait = 1000, 10 * time.Millisecond, 250 * time.Millisecond
		go func() {
			for range bytes {
				time.Sleep(apart)
				receivertest.Write(t, there, "a")
			}
		}()
		c := &countingConn{Conn: here}
		in, buf, last := source.Reader{Conn: c}, make([]byte, 10), time.Now()
		for range bytes {
			if n, err := in.Read(buf, last.Add(wait)); n != 1 || err != nil {
				t.Fatalf("%d bytes, %v", n, err)
			}
			last = time.Now()
		}
		if most := int(bytes*apart/(wait-apart)) + 1; c.sets > most {
			t.Errorf("%d deadlines were set for %d bytes, want at most %d", c.sets, bytes, most)
		}
		for _, wait := range []time.Duration{wait, 10 * time.Second, wait} { // a later one, and an earlier one
			last = time.Now()
			if n, err := in.Read(buf, last.Add(wait)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(last) != wait {
				t.Errorf("silence: %d bytes, %v after %v, want the deadline after %v", n, err, time.Since(last), wait)
			}
		}
		go func() { time.Sleep(time.Hour); receivertest.Write(t, there, "b"); there.Close() }()
		if n, err := in.Read(buf, time.Time{}); n != 1 || err != nil {
			t.Errorf("without a deadline: %d bytes, %v", n, err)
		}
		if _, err := in.Read(buf, last.Add(2*time.Hour)); err != io.EOF {
			t.Errorf("the end: %v", err)
		}
	})
}

// TestReaderOfAProcessThatDidNotRun: what came before a deadline is not lost to it because the read was late.
func TestReaderOfAProcessThatDidNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		in, buf := source.Reader{Conn: here}, make([]byte, 10)
		go receivertest.Write(t, there, "a")
		synctest.Wait()
		if n, err := in.Read(buf, time.Now().Add(-time.Second)); n != 1 || err != nil {
			t.Errorf("%d bytes, %v, want the byte that had come", n, err)
		}
		began := time.Now()
		if n, err := in.Read(buf, began.Add(-time.Second)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > 250*time.Millisecond {
			t.Errorf("%d bytes, %v after %v, want the deadline", n, err, time.Since(began))
		}
	})
}

// fullConn always has more.
type fullConn struct {
	net.Conn
	left int
}

func (c *fullConn) SetReadDeadline(time.Time) error { return nil }
func (c *fullConn) Close() error                    { return nil }
func (c *fullConn) Read(p []byte) (int, error) {
	if c.left--; c.left < 0 {
		return 0, io.EOF
	}
	return len(p), nil
}

// wants hands each block on, and counts the blocks that were not taken in time.
type wants struct {
	blocks chan struct{}
	missed int
}

func (w *wants) Opened()             {}
func (w *wants) Quiet()              {}
func (w *wants) Rest() time.Duration { return 0 }
func (w *wants) Data([]byte) {
	select {
	case w.blocks <- struct{}{}:
	default:
		w.missed++
	}
}

// TestGivesWay: on one processor, who takes what was read gets to run between two reads of a source that never waits.
func TestGivesWay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const blocks = 1000
	w := &wants{blocks: make(chan struct{}, 4)}
	took := make(chan int)
	go func() {
		n := 0
		for range w.blocks {
			n++
		}
		took <- n
	}()
	src := &receivertest.FakeSource{Kind: source.Traits{Finite: true}, Try: func(int) (source.Conn, error) { return &fullConn{left: blocks}, nil }}
	if err := receiver.New(src, receiver.Config{}).Run(context.Background(), w); err != nil {
		t.Error(err)
	}
	close(w.blocks)
	if n := <-took; n != blocks || w.missed != 0 {
		t.Errorf("%d of %d blocks were taken, %d came too fast", n, blocks, w.missed)
	}
}

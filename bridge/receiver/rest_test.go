package receiver

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// restful is a recorder that needs nothing for a while after each Data.
type restful struct {
	*recorder
	rest time.Duration
}

func (r restful) Rest() time.Duration { return r.rest }

// restLine is a conn that notes its rests.
type restLine struct {
	net.Conn
	most  time.Duration
	rests []time.Duration
	shut  chan struct{}
}

func newRestLine(c net.Conn, most time.Duration) *restLine {
	return &restLine{Conn: c, most: most, shut: make(chan struct{})}
}

func (l *restLine) mostRest() time.Duration { return l.most }
func (l *restLine) Close() error            { close(l.shut); return l.Conn.Close() }
func (l *restLine) rest(until time.Time) error {
	l.rests = append(l.rests, time.Until(until))
	if err := l.Conn.SetReadDeadline(until); err != nil {
		return err
	}
	select {
	case <-time.After(time.Until(until)):
		return nil
	case <-l.shut:
		return os.ErrClosed
	}
}

// resting is a source of one restLine.
type resting struct{ line *restLine }

func (s resting) finite() bool { return false }
func (s resting) open(context.Context) (stream, error) {
	return stream{conn: s.line, port: "/dev/fake", rester: s.line}, nil
}

// inRest runs a receiver whose consumer wants rests, for test to write to its line.
func inRest(t *testing.T, rest, most time.Duration, test func(t *testing.T, line *restLine, other net.Conn, rec *recorder)) {
	synctest.Test(t, func(t *testing.T) {
		mine, other := net.Pipe()
		line, rec := newRestLine(mine, most), newRecorder()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- newReceiver(Config{}, resting{line}).Run(ctx, restful{rec, rest}) }()
		synctest.Wait()
		test(t, line, other, rec)
		began := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(began) != 0 {
			t.Errorf("Run: %v after %v", err, time.Since(began))
		}
	})
}

// TestRest: how long it is, that what comes in it is read behind it, and that silence is counted from there.
func TestRest(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name             string
		wants, most, got time.Duration
	}{
		{"as wanted", 80 * ms, time.Second, 80 * ms},
		{"not worth it", 5 * ms, time.Second, 0},
		{"none", 0, time.Second, 0},
		{"as the line allows", 80 * ms, 30 * ms, 30 * ms},
		{"at most", time.Hour, time.Hour, maxRest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inRest(t, test.wants, test.most, func(t *testing.T, line *restLine, other net.Conn, rec *recorder) {
				write(t, other, "a")
				write(t, other, "b") // in the rest
				time.Sleep(time.Second)
				synctest.Wait()
				want := []event{{0, "opened"}, {0, "a"}, {test.got, "b"}, {test.got + DefaultQuiet, "quiet"}}
				if diff := cmp.Diff(want, rec.events); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				var rests []time.Duration
				if test.got > 0 {
					rests = []time.Duration{test.got, test.got}
				}
				if diff := cmp.Diff(rests, line.rests); diff != "" {
					t.Errorf("rests (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestRestOfAFastLine: a line that fills half the kernel's buffer in a rest is faster than it says, and gets no other.
func TestRestOfAFastLine(t *testing.T) {
	inRest(t, 50*time.Millisecond, time.Second, func(t *testing.T, line *restLine, other net.Conn, _ *recorder) {
		for range 3 {
			write(t, other, string(make([]byte, lineBuffer/2)))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if len(line.rests) != 1 {
			t.Errorf("%d rests, want one", len(line.rests))
		}
	})
}

// TestCancelInRest: it ends at once, and what was under way is complete.
func TestCancelInRest(t *testing.T) {
	inRest(t, time.Hour, time.Hour, func(t *testing.T, line *restLine, other net.Conn, rec *recorder) {
		write(t, other, "a")
		synctest.Wait()
		t.Cleanup(func() {
			if diff := cmp.Diff([]string{"opened", "a", "quiet"}, rec.what()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	})
}

// TestRestLosesNothing plays to a real terminal whose reader rests whenever it has read: as fast as it is taken, and at the
// pace of 115200 baud.
func TestRestLosesNothing(t *testing.T) {
	tests := []struct {
		name  string
		bytes int
		chunk int
		every time.Duration
	}{
		{"full speed", 1 << 20, 4096, 0},
		{"115200 baud", 11520, 115, 10 * time.Millisecond},
		{"in bursts", 16 << 10, 2000, 60 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLine(t)
			ctx, cancel := context.WithCancel(t.Context())
			rec, done := newRecorder(), make(chan error, 1)
			r := newReceiver(Config{}, &serialPort{path: l.path, baud: 115200})
			go func() { done <- r.Run(ctx, restful{rec, 50 * time.Millisecond}) }()
			rec.wait(t, "opened port", func(string) bool { return r.Status().Opens == 1 })
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
			rec.wait(t, "whole", func(data string) bool { return len(data) >= len(sent) })
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
			if !bytes.Equal([]byte(rec.data.String()), sent) {
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
	if err := g.rest(until); err != nil || time.Now().Before(until) {
		t.Errorf("rest: %v, %v too early", err, time.Until(until))
	}
	buf := make([]byte, 100)
	if err := g.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
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
	if err := g.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-time.After(rest) // most likely Read waits by then
		_, _ = l.master.WriteString("again")
	}()
	began := time.Now()
	if n, err := g.Read(buf); string(buf[:n]) != "again" || err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("what wakes a read behind a rest: %q, %v after %v", buf[:n], err, time.Since(began))
	}
	ended := make(chan error)
	go func() { ended <- g.rest(time.Now().Add(time.Hour)) }()
	if err := g.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a rest that was broken off returned nil")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Close did not end a rest")
	}
}

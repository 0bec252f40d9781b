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

// TestGate: a rest lasts as long as it should although bytes come, they are there after it, and Close ends it at once.
func TestGate(t *testing.T) {
	l := newLine(t)
	g, err := openSerial(l.path, 115200)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	const pause = 50 * time.Millisecond
	until := time.Now().Add(pause)
	g.rest(rest{time.Now(), until})
	if _, err := l.master.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	if err := g.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := g.Read(buf); string(buf[:n]) != "hello" || err != nil || time.Now().Before(until) {
		t.Errorf("after the rest: %q, %v, %v too early", buf[:n], err, time.Until(until))
	}
	if err := g.SetReadDeadline(time.Now().Add(pause)); err != nil {
		t.Fatal(err)
	}
	if n, err := g.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at the deadline: %d bytes, %v", n, err)
	}
	if err := g.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-time.After(pause) // most likely Read waits by then
		_, _ = l.master.WriteString("again")
	}()
	if n, err := g.Read(buf); string(buf[:n]) != "again" || err != nil {
		t.Errorf("what wakes a read after a rest: %q, %v", buf[:n], err)
	}
	ended := readInRest(g, time.Now().Add(time.Hour))
	if err := g.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a read that was broken off in a rest returned no error")
		}
	case <-time.After(time.Minute):
		t.Fatal("Close did not end a rest")
	}
}

// TestRestWithTheNextBytes: it begins when they come, and not where it would be too long.
func TestRestWithTheNextBytes(t *testing.T) {
	l := newLine(t)
	g, err := openSerial(l.path, 115200)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	buf := make([]byte, 100)
	const pause = 50 * time.Millisecond
	rested := false
	for range 20 { // on a busy machine the bytes may come when no rest is worthwhile any more
		until := time.Now().Add(2 * pause)
		g.restNext(until, time.Hour)
		if err := g.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		wrote := make(chan time.Time, 1)
		go func() {
			<-time.After(pause) // most likely Read waits by then
			wrote <- time.Now()
			_, _ = l.master.WriteString("hello")
		}()
		n, err := g.Read(buf)
		if string(buf[:n]) != "hello" || err != nil {
			t.Errorf("after the rest: %q, %v", buf[:n], err)
		}
		came, r := <-wrote, g.rested()
		if rested = r != (rest{}); rested {
			if r.from.Before(came) || r.until != until || time.Now().Before(until) {
				t.Errorf("rested from %v after the bytes came until %v before %v", r.from.Sub(came), time.Until(until), until)
			}
			break
		}
	}
	if !rested {
		t.Error("never rested")
	}
	if err := g.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	g.restNext(time.Now().Add(time.Hour), pause)
	if _, err := l.master.WriteString("again"); err != nil {
		t.Fatal(err)
	}
	if n, err := g.Read(buf); string(buf[:n]) != "again" || err != nil {
		t.Errorf("where the rest would be too long: %q, %v", buf[:n], err)
	}
	g.restNext(time.Now().Add(time.Hour), 2*time.Hour)
	if err := g.SetReadDeadline(time.Now().Add(pause)); err != nil {
		t.Fatal(err)
	}
	if n, err := g.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nothing came until the deadline: %d bytes, %v", n, err)
	}
}

// readInRest reads from a line that rests until then.
func readInRest(g *tty, until time.Time) <-chan error {
	g.rest(rest{time.Now(), until})
	return read(g)
}

func read(g *tty) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := g.Read(make([]byte, 100))
		ended <- err
	}()
	return ended
}

// TestUnpluggedInRest: that is noticed before the rest is over, and where it is to begin with the next bytes.
func TestUnpluggedInRest(t *testing.T) {
	t.Parallel()
	for name, readUntil := range map[string]func(*tty, time.Time) <-chan error{
		"now": readInRest,
		"with the next bytes": func(g *tty, until time.Time) <-chan error {
			g.restNext(until, time.Hour)
			return read(g)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // a machine that is so busy that the read begins after the unplugging finds it when the rest is over
				l := newLine(t)
				g, err := openSerial(l.path, 115200)
				if err != nil {
					t.Fatal(err)
				}
				until := time.Now().Add(5 * time.Second)
				ended := readUntil(g, until)
				<-time.After(10 * time.Millisecond) // most likely it waits by then
				l.unplug()
				err = <-ended
				early := time.Now().Before(until)
				if err == nil {
					t.Error("a read of an unplugged line returned no error")
				}
				if err := g.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if early {
					return
				}
			}
			t.Error("never noticed before the rest was over")
		})
	}
}

// TestHowLongALineRests: until the next fix, but for no longer than it takes to fill half of what the kernel holds; and not twice
// for that long, nor for a moment, nor on a line that sends more than its speed allows.
func TestHowLongALineRests(t *testing.T) {
	const ms = time.Millisecond
	begin := time.Now()
	tests := []struct {
		name        string
		baud        int
		want, after time.Duration // how long, and for how long the line rested before; 0 for not at all
		read        int           // bytes, then
		rest        time.Duration
	}{
		{"until the next fix", 9600, 998 * ms, 0, 72, 998 * ms},
		{"again", 9600, 998 * ms, 998 * ms, 960, 998 * ms},
		{"10 Hz", 115200, 98 * ms, 98 * ms, 700, 98 * ms},
		{"half of the buffer", 115200, 980 * ms, 0, 100, 2048 * 10 * time.Second / 115200},
		{"idle after it", 115200, 800 * ms, 980 * ms, 500, 0},
		{"not idle after a shorter one", 115200, 980 * ms, 17 * ms, 100, 2048 * 10 * time.Second / 115200},
		{"a moment", 115200, 9 * ms, 0, 100, 0},
		{"no fix is expected", 9600, -ms, 0, 100, 0},
		{"faster than its speed", 9600, 500 * ms, 500 * ms, 2048, 0},
		{"a read that was late", 9600, 500 * ms, 0, 2048, 500 * ms},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			host, _ := receivertest.NewHost()
			s := newStream(&tty{gate: new(gate), baud: test.baud}, Port{}, system{}, found{}, true, host)
			s.health.count = nil
			now := begin
			s.health.begin(now)
			if test.after > 0 {
				s.Rest(now.Add(test.after), now)
				now = s.rested().until
			}
			if err := s.Heard(make([]byte, test.read), now); err != nil {
				t.Fatal(err)
			}
			rests := s.Rest(now.Add(test.want), now)
			if got := s.rested().until.Sub(now); rests != (test.rest > 0) || rests && got.Round(ms) != test.rest.Round(ms) {
				t.Errorf("rests: %v, for %v, want %v", rests, got, test.rest)
			}
		})
	}
}

// TestWhenTheLastByteCame: bytes that waited in a rest came one after the other from its begin, for all that is known; others now.
func TestWhenTheLastByteCame(t *testing.T) {
	const ms = time.Millisecond
	host, _ := receivertest.NewHost()
	s := newStream(&tty{gate: new(gate), baud: 9600}, Port{}, system{}, found{}, true, host)
	now := time.Now()
	if got := s.Came(480, now); got != now {
		t.Errorf("without a rest %v before they were read, want 0", now.Sub(got))
	}
	s.Rest(now.Add(time.Second), now)
	for n, want := range map[int]time.Duration{480: 500 * ms, 1000: time.Second} { // 960 a second
		if got := s.Came(n, now.Add(time.Second)).Sub(now); got != want {
			t.Errorf("%d bytes: %v after the rest began, want %v", n, got, want)
		}
	}
}

package relay

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
)

// Each way to write a length, at its bounds: the header to the bit, and the
// message as a client reads it.
func TestFrame(t *testing.T) {
	r := start(t, Config{})
	m := dial(t, r, "", nil)
	tests := []struct {
		length int
		header string
	}{
		{1, "8101"},
		{125, "817d"},
		{126, "817e007e"},
		{65535, "817effff"},
		{65536, "817f0000000000010000"},
	}
	for _, test := range tests {
		text := strings.Repeat("x", test.length)
		made := newMessage(header{}, []byte(text))
		if got := hex.EncodeToString(made.frame[:len(made.frame)-test.length]); got != test.header {
			t.Errorf("header of %d bytes: %s, want %s", test.length, got, test.header)
		}
		if string(made.data) != text || len(made.frame) != cap(made.frame) && cap(made.frame) > maxFrameHeader+test.length {
			t.Errorf("%d bytes: changed, or more memory than needed", test.length)
		}
		r.Publish("van_7", "NOTE", []byte(text))
		if got := m.next(); got != text {
			t.Errorf("%d bytes came as %d", test.length, len(got))
		}
	}
}

// What is queued while a viewer is slow goes out together, in order.
func TestManyAtOnce(t *testing.T) {
	r := start(t, Config{})
	var want, got []int
	for i := 1; i <= 3*batchMessages; i++ {
		r.tpv(i)
		want = append(want, i)
	}
	m := dial(t, r, "?history=1000", nil)
	for range want {
		got = append(got, m.seq())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPongWaits: an answer to a ping does not cut the message that is on its
// way, nor the time that the viewer has for it.
func TestPongWaits(t *testing.T) {
	inBubble(t, Config{SlowTimeout: 10 * time.Second}, func(t *testing.T, r *Relay, p *pipes) {
		conn := p.join(t, "")
		pongs := 0
		conn.SetPongHandler(func(string) error { pongs++; return nil })
		r.tpv(1)
		synctest.Wait() // the writer hangs in this one
		ping := func() {
			if err := conn.WriteControl(websocket.PingMessage, nil, time.Time{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		ping() // this answer has no turn in time and is left out
		time.Sleep(9 * time.Second)
		ping() // this one comes behind the message
		late := read(conn)
		synctest.Wait()
		r.tpv(2)
		synctest.Wait()
		if got := late.got(); !slices.Equal(got, []int{1, 2}) || pongs != 1 {
			t.Errorf("got %v and %d pongs, want 1, 2 and one pong", got, pongs)
		}
		if s := r.Status(); s.Viewers != 1 || s.ClosedSlow != 0 {
			t.Errorf("status %+v, want the viewer still there", s)
		}
	})
}

// A close frame is the last: no message follows it, on either side.
func TestNothingFollowsAClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		w := newWire(here)
		var came bytes.Buffer
		done := make(chan struct{})
		go func() { io.Copy(&came, there); close(done) }()
		message := newMessage(header{}, []byte("a")).frame
		until := time.Now().Add(time.Second)
		if err := w.send(&net.Buffers{message, message}, until); err != nil {
			t.Fatal(err)
		}
		w.SetWriteDeadline(until)
		if _, err := w.Write([]byte{closeByte, 0}); err != nil {
			t.Fatal(err)
		}
		if err := w.send(&net.Buffers{message}, until); !errors.Is(err, websocket.ErrCloseSent) {
			t.Errorf("after a close frame: %v", err)
		}
		w.Close()
		<-done
		if got, want := hex.EncodeToString(came.Bytes()), "810161"+"810161"+"8800"; got != want {
			t.Errorf("%s went out, want %s", got, want)
		}
	})
}

// TestNothingFollowsABrokenFrame: what came after half a message would be read
// as the other half.
func TestNothingFollowsABrokenFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		w := newWire(here)
		until := time.Now().Add(time.Second)
		go io.ReadFull(there, make([]byte, 3))
		if err := w.send(&net.Buffers{[]byte("whole")}, until); !isTimeout(err) {
			t.Fatalf("a frame of which 3 bytes are read: %v", err)
		}
		w.SetWriteDeadline(until.Add(time.Second))
		if _, err := w.Write([]byte{0x89, 0}); !isTimeout(err) || time.Now().After(until) {
			t.Errorf("a ping behind it: %v", err)
		}
		w.Close()
	})
}

// What a socket takes only in part goes on where it stopped: a message larger
// than all its buffers, and others behind it, to a client that reads late.
func TestPartOfAWrite(t *testing.T) {
	r := start(t, Config{}, func(l *limits) { l.queueBytes = 4 << 20 })
	m := dial(t, r, "", nil)
	want := []string{strings.Repeat("0123456789", 300_000), tpv(1), strings.Repeat("x", 70_000), tpv(2)}
	for _, text := range want {
		r.Publish("van_7", "NOTE", []byte(text))
	}
	for i, text := range want {
		if got := m.next(); got != text {
			t.Fatalf("message %d: %d bytes came, or others, want %d", i, len(got), len(text))
		}
	}
}

func TestSkip(t *testing.T) {
	all := "abcdef"
	for n := range len(all) + 1 {
		frames := net.Buffers{[]byte("a"), []byte("bcd"), []byte("ef")}
		skip(&frames, n)
		if got := string(bytes.Join(frames, nil)); got != all[n:] {
			t.Errorf("%d bytes skipped: %q is left, want %q", n, got, all[n:])
		}
	}
}

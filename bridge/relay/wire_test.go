package relay

import (
	"bytes"
	"encoding/hex"
	"io"
	"regexp"
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
		ping()
		time.Sleep(9 * time.Second)
		ping()
		late := read(conn)
		synctest.Wait()
		r.tpv(2)
		synctest.Wait()
		if got := late.got(); !slices.Equal(got, []int{1, 2}) || pongs != 2 {
			t.Errorf("got %v and %d pongs, want 1, 2 and both pongs", got, pongs)
		}
		if s := r.Status(); s.Viewers != 1 || s.ClosedSlow != 0 {
			t.Errorf("status %+v, want the viewer still there", s)
		}
	})
}

// A close frame is the last: no message follows it, whichever side ends the connection and why.
func TestNothingFollowsAClose(t *testing.T) {
	for name, end := range map[string]func(*Relay, *websocket.Conn){
		"the relay's own":   func(r *Relay, _ *websocket.Conn) { r.hub.everyone()[0].shut(1001, "bye") },
		"the peer's":        func(_ *Relay, c *websocket.Conn) { c.NetConn().Write([]byte(sentClose(1000, ""))) },
		"a broken protocol": func(_ *Relay, c *websocket.Conn) { c.NetConn().Write([]byte(sent(0x83, "x"))) },
	} {
		inBubble(t, Config{}, func(t *testing.T, r *Relay, p *pipes) {
			conn := p.join(t, "")
			var came bytes.Buffer
			r.tpv(1)
			r.tpv(2)
			synctest.Wait()
			end(r, conn)
			synctest.Wait()
			r.tpv(3)
			go func() { io.Copy(&came, conn.NetConn()) }()
			synctest.Wait()
			r.tpv(4)
			synctest.Wait()
			conn.Close()
			synctest.Wait()
			frames := regexp.MustCompile(`"seq":\d`).FindAllString(came.String(), -1)
			last := bytes.LastIndexByte(came.Bytes(), finalFrame|closeFrame)
			if len(frames) < 2 || last < 0 || last < bytes.LastIndexByte(came.Bytes(), finalFrame|textFrame) {
				t.Errorf("%s: %q came, want messages and then a close frame", name, came.Bytes())
			}
		})
	}
}

// TestNothingFollowsABrokenFrame: what came after half a message would be read as the other half.
func TestNothingFollowsABrokenFrame(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, r *Relay, p *pipes) {
		conn := p.join(t, "")
		r.tpv(1)
		r.tpv(2)
		half := make([]byte, 10)
		io.ReadFull(conn.NetConn(), half)
		time.Sleep(defaultSlowTimeout + time.Second)
		synctest.Wait()
		if rest, err := io.ReadAll(conn.NetConn()); len(rest) > 0 {
			t.Errorf("%q came after a frame that broke off, %v", rest, err)
		}
		if s := r.Status(); s.Viewers != 0 || s.ClosedSlow != 1 {
			t.Errorf("status %+v, want the viewer closed", s)
		}
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

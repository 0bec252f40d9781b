package relay

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// pipes is a listener in memory: a write waits until the other side reads, so
// "never reads" needs no full kernel buffer, and time is the bubble's.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

func (p *pipes) join(t *testing.T, query string, header ...http.Header) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		p.conns <- there
		return here, nil
	}}
	conn, _, err := d.Dial("ws://localhost/ws/gps-tracking/van_7/"+query, slices.Concat(header, []http.Header{nil})[0])
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// inBubble serves c in memory for test, and stops it.
func inBubble(t *testing.T, c Config, test func(t *testing.T, r *Relay, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		p := newPipes()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.serve(ctx, p) }()
		test(t, r, p)
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

// reader counts what a viewer gets, in order.
type reader struct {
	mu   sync.Mutex
	seqs []int
	err  error
	done chan struct{}
}

func read(conn *websocket.Conn) *reader {
	r := &reader{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for {
			var v struct{ Seq int }
			err := conn.ReadJSON(&v)
			r.mu.Lock()
			if r.err = err; err == nil {
				r.seqs = append(r.seqs, v.Seq)
			}
			r.mu.Unlock()
			if err != nil {
				conn.Close()
				return
			}
		}
	}()
	return r
}

func (r *reader) got() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]int(nil), r.seqs...)
}

func TestViewerThatNeverReads(t *testing.T) {
	inBubble(t, Config{Queue: 8, SlowTimeout: 10 * time.Second}, func(t *testing.T, r *Relay, p *pipes) {
		slow, fast := p.join(t, ""), read(p.join(t, ""))
		synctest.Wait()
		for i := 1; i <= 100; i++ {
			r.tpv(i)
			synctest.Wait()
		}
		if got := fast.got(); len(got) != 100 || got[99] != 100 {
			t.Errorf("the other viewer got %d messages, want 100 at once", len(got))
		}
		// One is in the writer's hands, eight wait, the rest is dropped.
		if s := r.Status(); s.Dropped != 91 || s.Viewers != 2 || s.ClosedSlow != 0 {
			t.Errorf("status %+v, want 91 dropped and both viewers", s)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if s := r.Status(); s.Viewers != 1 || s.ClosedSlow != 1 {
			t.Errorf("status %+v, want the slow viewer closed after its 10 s", s)
		}
		slow.Close()
	})
}

// A viewer reads the history from the group, which forgets it meanwhile.
func TestSlowToReadTheHistory(t *testing.T) {
	for _, c := range []struct{ queue, dropped int }{
		{100, 0},
		// 16 are in the writer's hands when it begins to wait. Then come 40: 24 of the history and what is live, each with its queue.
		{8, 24 - 8 + 40 - 8},
	} {
		inBubble(t, Config{History: 40, Queue: c.queue}, func(t *testing.T, r *Relay, p *pipes) {
			for i := 1; i <= 40; i++ {
				r.tpv(i)
			}
			conn := p.join(t, "?history=40")
			synctest.Wait()
			for i := 41; i <= 80; i++ {
				r.tpv(i)
			}
			slow := read(conn)
			synctest.Wait()
			got := slow.got()
			if !slices.IsSorted(got) || len(got) != 80-c.dropped || got[len(got)-1] != 80 {
				t.Errorf("a queue of %d: got %v, want %d in order up to 80", c.queue, got, 80-c.dropped)
			}
			if n := r.Status().Dropped; n != int64(c.dropped) {
				t.Errorf("a queue of %d: dropped %d, want %d", c.queue, n, c.dropped)
			}
		})
	}
}

func TestSlowViewerKeepsTheNewest(t *testing.T) {
	inBubble(t, Config{Queue: 4}, func(t *testing.T, r *Relay, p *pipes) {
		conn := p.join(t, "")
		synctest.Wait()
		for i := 1; i <= 50; i++ {
			r.tpv(i)
			synctest.Wait()
		}
		late := read(conn)
		synctest.Wait()
		want := []int{1, 47, 48, 49, 50}
		if got := late.got(); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A viewer holds no history of its own: what the group has forgotten before it was read is gone, the rest comes in order.
func TestHistoryOfASlowViewer(t *testing.T) {
	inBubble(t, Config{Queue: 4, History: 50}, func(t *testing.T, r *Relay, p *pipes) {
		for i := 1; i <= 50; i++ {
			r.tpv(i)
		}
		slow, fast := p.join(t, "?history=50"), read(p.join(t, "?history=50"))
		synctest.Wait()
		for i := 51; i <= 80; i++ {
			r.tpv(i)
			synctest.Wait()
		}
		late := read(slow)
		synctest.Wait()
		got := late.got()
		if n := len(got); n < 30 || n > 50 || got[0] != 1 || got[n-1] != 80 || !slices.IsSorted(got) {
			t.Errorf("got %v, want the first that were on their way, what was left of 50, and the last 4", got)
		}
		if got := fast.got(); len(got) != 80 {
			t.Errorf("a viewer that reads got %d of 80", len(got))
		}
	})
}

// A viewer that takes a little now and then never times out, but loses messages
// for good: it goes too. One that catches up in between stays, and so does one
// whose history comes slowly, for as long as that is owed to it.
func TestViewerThatTrickles(t *testing.T) {
	for _, c := range []struct {
		name, query string
		bytes       int // it reads every 2 s
		stays       time.Duration
	}{
		{"a little", "", 250, 11 * time.Second},
		{"a little, with 16 of history", "?history=16", 400, 31 * time.Second},
		{"all", "", 1 << 20, time.Minute},
	} {
		inBubble(t, Config{Queue: 8, SlowTimeout: 10 * time.Second}, func(t *testing.T, r *Relay, p *pipes) {
			for i := 1; i <= 16; i++ {
				r.tpv(i)
			}
			conn := p.join(t, c.query)
			synctest.Wait()
			buffer, began := make([]byte, 4096), time.Now()
			for i := 1; r.Status().ClosedSlow == 0 && time.Since(began) < time.Minute; i++ {
				r.tpv(16 + i)
				synctest.Wait()
				if i%20 == 0 {
					conn.NetConn().SetReadDeadline(time.Now().Add(time.Millisecond)) // no longer than there is something
					for left := c.bytes; left > 0; {
						n, err := conn.NetConn().Read(buffer[:min(left, len(buffer))])
						if left -= n; err != nil {
							break
						}
					}
				}
				time.Sleep(100 * time.Millisecond)
			}
			if stayed := time.Since(began).Round(time.Second); stayed != c.stays {
				t.Errorf("%s: stayed %v, want %v", c.name, stayed, c.stays)
			}
			if c.stays == time.Minute {
				read(conn)
				return
			}
			// In the middle of a frame by now: what matters is how it ends.
			conn.NetConn().SetReadDeadline(time.Time{})
			rest, _ := io.ReadAll(conn.NetConn())
			if s := r.Status(); !bytes.Contains(rest, []byte("\x03\xf5too slow")) || s.Viewers != 0 || s.ClosedSlow != 1 {
				t.Errorf("%s: ended with %q, status %+v; want 1013, and closed as slow once", c.name, rest, s)
			}
			conn.Close()
		})
	}
}

func TestDeadPeerIsClosed(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, r *Relay, p *pipes) {
		answers, mute := p.join(t, ""), p.join(t, "")
		pings := 0
		mute.SetPingHandler(func(string) error { pings++; return nil })
		alive, dead := read(answers), read(mute)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		select {
		case <-dead.done:
		default:
			t.Error("a viewer that answers no ping is still there")
		}
		select {
		case <-alive.done:
			t.Errorf("a viewer that answers was closed: %v", alive.err)
		default:
		}
		if s := r.Status(); s.Viewers != 1 || s.ClosedSlow != 0 {
			t.Errorf("status %+v, want one viewer and none slow", s)
		}
		if pings < 2 {
			t.Errorf("%d pings before it was given up, want 2 at least", pings)
		}
	})
}

// A viewer that does not even answer the close frame does not delay the stop.
func TestShutdownIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := New(Config{})
		p := newPipes()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.serve(ctx, p) }()
		stuck, polite := p.join(t, ""), read(p.join(t, ""))
		r.tpv(1) // the writer of the stuck one hangs in this
		synctest.Wait()
		began := time.Now()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("took %v", took)
		}
		<-polite.done
		if !websocket.IsCloseError(polite.err, websocket.CloseGoingAway) {
			t.Errorf("a viewer was closed with %v, want 1001", polite.err)
		}
		stuck.Close()
	})
}

// A publisher that reads none of its echoes is not read either, so that what
// waits for it stays bounded, and is closed in the end.
func TestPublisherThatNeverReads(t *testing.T) {
	inBubble(t, Config{Queue: 8, PublishToken: "pub"}, func(t *testing.T, r *Relay, p *pipes) {
		conn := p.join(t, "", bearer("pub"))
		sent := make(chan bool)
		go func() {
			defer close(sent)
			for n := 1; conn.WriteMessage(websocket.TextMessage, []byte(tpv(n))) == nil; n++ {
			}
		}()
		time.Sleep(defaultSlowTimeout + time.Second)
		synctest.Wait()
		<-sent
		// Some echoes are in the writer's hands, eight wait. What it sends while it is being closed is read and dropped.
		if n := r.hub.messages.Load(); n < 9 || n > 8+batchMessages {
			t.Errorf("%d messages were taken, want 9 to %d", n, 8+batchMessages)
		}
		if s := r.Status(); s.Publishers != 0 || s.ClosedSlow != 1 || s.Dropped != 0 {
			t.Errorf("status %+v, want it closed and nothing dropped", s)
		}
		conn.Close()
	})
}

// Its own messages and those of others reach a publisher in the order of the
// group, however long they waited.
func TestPublisherSeesTheOrderOfTheGroup(t *testing.T) {
	inBubble(t, Config{PublishToken: "pub"}, func(t *testing.T, r *Relay, p *pipes) {
		conn := p.join(t, "", bearer("pub"))
		synctest.Wait()
		for i := 1; i <= 6; i++ {
			if i == 1 || i == 4 || i == 5 {
				conn.WriteMessage(websocket.TextMessage, []byte(tpv(i)))
			} else {
				r.tpv(i)
			}
			synctest.Wait()
		}
		late := read(conn)
		synctest.Wait()
		if got, want := late.got(), []int{1, 2, 3, 4, 5, 6}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A socket's buffers take hundreds of kilobytes before a viewer that never reads
// is noticed; with and without TLS it is closed then.
func TestSocketThatIsNeverRead(t *testing.T) {
	secure := selfSignedConfig(t)
	for _, c := range []Config{{}, secure} {
		c.SlowTimeout = 50 * time.Millisecond
		r := start(t, c)
		d := websocket.Dialer{}
		scheme := "ws"
		if c.CertFile != "" {
			scheme, d.TLSClientConfig = "wss", trusting(t, c.CertFile)
		}
		conn, _, err := d.Dial(r.url(scheme, "/ws/gps-tracking/van_7/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		note := []byte(`"` + strings.Repeat("x", 60_000) + `"`)
		until(t, "it is closed", func() bool {
			r.Publish("van_7", "NOTE", note)
			return r.Status().ClosedSlow == 1
		})
		until(t, "it has left", func() bool { return r.Status().Viewers == 0 })
		conn.Close()
	}
}

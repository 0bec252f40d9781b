package realtest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Message is one text frame that a [Member] received.
type Message struct {
	Run  string `json:"run"`
	Seq  uint64 `json:"seq"`
	Join int    `json:"-"` // which of the member's joins received it, from 1
	Text []byte `json:"-"`
}

// key is what makes two messages the same one.
type key struct {
	run string
	seq uint64
}

// Member is a client of a tracking group that keeps every message in the order of arrival. When the server goes, it
// joins again as soon as the server accepts it.
type Member struct {
	t    testing.TB
	url  string
	stop context.CancelFunc
	done chan struct{} // closed when the reader has ended

	mu       sync.Mutex
	conn     *websocket.Conn
	all      []Message
	distinct []Message
	seen     map[key]bool
	joined   []int         // len(all) at each join
	broken   error         // a frame that is not JSON
	changed  chan struct{} // closed and replaced at each change
}

// Join joins the group at a ws:// address, and returns when it is a member. It leaves when the test ends.
func Join(t testing.TB, url string) *Member {
	t.Helper()
	m := &Member{t: t, url: url, done: make(chan struct{}), seen: make(map[key]bool), changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	go m.run(ctx)
	m.stop = cancel
	t.Cleanup(m.Leave)
	m.WaitJoined(1, startTimeout)
	return m
}

// Leave closes the connection and returns when nothing more is received. A member that has left stays away.
func (m *Member) Leave() {
	m.stop()
	m.mu.Lock()
	if m.conn != nil {
		_ = m.conn.Close()
	}
	m.mu.Unlock()
	<-m.done
}

// run joins and reads until the context ends.
func (m *Member) run(ctx context.Context) {
	defer close(m.done)
	tick := time.NewTicker(20 * time.Millisecond) // a server that is back is seen soon, and one that is gone not flooded
	defer tick.Stop()
	for ctx.Err() == nil {
		if conn, _, err := websocket.DefaultDialer.DialContext(ctx, m.url, nil); err == nil {
			m.read(ctx, conn)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// read keeps what comes in on one connection until it breaks. Reading also answers the server's pings.
func (m *Member) read(ctx context.Context, conn *websocket.Conn) {
	defer conn.Close()
	m.change(func() {
		m.conn = conn
		m.joined = append(m.joined, len(m.all))
	})
	// A context that ended before the connection was known to the cleanup has not closed it.
	for ctx.Err() == nil {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		m.change(func() { m.add(text) })
	}
}

func (m *Member) add(text []byte) {
	got := Message{Join: len(m.joined), Text: text}
	if err := json.Unmarshal(text, &got); err != nil && m.broken == nil {
		m.broken = fmt.Errorf("member of %s received %q: %w", m.url, text, err)
	}
	m.all = append(m.all, got)
	if k := (key{got.Run, got.Seq}); !m.seen[k] {
		m.seen[k] = true
		m.distinct = append(m.distinct, got)
	}
}

// change makes a change under the lock and wakes the callers that wait for one.
func (m *Member) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.changed)
	m.changed = make(chan struct{})
}

// wait returns when reached, called under the lock after each change, returns true. It fails the test after the timeout, or
// when a frame was not JSON.
func (m *Member) wait(timeout time.Duration, reached func() bool, got func() string) {
	m.t.Helper()
	deadline := time.After(timeout)
	for {
		m.mu.Lock()
		ok, broken, changed, state := reached(), m.broken, m.changed, got()
		m.mu.Unlock()
		if broken != nil {
			m.t.Fatal(broken)
		}
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			m.t.Fatalf("member of %s: %s after %v", m.url, state, timeout)
		}
	}
}

// WaitDistinct waits until n different messages, by (run, seq), have arrived, and returns all different
// ones in the order in which they first arrived. It fails the test after the timeout.
func (m *Member) WaitDistinct(n int, timeout time.Duration) []Message {
	m.t.Helper()
	m.wait(timeout, func() bool { return len(m.distinct) >= n },
		func() string { return fmt.Sprintf("%d of %d messages", len(m.distinct), n) })
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.distinct)
}

// WaitJoined waits until the member has joined n times in all, and fails the test after the timeout.
func (m *Member) WaitJoined(n int, timeout time.Duration) {
	m.t.Helper()
	m.wait(timeout, func() bool { return len(m.joined) >= n },
		func() string { return fmt.Sprintf("joined %d of %d times", len(m.joined), n) })
}

// Received returns how many messages have arrived so far, repeats included.
func (m *Member) Received() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.all)
}

// Messages returns what has arrived so far, repeats included, in order.
func (m *Member) Messages() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all)
}

// Joins returns, for each time that the member joined, how many messages had arrived before.
func (m *Member) Joins() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.joined)
}

// Send sends a text frame to the group, as a tracker does. It must not be called from several goroutines at once.
func (m *Member) Send(text string) {
	m.t.Helper()
	m.mu.Lock()
	conn := m.conn
	m.mu.Unlock()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		m.t.Fatalf("member of %s: send: %v", m.url, err)
	}
}

// Complete checks that the messages, repeats already removed, are seq 1, 2, 3 ... of each run, in order and without a
// gap; the error names the first that is not.
func Complete(messages []Message) error {
	last := make(map[string]uint64)
	for i, m := range messages {
		if want := last[m.Run] + 1; m.Seq != want {
			return fmt.Errorf("message %d is seq %d of run %q, want seq %d", i+1, m.Seq, m.Run, want)
		}
		last[m.Run] = m.Seq
	}
	return nil
}

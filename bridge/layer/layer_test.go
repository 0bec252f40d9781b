package layer

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/realtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for a condition.
const patience = 90 * time.Second

// node is a running layer, and what it has received.
type node struct {
	*Layer
	t testing.TB

	mu        sync.Mutex
	received  map[string][]group.Message // by device
	changed   chan struct{}              // closed when received grows
	onReceive func()
	lost      int
}

// open starts a layer that runs until the test ends. Its log goes to the test's.
func open(t testing.TB, c Config) *node {
	t.Helper()
	c.Log = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Layer: l, t: t, received: map[string][]group.Message{}, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx, n) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return n
}

// testWriter is the log of a test.
type testWriter struct{ testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	if testing.Verbose() {
		os.Stderr.Write(p)
	}
	return len(p), nil
}

func (n *node) Receive(device string, m group.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.received[device] = append(n.received[device], m)
	if n.onReceive != nil {
		n.onReceive()
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *node) Missed() {}

func (n *node) Lost() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost++
}

// join joins groups and waits for it.
func (n *node) join(devices ...string) *node {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	for _, device := range devices {
		if err := n.Join(ctx, device); err != nil {
			n.t.Fatalf("Join(%s): %v", device, err)
		}
	}
	return n
}

// publish publishes texts, which must succeed.
func (n *node) publish(device string, texts ...string) {
	n.t.Helper()
	if err := n.try(device, texts...); err != nil {
		n.t.Fatalf("Publish(%s): %v", device, err)
	}
}

// try publishes texts.
func (n *node) try(device string, texts ...string) error {
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	var messages []group.Message
	for _, text := range texts {
		messages = append(messages, group.Message{Data: []byte(text), From: n})
	}
	return n.Publish(ctx, device, messages)
}

// await returns the messages of a device when there are as many as n.
func (n *node) await(device string, count int) []group.Message {
	n.t.Helper()
	deadline := time.After(patience)
	for {
		n.mu.Lock()
		messages, changed := n.received[device], n.changed
		n.mu.Unlock()
		if len(messages) >= count {
			return messages
		}
		select {
		case <-changed:
		case <-deadline:
			n.t.Fatalf("%d messages of %s, want %d: %v", len(messages), device, count, n.Ready())
		}
	}
}

// awaitTrouble waits until the layer is not ready for a reason.
func (n *node) awaitTrouble(code problem.Code) {
	n.t.Helper()
	eventually(n.t, func() error {
		if err := n.Ready(); problem.CodeOf(err) != code {
			return fmt.Errorf("Ready is %v, want code %s", err, code)
		}
		return nil
	})
}

// eventually asks for a condition again and again until it is nil.
func eventually(t testing.TB, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for err := condition(); err != nil; err = condition() {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func fix(seq int) string { return fmt.Sprintf(`{"class":"TPV","run":"r1","seq":%d,"lat":51.5}`, seq) }

func pubsubAt(urls ...string) Config { return Config{URLs: urls, Kind: "pubsub", Durable: "none"} }

// TestPublishWaitsForASession: while a master is replaced, publishers are not sent away, from where each of them would come back after a pause of
// its own.
func TestPublishWaitsForASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(pubsubAt("redis://127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the first session, and one after another
			s, found := &session{}, make(chan *session)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				got, _ := l.await(ctx)
				found <- got
			}()
			synctest.Wait()
			select {
			case <-found:
				t.Error("without a session it does not wait")
			default:
			}
			l.up(s, nil)
			if got := <-found; got != s {
				t.Error("it has another session")
			}
			l.down(closed)
			cancel()
			if _, err := l.await(ctx); err == nil {
				t.Error("it has a session that has ended")
			}
		}
	})
}

func TestNodesShareAGroup(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	one := open(t, pubsubAt(redis.URL())).join("van_7")
	two := open(t, pubsubAt(redis.URL())).join("van_7", "van_8")
	one.publish("van_7", fix(1), fix(2))
	two.publish("van_8", fix(3))
	for _, n := range []*node{one, two} {
		got := n.await("van_7", 2)
		for i, m := range got {
			if string(m.Data) != fix(i+1) {
				t.Errorf("message %d is %s", i, m.Data)
			}
			if own := m.From == any(n); own != (n == one) {
				t.Errorf("message %d: own is %v", i, own)
			}
		}
	}
	two.await("van_8", 1)
	if got := one.received["van_8"]; got != nil {
		t.Errorf("a group that is not joined gave %v", got)
	}
}

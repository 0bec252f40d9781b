package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	shared "gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
)

// bus is what nodes share in these tests, in memory: their groups and a store of fixes.
type bus struct {
	mu    sync.Mutex
	nodes []*node
	store map[string][]shared.Message

	// What goes wrong, or takes its time. Set before the nodes serve, or under mu.
	down      error                                 // nothing works
	refuse    func(messages []shared.Message) error // of Publish, before the group has them
	unjoined  error                                 // of Join
	forgetful error                                 // of History
	storing   time.Duration                         // Publish, until it is stored
	delaying  func() time.Duration                  // from the store to a node's members
	answering time.Duration                         // History
}

// node is a layer at the bus.
type node struct {
	*bus
	joined   map[string]bool
	come     chan delivery
	receiver shared.Receiver
}

type delivery struct {
	device string
	shared.Message
}

func (b *bus) node() *node {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := &node{bus: b, joined: make(map[string]bool), come: make(chan delivery, 100_000)}
	b.nodes = append(b.nodes, n)
	return n
}

func (n *node) Run(ctx context.Context, r shared.Receiver) error {
	n.mu.Lock()
	n.receiver = r
	n.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-n.come:
			if n.delaying != nil {
				time.Sleep(n.delaying())
			}
			r.Receive(d.device, d.Message)
		}
	}
}

func (n *node) Join(_ context.Context, device string) error {
	time.Sleep(time.Millisecond)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.unjoined != nil {
		return n.unjoined
	}
	n.joined[device] = true
	return n.down
}

func (n *node) Leave(device string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.joined, device)
}

func (n *node) Publish(ctx context.Context, device string, messages []shared.Message) error {
	select {
	case <-time.After(n.storing):
	case <-ctx.Done():
		return ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down != nil {
		return n.down
	}
	if n.refuse != nil {
		if err := n.refuse(messages); err != nil {
			return err
		}
	}
	for _, m := range messages {
		n.send(device, m, n)
	}
	return nil
}

// send gives every node a message, with its publisher where it is the one from which it came. Under mu.
func (b *bus) send(device string, m shared.Message, from *node) {
	same := func(other shared.Message) bool { return other.Key == m.Key }
	if m.Key != (shared.Key{}) && !slices.ContainsFunc(b.store[device], same) {
		b.store[device] = append(b.store[device], m)
	}
	for _, n := range b.nodes {
		if n.joined[device] {
			d := delivery{device, m}
			if n != from {
				d.From = nil
			}
			n.come <- d
		}
	}
}

func (n *node) History(_ context.Context, device string, after shared.Key, most int) ([]shared.Message, bool, error) {
	time.Sleep(n.answering)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := cmp.Or(n.down, n.forgetful); err != nil {
		return nil, false, err
	}
	list := n.store[device]
	i := slices.IndexFunc(list, func(m shared.Message) bool { return m.Key == after })
	list = list[i+1:]
	complete := i >= 0 && len(list) <= most
	return slices.Clone(list[max(0, len(list)-most):]), complete, nil
}

func (n *node) Epoch(string) string { return "" }

func (n *node) Ready() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

func (b *bus) change(what func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	what()
}

// place is a relay of a fleet in a bubble.
type place struct {
	*Relay
	*pipes
	stop func()
}

// fleet serves n relays at a bus in a bubble, for test.
func fleet(t *testing.T, n int, c Config, test func(t *testing.T, b *bus, at []place)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bus{store: make(map[string][]shared.Message)}
		var at []place
		var stops []func()
		for range n {
			c.Layer, c.PublishToken = b.node(), "pub"
			r, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			p := newPipes()
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.serve(ctx, p) }()
			stops = append(stops, sync.OnceFunc(func() {
				stop()
				if err := <-done; err != nil {
					t.Errorf("serve: %v", err)
				}
			}))
			at = append(at, place{r, p, stops[len(stops)-1]})
		}
		test(t, b, at)
		for _, stop := range stops {
			stop()
		}
	})
}

func write(conn *websocket.Conn, texts ...string) {
	for _, text := range texts {
		conn.WriteMessage(websocket.TextMessage, []byte(text))
	}
}

// texts reads messages until the connection ends.
type texts struct {
	mu   sync.Mutex
	list []string
	code int
	why  string
}

func readTexts(conn *websocket.Conn) *texts {
	r := &texts{}
	go func() {
		for {
			_, data, err := conn.ReadMessage()
			r.mu.Lock()
			if err != nil {
				var closed *websocket.CloseError
				if errors.As(err, &closed) {
					r.code, r.why = closed.Code, closed.Text
				}
				r.mu.Unlock()
				conn.Close()
				return
			}
			r.list = append(r.list, string(data))
			r.mu.Unlock()
		}
	}()
	return r
}

func (r *texts) want(t *testing.T, what string, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range max(len(r.list), len(want)) {
		if i >= len(want) || i >= len(r.list) || r.list[i] != want[i] {
			t.Errorf("%s got %d messages, want %d; from number %d on\n%q, want\n%q", what, len(r.list), len(want), i+1,
				r.list[min(i, len(r.list)):min(i+3, len(r.list))], want[min(i, len(want)):min(i+3, len(want))])
			return
		}
	}
}

func (r *texts) closed(t *testing.T, what string, code int, why string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.code != code || r.why != why {
		t.Errorf("%s was closed with %d %q, want %d %q", what, r.code, r.why, code, why)
	}
}

// ask is a handshake without a connection.
func (p place) ask(path string, header http.Header) *http.Response {
	q := httptest.NewRequest("GET", "http://localhost"+path, nil)
	maps.Copy(q.Header, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}})
	maps.Copy(q.Header, header)
	w := httptest.NewRecorder()
	p.handler().ServeHTTP(w, q)
	return w.Result()
}

const group7 = "/ws/gps-tracking/van_7/"

// Every member at every node gets every message once and in order, a publisher its echoes when they come back, and what the Django
// application sends goes to all.
func TestFleetIsOneGroup(t *testing.T) {
	fleet(t, 2, Config{}, func(t *testing.T, b *bus, at []place) {
		here, there := readTexts(at[0].join(t, "")), readTexts(at[1].join(t, ""))
		pub := at[0].join(t, "", bearer("pub"))
		echoes := readTexts(pub)
		other := readTexts(at[1].join(t, "", bearer("pub")))
		write(pub, tpv(1), tpv(2), `{"class":"NOTE"}`)
		synctest.Wait()
		b.change(func() { b.send("van_7", shared.Message{Data: []byte(`{"from":"Django"}`)}, nil) })
		synctest.Wait()
		write(pub, tpv(2), tpv(3)) // a repeat is echoed, and goes to no other
		synctest.Wait()
		b.change(func() { b.send("van_7", shared.Message{Data: []byte(tpv(3))}, nil) })
		b.change(func() { b.send("van_7", shared.Message{Data: []byte("not JSON")}, nil) })
		synctest.Wait()
		echoes.want(t, "the publisher", tpv(1), tpv(2), `{"class":"NOTE"}`, `{"from":"Django"}`, tpv(2), tpv(3))
		for _, m := range []*texts{here, there, other} {
			m.want(t, "a member", tpv(1), tpv(2), `{"class":"NOTE"}`, `{"from":"Django"}`, tpv(3))
		}
		if s := at[0].Status(); s.Messages != 5 || s.Repeats != 2 {
			t.Errorf("status %+v, want 5 messages and 2 repeats", s)
		}
		if n := at[0].hub.queued.Load(); n != 0 {
			t.Errorf("%d bytes are still counted as queued", n)
		}
	})
}

// The store learns which fixes come late: they do not replace the last one.
func TestBacklogIsStoredAsSuch(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		write(at[0].join(t, "", bearer("pub")), tpv(2), `{"class":"TPV","run":"a","seq":1,"backlog":true}`)
		synctest.Wait()
		var late []bool
		b.change(func() {
			for _, m := range b.store["van_7"] {
				late = append(late, m.Backlog)
			}
		})
		if !slices.Equal(late, []bool{false, true}) {
			t.Errorf("stored as of a backlog: %v", late)
		}
	})
}

// No acknowledgement of either kind comes before the group has the message.
func TestEchoesWaitForTheGroup(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		b.change(func() { b.storing = time.Second })
		long, short := at[0].join(t, "", bearer("pub")), at[0].join(t, "", inShort("pub"))
		echoes, acks := readTexts(long), readAcks(short)
		write(long, tpv(1))
		time.Sleep(time.Millisecond)
		write(short, tpv(2))
		time.Sleep(time.Second - 2*time.Millisecond)
		synctest.Wait()
		echoes.want(t, "the publisher")
		acks.want(t)
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		echoes.want(t, "the publisher", tpv(1), tpv(2))
		acks.want(t, "1s "+tpv(1), ackAt(time.Second+time.Millisecond, 2))
	})
}

// A publisher whose messages the group did not take is closed, and nothing later of it is published.
func TestPublishFails(t *testing.T) {
	fleet(t, 2, Config{}, func(t *testing.T, b *bus, at []place) {
		viewer := readTexts(at[1].join(t, ""))
		pub := at[0].join(t, "", bearer("pub"))
		echoes := readTexts(pub)
		write(pub, tpv(1))
		synctest.Wait()
		refused := 0
		b.change(func() {
			b.storing = time.Second
			b.refuse = func([]shared.Message) error { refused++; return errors.New("no replica") }
		})
		write(pub, tpv(2))
		synctest.Wait()
		write(pub, tpv(3))
		time.Sleep(time.Second)
		synctest.Wait()
		b.change(func() { b.refuse = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		echoes.want(t, "the publisher", tpv(1))
		echoes.closed(t, "the publisher", websocket.CloseServiceRestart, groupLost)
		viewer.want(t, "the viewer", tpv(1))
		if refused != 1 {
			t.Errorf("Publish was called %d times after its error", refused-1)
		}
		if n := at[0].hub.queued.Load(); n != 0 {
			t.Errorf("%d bytes are still counted as queued", n)
		}
	})
}

// A message that the group never takes is refused as one that is not JSON is: the publisher must not send it again and again.
func TestNotCarried(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		pub := at[0].join(t, "", bearer("pub"))
		echoes := readTexts(pub)
		b.change(func() {
			b.refuse = func([]shared.Message) error {
				return &problem.Problem{Code: shared.CodeNotCarried, Cause: "a number has more than 64 bits", Fix: "send it as a string"}
			}
		})
		write(pub, tpv(1))
		synctest.Wait()
		echoes.closed(t, "the publisher", websocket.CloseInvalidFramePayloadData, "a number has more than 64 bits: send it as a string")
	})
}

// What is published and does not come back is sent again by its publisher.
func TestPublishedAndNotBack(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		pub := at[0].join(t, "", bearer("pub"))
		echoes := readTexts(pub)
		synctest.Wait()
		b.change(func() { clear(b.nodes[0].joined) })
		write(pub, tpv(1))
		time.Sleep(returnLimit)
		synctest.Wait()
		echoes.closed(t, "the publisher", websocket.CloseServiceRestart, groupLost)
	})
}

// Without the layer publishers are asked to come again, viewers get what the node has, and the load balancer hears of it.
func TestOutage(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		stays, pub := readTexts(at[0].join(t, "")), at[0].join(t, "", bearer("pub"))
		readTexts(pub)
		write(pub, tpv(1))
		synctest.Wait()
		b.change(func() { b.down = errors.New("redis is gone") })
		if a := at[0].ask(group7, bearer("pub")); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "5" || a.Header.Get(shared.RefusalHeader) != shared.RefusedLayer {
			t.Errorf("a publisher is answered %s, %v, want 503, 5 and layer", a.Status, a.Header)
		}
		if a := at[0].ask("/ws/gps-tracking/van_8/", nil); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "5" {
			t.Errorf("a viewer of another group is answered %s, Retry-After %q, want 503 and 5", a.Status, a.Header.Get("Retry-After"))
		}
		if a := at[0].ask("/healthz", nil); a.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("/healthz is answered %s, want 503", a.Status)
		}
		during := readTexts(at[0].join(t, ""))
		late := readTexts(at[0].join(t, "?after=5f1c09ae77b2d041:1"))
		synctest.Wait()
		late.want(t, "a viewer during the outage", `{"class":"HISTORY","device_id":"van_7","complete":false}`)
		b.change(func() { b.down = nil })
		again := at[0].join(t, "", bearer("pub"))
		readTexts(again)
		write(again, tpv(2))
		synctest.Wait()
		stays.want(t, "the viewer that stayed", tpv(1), tpv(2))
		during.want(t, "the viewer that joined during the outage", tpv(1), tpv(2))
		if a := at[0].ask("/healthz", nil); a.StatusCode != http.StatusOK {
			t.Errorf("/healthz is answered %s, want 200", a.Status)
		}
		b.change(func() { b.unjoined = errors.New("not joined") })
		if a := at[0].ask("/ws/gps-tracking/van_8/", bearer("pub")); a.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a publisher whose group is not joined is answered %s, want 503", a.Status)
		}
	})
}

// After a loss of what was acknowledged, publishers are asked to send it again. Viewers stay.
func TestLost(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		viewer, pub := readTexts(at[0].join(t, "")), readTexts(at[0].join(t, "", bearer("pub")))
		synctest.Wait()
		b.nodes[0].receiver.Lost()
		time.Sleep(time.Second)
		synctest.Wait()
		pub.closed(t, "the publisher", websocket.CloseServiceRestart, shared.SendAgain)
		viewer.closed(t, "the viewer", 0, "")
	})
}

// What a publisher has sent is published and echoed before a shutdown closes it.
func TestShutdownPublishesWhatWaits(t *testing.T) {
	fleet(t, 2, Config{}, func(t *testing.T, b *bus, at []place) {
		b.change(func() { b.storing = 300 * time.Millisecond })
		viewer := readTexts(at[1].join(t, ""))
		pub := at[0].join(t, "", bearer("pub"))
		echoes := readTexts(pub)
		write(pub, tpv(1))
		synctest.Wait()
		write(pub, tpv(2), tpv(3)) // they wait for the first
		synctest.Wait()
		at[0].stop()
		synctest.Wait()
		echoes.want(t, "the publisher", tpv(1), tpv(2), tpv(3))
		echoes.closed(t, "the publisher", websocket.CloseGoingAway, "the relay is shutting down")
		viewer.want(t, "the viewer", tpv(1), tpv(2), tpv(3))
	})
}

// A layer that hangs does not hold a shutdown up, and costs no memory: the publisher is read no further than its queue.
func TestPublishHangs(t *testing.T) {
	fleet(t, 1, Config{Queue: 8}, func(t *testing.T, b *bus, at []place) {
		b.change(func() { b.storing = time.Hour })
		pub := at[0].join(t, "", bearer("pub"))
		readTexts(pub)
		sent := 0
		go func() {
			for ; pub.WriteMessage(websocket.TextMessage, []byte(tpv(sent))) == nil; sent++ {
			}
		}()
		time.Sleep(publishLimit / 2)
		synctest.Wait()
		if sent < 8 || sent > 40 { // beside its queue, what a buffer holds
			t.Errorf("the publisher has sent %d messages while none was published, want some 8", sent)
		}
		began := time.Now()
		at[0].stop()
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("the shutdown took %v", took)
		}
	})
}

// What a publisher leaves with a layer that hangs is let go when its time is over, and so is its goroutine.
func TestPublisherLeavesWhileItsMessagesWait(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		b.change(func() { b.storing = time.Hour })
		pub := at[0].join(t, "", bearer("pub"))
		write(pub, tpv(1))
		synctest.Wait()
		write(pub, tpv(2))
		synctest.Wait()
		pub.Close()
		time.Sleep(publishLimit)
		ended := make(chan bool)
		go func() {
			at[0].hub.running.Wait()
			close(ended)
		}()
		synctest.Wait()
		select {
		case <-ended:
		default:
			t.Error("a goroutine of the publisher is left")
		}
		if n := at[0].hub.queued.Load(); n != 0 {
			t.Errorf("%d bytes are still counted as queued", n)
		}
	})
}

// What waits for a layer that hangs counts with all that is queued, and has the same bound.
func TestOutboxesAreBoundedTogether(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		const bound = 20 << 10
		at[0].hub.limits.queuedBytes, at[0].hub.limits.publishers = bound, 10
		b.change(func() { b.storing = time.Hour })
		var all []*texts
		for i := range 10 {
			pub := at[0].join(t, "", bearer("pub"))
			all = append(all, readTexts(pub))
			for seq := range 8 {
				write(pub, tpv(10*i+seq))
			}
			synctest.Wait()
			if n := at[0].hub.queued.Load(); n > bound {
				t.Fatalf("%d bytes are queued, the bound is %d", n, bound)
			}
		}
		if n := left(all, websocket.CloseTryAgainLater); n == 0 || n == len(all) {
			t.Errorf("%d of %d publishers were closed, want some", n, len(all))
		}
	})
}

// A publisher that is closed for what waits may be about to post the next message. Published without those that were dropped it would
// acknowledge them.
func TestDroppedPublisherPublishesNothingMore(t *testing.T) {
	fleet(t, 2, Config{}, func(t *testing.T, b *bus, at []place) {
		b.change(func() { b.storing = time.Second })
		viewer := readTexts(at[1].join(t, ""))
		pub := at[0].join(t, "", inShort("pub"))
		acks := readTexts(pub)
		write(pub, tpv(1))
		synctest.Wait()
		write(pub, tpv(2)) // waits for the first
		synctest.Wait()
		at[0].hub.limits.queuedBytes = 1
		at[0].hub.boundQueues()
		for _, v := range at[0].hub.everyone() {
			v.publish([]byte(tpv(3)))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		viewer.want(t, "the viewer", tpv(1))
		for _, ack := range acks.list {
			t.Errorf("acknowledged: %s", ack)
		}
	})
}

// A group is left half a minute after its last member.
func TestLeave(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		conn := at[0].join(t, "")
		synctest.Wait()
		conn.Close()
		in := func() (is bool) { b.change(func() { is = b.nodes[0].joined["van_7"] }); return is }
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if !in() {
			t.Error("the group was left at once: a page that is opened again joins it again")
		}
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if in() || at[0].hub.lookup("van_7") != nil {
			t.Error("the group was not left")
		}
	})
}

// Members that join at any time, of a group that is new to their node or not, while a fix is being stored, is stored and on its way,
// or has come: each gets every fix from the first that it asked for, once and in order.
func TestJoinMissesNothing(t *testing.T) {
	const last = 400
	fleet(t, 3, Config{History: 50}, func(t *testing.T, b *bus, at []place) {
		b.change(func() {
			b.storing, b.answering = 3*time.Millisecond, 5*time.Millisecond
			b.delaying = func() time.Duration { return rand.N(10 * time.Millisecond) }
		})
		pub := at[0].join(t, "", bearer("pub"))
		readTexts(pub)
		go func() {
			for seq := 1; seq <= last; seq++ {
				write(pub, tpv(seq))
				time.Sleep(rand.N(20 * time.Millisecond))
			}
		}()
		time.Sleep(time.Second)
		type joined struct {
			*texts
			query string
			from  int
		}
		var members []joined
		for range 60 {
			seen := 0
			b.change(func() { seen = len(b.store["van_7"]) })
			from := max(1, seen-rand.N(40))
			query := fmt.Sprintf("?after=5f1c09ae77b2d041:%d", from)
			if rand.N(3) == 0 {
				query, from = fmt.Sprintf("?history=%d", 1+rand.N(40)), 0
			}
			members = append(members, joined{readTexts(at[rand.N(3)].join(t, query)), query, from})
			time.Sleep(rand.N(60 * time.Millisecond))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, m := range members {
			list := m.list
			if m.from > 0 {
				if len(list) == 0 || !strings.Contains(list[0], `"complete":true`) {
					t.Fatalf("%s: first came %q", m.query, list)
				}
				list = list[1:]
			}
			for i, text := range list {
				want := tpv(last - len(list) + 1 + i)
				if m.from > 0 {
					want = tpv(m.from + 1 + i)
				}
				if text != want {
					t.Fatalf("%s: message %d is %s, want %s", m.query, i, text, want)
				}
			}
			if len(list) == 0 || list[len(list)-1] != tpv(last) {
				t.Errorf("%s: the last message did not come", m.query)
			}
		}
	})
}

// What came after a fix is given where it is known, with whether it is; also by a relay alone, whose program's messages have their
// keys in their text.
func TestAfter(t *testing.T) {
	r := start(t, Config{History: 3})
	for seq := 1; seq <= 5; seq++ {
		r.tpv(seq)
	}
	state := func(complete bool) string {
		return fmt.Sprintf(`{"class":"HISTORY","device_id":"van_7","complete":%t}`, complete)
	}
	const run = "5f1c09ae77b2d041"
	for query, want := range map[string][]string{
		"?after=" + run + ":3":           {state(true), tpv(4), tpv(5)},
		"?after=" + run + ":5":           {state(true)},
		"?after=" + run + ":1":           {state(false), tpv(3), tpv(4), tpv(5)},
		"?after=" + run + ":1&history=1": {state(false), tpv(5)},
		"?after=another:4":               {state(false), tpv(3), tpv(4), tpv(5)},
	} {
		m := dial(t, r, query, nil)
		m.want(want...)
		r.sky(1) // not for it
		m.send("done")
		until(t, "it joined", func() bool { return r.Status().Ignored > 0 })
		m.Close()
		until(t, "it left", func() bool { return r.Status().Viewers == 0 })
	}
	for _, wrong := range []string{"after=" + run, "after=:1", "after=" + run + ":0", "after=" + run + ":x", "after=" + run + ":-1"} {
		_, answer, err := websocket.DefaultDialer.Dial(r.url("ws", group7+"?"+wrong), nil)
		if err == nil || answer.StatusCode != http.StatusBadRequest {
			t.Errorf("?%s is answered %v, want 400", wrong, answer)
		}
	}
}

// A node that has lost its connection for a while gives its members what they missed, before what has come since.
func TestMissed(t *testing.T) {
	fleet(t, 2, Config{Queue: 100}, func(t *testing.T, b *bus, at []place) {
		b.change(func() { b.answering = time.Second })
		here, there := readTexts(at[0].join(t, "")), at[1].join(t, "", bearer("pub"))
		echoes := readTexts(there)
		viewer := readTexts(at[1].join(t, ""))
		pub := at[0].join(t, "", bearer("pub"))
		readTexts(pub)
		var all []string
		send := func(conn *websocket.Conn, from, to int) {
			for seq := from; seq <= to; seq++ {
				all = append(all, tpv(seq))
				write(conn, tpv(seq))
				synctest.Wait()
			}
		}
		send(pub, 1, 3)
		b.change(func() { delete(b.nodes[1].joined, "van_7") })
		send(pub, 4, 80) // more than are asked for at first
		b.nodes[1].receiver.Missed()
		b.change(func() { b.nodes[1].joined["van_7"] = true })
		send(pub, 81, 82)
		send(there, 83, 84)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		send(pub, 85, 85)
		here.want(t, "the member elsewhere", all...)
		viewer.want(t, "the viewer", all...)
		echoes.want(t, "the publisher", all...)

		// No more is held than a queue of it.
		b.change(func() { b.answering = time.Minute })
		b.nodes[1].receiver.Missed()
		send(pub, 86, 186)
		viewer.want(t, "the viewer", all...)
	})
}

// Where the store does not answer, members get what comes after a while.
func TestMissedWithoutTheStore(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		viewer, pub := readTexts(at[0].join(t, "")), at[0].join(t, "", bearer("pub"))
		readTexts(pub)
		write(pub, tpv(1))
		synctest.Wait()
		b.change(func() { b.forgetful = errors.New("no history") })
		b.nodes[0].receiver.Missed()
		time.Sleep(time.Second)
		write(pub, tpv(2))
		time.Sleep(gapLimit)
		synctest.Wait()
		viewer.want(t, "the viewer", tpv(1), tpv(2))
	})
}

package layer

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/layer/event"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/realtest/django"
)

const (
	coreBackend   = "channels_redis.core.RedisChannelLayer"
	pubsubBackend = "channels_redis.pubsub.RedisPubSubChannelLayer"
	vanGroup      = "gps_tracking_van_7"
)

// coreConfig is the configuration of nodes on Redis servers.
func coreConfig(stores []*realtest.RedisStore, keys ...string) Config {
	c := Config{Kind: "core", Durable: "none", Keys: keys}
	for _, r := range stores {
		c.URLs = append(c.URLs, r.URL())
	}
	return c
}

// coreOptions are those of Django for the same.
func coreOptions(stores []*realtest.RedisStore, keys ...string) map[string]any {
	var hosts []string
	for _, r := range stores {
		hosts = append(hosts, r.URL())
	}
	return map[string]any{"hosts": hosts, "symmetric_encryption_keys": keys}
}

// sameJSON reports whether two texts have the same value.
func sameJSON(t testing.TB, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return reflect.DeepEqual(x, y)
}

// hasSerializers reports whether this is channels_redis 4.2.1 or later.
func hasSerializers() bool { return django.Lacks("channels_redis.serializers") == nil }

// odd are messages beside usual ones.
var odd = []string{`{"device_id":"van_7","lat":51.5033635,"lon":-0.0,"seq":18446744073709551615,"text":"ä\u0000😀","none":null}`, `[1,2.0,{"a":[]}]`, `"text"`, `12`}

// TestCoreWithDjango: nodes and channels_redis receive what the other sends, and what nodes write has the bytes that channels_redis writes.
func TestCoreWithDjango(t *testing.T) {
	t.Parallel()
	type test struct {
		name  string
		hosts int
		keys  []string
		json  bool
	}
	tests := []test{{"one host", 1, nil, false}, {"two hosts, encrypted", 2, []string{"second key", "first key"}, false}}
	if hasSerializers() {
		tests = append(tests, test{"JSON in place of msgpack", 1, []string{"key"}, true})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stores []*realtest.RedisStore
			for range test.hosts {
				stores = append(stores, realtest.StartRedis(t))
			}
			options := coreOptions(stores, slices.Sorted(slices.Values(test.keys))...)
			if test.json {
				options["serializer_format"] = "json"
			}
			d := startPython(t, coreBackend, options)
			one := open(t, coreConfig(stores, test.keys...)).join("van_7")
			two := open(t, coreConfig(stores, test.keys...)).join("van_7", "van_8", "van_9")
			d.join("viewer", vanGroup)
			d.listen("viewer")
			d.join("viewer", "gps_tracking_van_8")

			for i, text := range odd { // from Django, and from a node
				d.send("viewer", vanGroup, text)
				for _, n := range []*node{one, two} {
					n.await("van_7", 2*i+1) // and the format is known
				}
				one.publish("van_7", text)
				for _, n := range []*node{one, two} {
					got := n.await("van_7", 2*i+2)[2*i : 2*i+2]
					if !sameJSON(t, string(got[0].Data), text) || got[0].From != nil || string(got[1].Data) != text {
						t.Errorf("a node received %s of Django and %s, want %s", got[0].Data, got[1].Data, text)
					}
				}
				if got := d.await("viewer", 2*i+2)[2*i : 2*i+2]; !sameJSON(t, got[0], text) || !sameJSON(t, got[1], text) {
					t.Errorf("Django received %s, want %s", got, text)
				}
			}
			two.publish("van_8", fix(1)) // another group, of another member of the same process
			if got := d.await("viewer", 2*len(odd)+1)[2*len(odd)]; !sameJSON(t, got, fix(1)) {
				t.Errorf("Django received %s", got)
			}
			two.publish("van_9", fix(1)) // no member of Django is there
			two.await("van_9", 1)

			// A member that does not read shows what was written.
			d.join("silent", "gps_tracking_quiet")
			d.join("silent", "gps_tracking_quiet")
			one.join("quiet")
			for _, text := range odd {
				one.publish("quiet", text)
			}
			written := drain(t, stores)
			for _, text := range odd {
				d.send("silent", "gps_tracking_quiet", text)
			}
			theirs := drain(t, stores)
			if len(written) != len(odd) || len(theirs) != len(odd) {
				t.Fatalf("%d events were written, and %d by Django, want %d", len(written), len(theirs), len(odd))
			}
			crypter := event.NewCrypter(test.keys)
			for i := range odd {
				ours, want := payload(t, crypter, written[i]), payload(t, crypter, theirs[i])
				if ours != want && !(test.json && sameJSON(t, ours, want)) {
					t.Errorf("%s was written as %q, by Django as %q", odd[i], ours, want)
				}
			}
		})
	}
}

// drain takes all events out of the queue that holds some, in their order.
func drain(t testing.TB, stores []*realtest.RedisStore) (events []string) {
	t.Helper()
	for _, r := range stores {
		c := client(t, r)
		queues, err := c.Do(t.Context(), c.B().Keys().Pattern("asgispecific.*!").Build()).AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		for _, queue := range queues {
			if strings.Contains(queue, nodeMark) {
				continue // of a node, which reads it
			}
			popped, err := c.Do(t.Context(), c.B().Zpopmin().Key(queue).Count(1000).Build()).AsZScores()
			if err != nil {
				t.Fatal(err)
			}
			if ttl, err := c.Do(t.Context(), c.B().Ttl().Key(queue).Build()).AsInt64(); err != nil || ttl > 60 {
				t.Errorf("the queue stays for %d s, %v", ttl, err)
			}
			for _, p := range popped {
				events = append(events, p.Member)
			}
		}
	}
	return events
}

// payload is an event without what is random in it.
func payload(t testing.TB, c *event.Crypter, queued string) string {
	t.Helper()
	queued = queued[headerBytes:]
	if c == nil {
		return queued
	}
	plain, ok := c.Decrypt(nil, []byte(queued), time.Now(), 0)
	if !ok {
		t.Fatalf("%q is not decrypted", queued)
	}
	return string(plain)
}

// TestCoreFullQueue: a queue that nothing reads, of a process that was killed, stops no other; one that is read slowly gets what it has room for, in
// order.
func TestCoreFullQueue(t *testing.T) {
	t.Parallel()
	stores := []*realtest.RedisStore{realtest.StartRedis(t)}
	d := startPython(t, coreBackend, coreOptions(stores))
	n := open(t, coreConfig(stores)).join("van_7")
	d.join("dead", vanGroup)
	d.join("living", vanGroup)
	d.listen("living")

	const count = 300
	began := time.Now()
	for i := range count {
		n.publish("van_7", fix(i))
		if i%50 == 49 { // no more than its queue holds
			d.await("living", i+1)
		}
	}
	// To wait for the queue of the dead each time would take 200 s.
	if took := time.Since(began); took > patience {
		t.Errorf("publishing %d messages took %v", count, took)
	}
	for i, got := range d.await("living", count) {
		if !sameJSON(t, got, fix(i)) {
			t.Fatalf("message %d is %s", i, got)
		}
	}
	if lost := n.Stats().OverCapacity; lost == 0 || lost > count-queueCapacity { // fewer where the test takes longer than messages stay
		t.Errorf("%d messages were dropped, want %d", lost, count-queueCapacity)
	}
	d.leave("dead", vanGroup)

	// More at once than a queue holds: what does not fit waits, as long as the member reads within a second, which a busy machine may prevent.
	slow := "living"
	for waited := false; !waited; {
		before := n.Stats().OverCapacity
		already := len(d.await(slow, 0))
		texts := make([]string, 4*queueCapacity)
		for i := range texts {
			texts[i] = fix(i)
		}
		n.publish("van_7", texts...)
		arrived := len(texts) - int(n.Stats().OverCapacity-before)
		for i, got := range d.await(slow, already+arrived)[already:] {
			if !sameJSON(t, got, fix(i)) {
				t.Fatalf("message %d of %d is %s", i, arrived, got)
			}
		}
		waited = arrived > queueCapacity
		if time.Since(began) > 3*patience {
			t.Fatalf("%d of %d messages arrived: none waited for room", arrived, len(texts))
		}
		d.leave(slow, vanGroup)
		slow += "'"
		d.join(slow, vanGroup)
		d.listen(slow)
	}
}

// TestCoreMembership: what nodes do to the groups in Redis.
func TestCoreMembership(t *testing.T) {
	t.Parallel()
	stores := []*realtest.RedisStore{realtest.StartRedis(t)}
	c := client(t, stores[0])
	key := "asgi:group:" + vanGroup
	now := float64(time.Now().Unix())
	add := func(score float64, member string) {
		if err := c.Do(t.Context(), c.B().Zadd().Key(key).ScoreMember().ScoreMember(score, member).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	members := func() []string {
		all, err := c.Do(t.Context(), c.B().Zrange().Key(key).Min("0").Max("-1").Build()).AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	left, fresh, old := nodeMark+"00000000000000ff!00", nodeMark+"11111111111111ff!00", "specific.0123456789ab4def0123456789abcdef!00"
	add(now-1000, left)
	add(now, fresh)
	add(now-90_000, old)

	config := coreConfig(stores)
	config.Durable = "memory"
	n := open(t, config).join("van_7")
	all := members()
	if len(all) != 3 || !slices.Contains(all, fresh) || !slices.Contains(all, old) {
		t.Errorf("members are %q, want %q, %q and the node", all, fresh, old)
	}
	own := all[slices.IndexFunc(all, func(m string) bool { return m != fresh && m != old })]
	if len(own) != len(old)+30 || !strings.HasPrefix(own, nodeMark) {
		t.Errorf("the node's channel is %q", own)
	}

	// A member that joined a day ago is forgotten once nothing reads its queue, and not before.
	n.publish("van_7", fix(1))
	if !slices.Contains(members(), old) {
		t.Error("a member that reads was taken out of the group")
	}
	queue := "asgispecific.0123456789ab4def0123456789abcdef!"
	if err := c.Do(t.Context(), c.B().Zadd().Key(queue).ScoreMember().ScoreMember(now-1000, "unread").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	n.publish("van_7", fix(2))
	if slices.Contains(members(), old) {
		t.Error("a member that joined a day ago and does not read is still in the group")
	}
	for _, queue := range []string{fresh, left} {
		queue, _, _ = strings.Cut(queue, "!")
		if written, err := c.Do(t.Context(), c.B().Exists().Key("asgi"+queue+"!").Build()).AsInt64(); err != nil || written != 0 {
			t.Errorf("the node wrote to the queue of another node: %v", err)
		}
	}
	if ttl, err := c.Do(t.Context(), c.B().Ttl().Key(key).Build()).AsInt64(); err != nil || ttl < 86_000 {
		t.Errorf("the group stays for %d s, %v", ttl, err)
	}
	stores[0].FlushAll()
	await(t, "the node is a member again", func() bool { return slices.Equal(members(), []string{own}) })
	if err := n.kind.leave(t.Context(), n.Layer.session.Load(), []string{vanGroup}); err != nil {
		t.Fatal(err)
	}
	if all := members(); len(all) != 0 {
		t.Errorf("members are %q after leaving", all)
	}
}

// TestMessageThatIsNotCarried: what Django could not read is neither stored nor sent to nodes.
func TestMessageThatIsNotCarried(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	for _, kind := range []string{"core", "pubsub"} {
		c := coreConfig([]*realtest.RedisStore{redis})
		c.Kind, c.Durable = kind, "memory"
		device := "van_" + kind
		n := open(t, c).join(device)
		fixes := []group.Message{{Data: []byte(fix(1)), Key: group.Key{Run: "r1", Seq: 1}}, {Data: []byte(`{"seq":18446744073709551616}`), Key: group.Key{Run: "r1", Seq: 2}}}
		if err := n.Publish(t.Context(), device, fixes); problem.CodeOf(err) != group.CodeNotCarried {
			t.Errorf("%s: got %v", kind, err)
		}
		if stored, _, err := n.History(t.Context(), device, group.Key{}, 10); err != nil || len(stored) > 0 {
			t.Errorf("%s: stored %v, %v", kind, stored, err)
		}
		n.publish(device, fix(3))
		if got := n.await(device, 1); string(got[0].Data) != fix(3) {
			t.Errorf("%s: received %s", kind, got[0].Data)
		}
	}
}

// TestUnreadableMessages are logged once for each cause.
func TestUnreadableMessages(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	n := counters{log: slog.New(slog.NewTextHandler(&log, nil))}
	k := newCore(coreConfig(nil, "key").defaults(), &n)
	for range 3 {
		k.receiveEvent("prefix......gAAAAA", func(string, []byte) { t.Error("delivered") })
	}
	if lines := strings.Split(strings.TrimSpace(log.String()), "\n"); len(lines) != 1 || !strings.Contains(lines[0], wrongKeys.Cause) {
		t.Errorf("logged %q", lines)
	}
}

// TestCoreRenewsMembership: without stored fixes no epoch shows that Redis has lost its data.
func TestCoreRenewsMembership(t *testing.T) {
	t.Parallel()
	stores := []*realtest.RedisStore{realtest.StartRedis(t)}
	n := open(t, coreConfig(stores)).join("van_7")
	before := stores[0].Do("ZRANGE", "asgi:group:"+vanGroup, "0", "-1")
	if !strings.HasPrefix(before, nodeMark) {
		t.Fatalf("members are %q", before)
	}
	stores[0].FlushAll()
	eventually(t, func() error {
		if got := stores[0].Do("ZRANGE", "asgi:group:"+vanGroup, "0", "-1"); got != before {
			return fmt.Errorf("members are %q, want %q", got, before)
		}
		return nil
	})
	if n.Stats().Sessions != 1 {
		t.Error("the session ended")
	}
}

// TestMixedGroup: members of several Django processes and nodes; others join and leave all the time. Each message comes once to each member that stays,
// in the order of its sender.
func TestMixedGroup(t *testing.T) {
	t.Parallel()
	for kind, backend := range map[string]string{"core": coreBackend, "pubsub": pubsubBackend} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			mixedGroup(t, kind, backend)
		})
	}
}

func mixedGroup(t *testing.T, kind, backend string) {
	stores := []*realtest.RedisStore{realtest.StartRedis(t), realtest.StartRedis(t)}
	options, config := coreOptions(stores), coreConfig(stores)
	config.Kind = kind
	switch {
	case kind == "pubsub" && !hasSerializers():
		delete(options, "symmetric_encryption_keys")
	case kind == "pubsub":
		options["symmetric_encryption_keys"], config.Keys = []string{"key"}, []string{"key"}
	}
	d := startPython(t, backend, options)
	steady, coming := []string{"a", "b"}, []string{"x", "y"} // of Django
	for _, name := range slices.Concat(steady, coming) {
		d.join(name, vanGroup)
		d.listen(name)
	}
	nodes := []*node{open(t, config).join("van_7"), open(t, config).join("van_7")}
	if kind == "pubsub" { // Django does not wait for the confirmation
		channel := "asgi__group__" + vanGroup
		eventually(t, func() error {
			got := stores[event.Host(channel, len(stores))].Do("PUBSUB", "NUMSUB", channel)
			if want := fmt.Sprintf("%s\n%d", channel, len(steady)+len(coming)+len(nodes)); got != want {
				return fmt.Errorf("subscriptions: %q, want %q", got, want)
			}
			return nil
		})
	}
	const rounds, each = 15, 12 // four senders: fewer messages than a queue holds
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	away := map[string]bool{}
	for round := range rounds {
		for _, name := range coming {
			if dice.IntN(2) == 0 {
				continue
			}
			if away[name] = !away[name]; away[name] {
				d.leave(name, vanGroup)
			} else {
				d.join(name, vanGroup)
			}
		}
		var senders sync.WaitGroup
		if dice.IntN(3) == 0 {
			senders.Go(func() {
				t.Run("another node", func(t *testing.T) { open(t, config).join("van_7") })
			})
		}
		for i, n := range nodes {
			senders.Go(func() {
				for seq := range each {
					n.publish("van_7", numbered(fmt.Sprintf("node%d", i), round*each+seq))
				}
			})
		}
		for _, name := range steady {
			senders.Go(func() {
				for seq := range each {
					d.send(name, vanGroup, numbered(name, round*each+seq))
				}
			})
		}
		senders.Wait()
		for _, name := range steady {
			d.await(name, (round+1)*each*4)
		}
		for _, n := range nodes {
			n.await("van_7", (round+1)*each*4)
		}
	}
	for _, name := range steady {
		inOrder(t, name, d.await(name, 0), rounds*each)
	}
	for i, n := range nodes {
		var texts []string
		for _, m := range n.await("van_7", 0) {
			texts = append(texts, string(m.Data))
		}
		inOrder(t, fmt.Sprintf("node%d", i), texts, rounds*each)
	}
}

func numbered(run string, seq int) string { return fmt.Sprintf(`{"run":%q,"seq":%d}`, run, seq) }

// inOrder checks that a member has received as many messages of each of the four senders, once and in order.
func inOrder(t *testing.T, member string, texts []string, each int) {
	t.Helper()
	next := map[string]int{}
	for _, text := range texts {
		var m struct {
			Run string
			Seq int
		}
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		if m.Seq != next[m.Run] {
			t.Errorf("%s received %d of %s, want %d", member, m.Seq, m.Run, next[m.Run])
			return
		}
		next[m.Run]++
	}
	if len(next) != 4 || len(texts) != 4*each {
		t.Errorf("%s received %v, want %d of each of four", member, next, each)
	}
}

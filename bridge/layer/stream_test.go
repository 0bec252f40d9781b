package layer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/realtest"
)

// recall is the history of a device as RUN:SEQ.
func (n *storing) recall(device string, after group.Key, most int) (got []string, complete bool) {
	n.t.Helper()
	messages, complete, err := n.st.history(context.Background(), n.s, device, after, most)
	if err != nil {
		n.t.Fatal(err)
	}
	return keysOf(n.t, messages), complete
}

func TestHistory(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	n := startStoring(t, Config{Durable: memory}, redis)
	n.mustCommit("van_7", fixesOf("a", 1, 2, 3, 4)...)
	n.mustCommit("van_8", fixesOf("a", 1, 2)...)
	n.mustCommit("van_7", fixesOf("b", 1, 2)...)
	n.mustCommit("van_7", late(fixOf("a", 5)), late(fixOf("a", 6)))
	trimmed := func(device string) func() {
		return func() { redis.Do("XTRIM", fmt.Sprintf("fixes:%d", partition(device)), "MAXLEN", "0") }
	}
	for _, test := range []struct {
		name     string
		before   func()
		device   string
		after    group.Key
		most     int
		want     string
		complete bool
	}{
		{"the newest", nil, "van_7", group.Key{}, 3, "b:2 a:5 a:6", true},
		{"all", nil, "van_7", group.Key{}, 100, "a:1 a:2 a:3 a:4 b:1 b:2 a:5 a:6", true},
		{"the last fix among a backlog", nil, "van_7", group.Key{}, 1, "b:2", true},
		{"the last fix before a backlog", nil, "van_7", group.Key{}, 2, "b:2 a:6", true},
		{"after one", nil, "van_7", group.Key{Run: "b", Seq: 1}, 100, "b:2 a:5 a:6", true},
		{"after one of the backlog", nil, "van_7", group.Key{Run: "a", Seq: 5}, 100, "a:6", true},
		{"after the newest", nil, "van_7", group.Key{Run: "a", Seq: 6}, 100, "", true},
		{"more than most after one", nil, "van_7", group.Key{Run: "a", Seq: 1}, 4, "b:1 b:2 a:5 a:6", false},
		{"after one that is not there", nil, "van_7", group.Key{Run: "c", Seq: 6}, 3, "b:2 a:5 a:6", false},
		{"another device", nil, "van_8", group.Key{}, 100, "a:1 a:2", true},
		{"no such device", nil, "van_9", group.Key{}, 100, "", true},
		{"after one of no such device", nil, "van_9", group.Key{Run: "a", Seq: 1}, 100, "", false},
		{"parked for longer than keep", trimmed("van_7"), "van_7", group.Key{}, 100, "b:2", true},
		{"after the last fix of a parked one", nil, "van_7", group.Key{Run: "b", Seq: 2}, 100, "", true},
		{"after another one of a parked one", nil, "van_7", group.Key{Run: "a", Seq: 4}, 100, "b:2", false},
	} {
		if test.before != nil {
			test.before()
		}
		got, complete := n.recall(test.device, test.after, test.most)
		if strings.Join(got, " ") != test.want || complete != test.complete {
			t.Errorf("%s: %v, complete %v, want %s, %v", test.name, got, complete, test.want, test.complete)
		}
	}
	n.mustCommit("van_7", fixOf("b", 3))
	if got, complete := n.recall("van_7", group.Key{Run: "b", Seq: 2}, 100); complete || !slices.Equal(got, []string{"b:3"}) {
		t.Errorf("after a fix that was trimmed: %v, complete %v", got, complete)
	}
}

// The last fix of a device is that with the highest seq of its newest run.
func TestLastFix(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	n := startStoring(t, Config{Durable: memory}, redis)
	for i, test := range []struct {
		commit []group.Message
		want   string
	}{
		{fixesOf("a", 9, 10), "a:10"},
		{[]group.Message{fixOf("a", 10), fixOf("a", 12), fixOf("a", 11)}, "a:12"},
		{[]group.Message{fixOf("a", 7), late(fixOf("a", 13)), late(fixOf("a", 8))}, "a:13"},
		{[]group.Message{fixOf("a", 7), late(fixOf("b", 1))}, "a:7"},
		{[]group.Message{fixOf("a", 7), fixOf("b", 1), late(fixOf("a", 8))}, "b:1"},
		{[]group.Message{late(fixOf("a", 1))}, "a:1"},
		{fixesOf("a", 1<<52, 3, 4), "a:4"}, // a wrong number does not stay
	} {
		device := fmt.Sprintf("van_%d", i)
		n.mustCommit(device, test.commit...)
		if got, _ := n.recall(device, group.Key{}, 1); !slices.Equal(got, []string{test.want}) {
			t.Errorf("after %v: %v, want %s", keysOf(t, test.commit), got, test.want)
		}
	}
}

// Lost data are reported once, and what was acknowledged before is stored when it is sent again.
func TestLostData(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	n := startStoring(t, Config{Durable: memory}, redis)
	n.mustCommit("van_7", fixOf("a", 1))
	whole := n.st.epoch("van_7")
	redis.FlushAll()
	// A commit, or the node that looks once a second, sees it first.
	if err := n.commit("van_7", fixOf("a", 2)); err != nil {
		codeOf(t, err, CodeDataLost)
	}
	await(t, "the loss is reported", func() bool { return n.lost.Load() == 1 })
	if now := n.st.epoch("van_7"); whole == "" || now == "" || now == whole {
		t.Errorf("epoch %q after the loss, %q before", now, whole)
	}
	n.mustCommit("van_7", fixesOf("a", 1, 2)...)
	other := startStoring(t, Config{Durable: memory}, redis)
	if mine, others := n.st.epoch("van_7"), other.st.epoch("van_7"); mine != others {
		t.Errorf("epoch %q, and %q at another node", mine, others)
	}
	other.mustCommit("van_7", fixOf("a", 1))
	if got := stored(t, client(t, redis), "van_7"); !slices.Equal(got, []string{"a:1", "a:2"}) && !slices.Equal(got, []string{"a:2", "a:1"}) {
		t.Errorf("stored %v", got)
	}

	redis.FlushAll()
	for _, node := range []*storing{n, other} { // both, and without a commit
		want := map[*storing]int32{n: 2, other: 1}[node]
		await(t, "an idle node reports it", func() bool { return node.lost.Load() == want })
	}
	redis.Restart()
	if err := n.begin(redis); err != nil {
		t.Fatal(err)
	}
	if got := n.lost.Load(); got != 3 {
		t.Errorf("an empty Redis is lost data: %d reports", got)
	}
	if err := n.begin(redis); err != nil || n.lost.Load() != 3 {
		t.Errorf("another session with the same Redis: %v, %d reports", err, n.lost.Load())
	}
}

// A Redis that comes back with older data has lost the newer ones.
func TestOlderData(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	n := startStoring(t, Config{Durable: memory}, redis)
	n.mustCommit("van_7", fixOf("a", 1))
	redis.Do("SAVE")
	redis.Restart()
	if err := n.begin(redis); err != nil || n.lost.Load() != 0 {
		t.Fatalf("with all data: %v, %d reports", err, n.lost.Load())
	}
	other := startStoring(t, Config{Durable: memory}, redis)
	n.mustCommit("van_7", fixOf("a", 2))
	other.mustCommit("van_8", fixOf("a", 2))
	whole := n.st.epoch("van_7")
	redis.Restart()
	for _, node := range []*storing{n, other, n, other} {
		if err := node.begin(redis); err != nil || node.lost.Load() != 1 || node.st.epoch("van_7") == whole {
			t.Fatalf("with older data: %v, %d reports, epoch %q after %q", err, node.lost.Load(), node.st.epoch("van_7"), whole)
		}
	}
	n.mustCommit("van_7", fixesOf("a", 1, 2)...)
	if got := stored(t, client(t, redis), "van_7"); !slices.Equal(got, []string{"a:1", "a:2"}) {
		t.Errorf("stored %v", got)
	}
}

// Streams are trimmed to keep, and not before every consumer group has acknowledged.
func TestTrim(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	c := client(t, redis)
	n := startStoring(t, Config{Durable: memory, Keep: time.Hour}, redis)
	sh, h := n.st.shards[0], n.s.hosts[0]
	stream := fmt.Sprintf("fixes:%d", partition("van_7"))
	length := func(keep time.Duration) string {
		t.Helper()
		sh := &shard{prefix: sh.prefix, keep: keep, log: sh.log}
		if err := sh.trim(context.Background(), 0, 1, h); err != nil {
			t.Fatal(err)
		}
		return redis.Do("XLEN", stream)
	}
	redis.Do("CONFIG", "SET", "stream-node-max-entries", "1") // Redis trims whole nodes
	redis.Do("XGROUP", "CREATE", stream, "workers", "0", "MKSTREAM")
	redis.Do("XGROUP", "CREATE", stream, "others", "0")
	read := func(group string, count int64) (ids []string) {
		t.Helper()
		entries, err := c.Do(context.Background(), c.B().Xreadgroup().Group(group, "one").Count(count).Streams().Key(stream).Id(">").Build()).AsXRead()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries[stream] {
			ids = append(ids, e.ID)
		}
		return ids
	}
	n.mustCommit("van_7", fixesOf("a", 1, 2, 3, 4, 5)...)
	if got := length(time.Hour); got != "5" || strings.Contains(n.log.String(), "group=") {
		t.Errorf("%s entries, want the five within keep; log %s", got, &n.log)
	}
	// From here on no entry is within keep.
	if got := length(-time.Hour); got != "5" || !strings.Contains(n.log.String(), "lag=1h") {
		t.Errorf("%s entries, want the five that no group has read; log %s", got, &n.log)
	}
	slow := read("workers", 3)
	for _, id := range read("others", 5) {
		redis.Do("XACK", stream, "others", id)
	}
	if got := length(-time.Hour); got != "5" {
		t.Errorf("%s entries, want the five of which one group has acknowledged none", got)
	}
	redis.Do("XACK", stream, "workers", slow[0])
	if got := length(-time.Hour); got != "4" {
		t.Errorf("%s entries, want the four that one group has not acknowledged", got)
	}
	redis.Do("XACK", stream, "workers", slow[1], slow[2])
	if got := length(-time.Hour); got != "3" { // the last one that was read stays
		t.Errorf("%s entries, want three", got)
	}
	for _, id := range read("workers", 5) {
		redis.Do("XACK", stream, "workers", id)
	}
	redis.Do("XGROUP", "DESTROY", stream, "workers")
	redis.Do("XGROUP", "DESTROY", stream, "others")
	if got := length(-time.Hour); got != "0" {
		t.Errorf("%s entries, want none", got)
	}
}

// Partitions are spread over the hosts, and a device has all its keys on one.
func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	redis := []*realtest.RedisStore{realtest.StartRedis(t), realtest.StartRedis(t)}
	n := startStoring(t, Config{Durable: memory}, redis...)
	for i := range 40 {
		n.mustCommit(fmt.Sprintf("van_%d", i), fixesOf("a", 1, 2)...)
	}
	keys := map[string]int{}
	for i, r := range redis {
		c := client(t, r)
		all, err := c.Do(context.Background(), c.B().Keys().Pattern("fixes:*").Build()).AsStrSlice()
		if err != nil || len(all) < 20 {
			t.Errorf("host %d has %d keys, %v", i, len(all), err)
		}
		for _, key := range all {
			p := strings.Split(key, ":")[1]
			if before, there := keys[p]; there && before != i && p != "epoch" {
				t.Errorf("keys of partition %s are on both", p)
			}
			keys[p] = i
		}
	}
	if got, complete := n.recall("van_7", group.Key{Run: "a", Seq: 1}, 9); !complete || !slices.Equal(got, []string{"a:2"}) {
		t.Errorf("history %v, complete %v", got, complete)
	}
	redis[1].FlushAll()
	await(t, "the loss of one host is reported", func() bool { return n.lost.Load() == 1 })
}

// Nodes store each fix once between them, whichever of them it comes to, and all members get it each time.
func TestNodesStoreOnce(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	c := Config{URLs: []string{redis.URL()}, Kind: "pubsub", Durable: memory}
	one, two := open(t, c).join("van_7"), open(t, c).join("van_7")
	publish := func(n *node, messages ...group.Message) {
		t.Helper()
		if err := n.Publish(t.Context(), "van_7", messages); err != nil {
			t.Fatal(err)
		}
	}
	publish(one, fixesOf("a", 1, 2)...)
	publish(two, fixesOf("a", 2, 3)...)
	for _, n := range []*node{one, two} {
		n.await("van_7", 4)
		stored, complete, err := n.History(t.Context(), "van_7", group.Key{Run: "a", Seq: 1}, 10)
		if got := keysOf(t, stored); err != nil || !complete || !slices.Equal(got, []string{"a:2", "a:3"}) {
			t.Errorf("history %v, complete %v, %v", got, complete, err)
		}
	}
	redis.FlushAll()
	for _, n := range []*node{one, two} {
		await(t, "the node knows that data are lost", func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.lost == 1
		})
	}
	publish(one, fixOf("a", 1))
	redis.Do("CONFIG", "SET", "maxmemory", "1")
	codeOf(t, one.Publish(t.Context(), "van_7", fixesOf("a", 4, 5)), CodeFull)
	if s := one.Stats(); s.Losses != 1 || s.Refused != 2 {
		t.Errorf("stats %+v, want one loss and two refused", s)
	}
}

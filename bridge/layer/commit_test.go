package layer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"pgregory.net/rapid"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/realtest"
)

// longest bounds the wait for what happens within a second on a quiet machine.
const longest = 2 * time.Minute

// storing is the store of a node, over a session with the given hosts.
type storing struct {
	t  testing.TB
	st *streams
	s  *session
	// lost counts the reports of lost data.
	lost atomic.Int32
	log  lockedText
	end  func()
}

// lockedText is a log.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newStoring makes a store that no session has begun with.
func newStoring(t testing.TB, c Config, hosts int) *storing {
	n := &storing{t: t}
	if c.Stream == "" {
		c.Stream = "fixes"
	}
	if c.Keep == 0 {
		c.Keep = 10 * time.Minute
	}
	c.Log = slog.New(slog.NewTextHandler(&n.log, nil))
	c.URLs = make([]string, hosts)
	n.st = newStreams(c, func() { n.lost.Add(1) })
	return n
}

// startStoring makes a store and begins a session with it.
func startStoring(t testing.TB, c Config, redis ...*realtest.RedisStore) *storing {
	t.Helper()
	n := newStoring(t, c, len(redis))
	if err := n.begin(redis...); err != nil {
		t.Fatal(err)
	}
	return n
}

// begin ends the session and begins another one.
func (n *storing) begin(redis ...*realtest.RedisStore) error {
	n.t.Helper()
	if n.end != nil {
		n.end()
	}
	n.s = &session{}
	var cancel context.CancelCauseFunc
	n.s.ctx, cancel = context.WithCancelCause(context.Background())
	n.s.end = cancel
	for _, r := range redis {
		h := &host{address: r.Addr(), target: target{network: "tcp"}}
		var err error
		if h.client, err = h.open(n.s, h.address, h.target); err != nil {
			return err
		}
		n.t.Cleanup(h.client.Close)
		n.s.hosts = append(n.s.hosts, h)
	}
	if err := n.st.begin(n.s.ctx, n.s); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func(s *session) { ended <- n.st.run(s.ctx, s) }(n.s)
	n.end = sync.OnceFunc(func() {
		cancel(context.Canceled)
		<-ended
	})
	n.t.Cleanup(n.end)
	return nil
}

func client(t testing.TB, r *realtest.RedisStore) rueidis.Client {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{r.Addr()}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// replicate makes one Redis a replica of another, and returns when it has all that the other has.
func replicate(t testing.TB, replica, master *realtest.RedisStore) {
	t.Helper()
	ip, port, _ := net.SplitHostPort(master.Addr())
	replica.Do("REPLICAOF", ip, port)
	await(t, "the replica is in step", func() bool {
		info, err := replica.Command("INFO", "replication")
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
}

func await(t testing.TB, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(longest); !reached(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is not so that %s", longest, what)
		}
	}
}

// commit stores messages of a device, and must return within the bounds that every commit has.
func (n *storing) commit(device string, messages ...group.Message) error {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	return n.st.commit(ctx, n.s, device, messages)
}

// refuse stores messages of a device whose proof does not come while their publisher waits.
func (n *storing) refuse(device string, messages ...group.Message) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	codeOf(n.t, n.st.commit(ctx, n.s, device, messages), CodeNotReplicated)
}

func (n *storing) mustCommit(device string, messages ...group.Message) {
	n.t.Helper()
	if err := n.commit(device, messages...); err != nil {
		n.t.Fatal(err)
	}
}

// store stores messages of a device when what proves that comes in time, which on a busy machine it may not at once.
func (n *storing) store(device string, messages ...group.Message) {
	n.t.Helper()
	await(n.t, "replicas or disks confirm", func() bool {
		err := n.commit(device, messages...)
		if code := problem.CodeOf(err); err != nil && code != CodeNotReplicated && code != CodeNotOnDisk {
			n.t.Fatal(err)
		}
		return err == nil
	})
}

// fixOf is a fix of a run.
func fixOf(run string, seq uint64) group.Message {
	return group.Message{Data: fmt.Appendf(nil, `{"class":"TPV","run":%q,"seq":%d}`, run, seq), Key: group.Key{Run: run, Seq: seq}}
}

func fixesOf(run string, seqs ...uint64) (all []group.Message) {
	for _, seq := range seqs {
		all = append(all, fixOf(run, seq))
	}
	return all
}

func late(m group.Message) group.Message {
	m.Backlog = true
	return m
}

// keysOf are messages as RUN:SEQ, of which the text is that of fixOf.
func keysOf(t testing.TB, messages []group.Message) (all []string) {
	t.Helper()
	for _, m := range messages {
		if want := fixOf(m.Key.Run, m.Key.Seq); string(m.Data) != string(want.Data) {
			t.Fatalf("the fix %v has the text %s", m.Key, m.Data)
		}
		all = append(all, fmt.Sprintf("%s:%d", m.Key.Run, m.Key.Seq))
	}
	return all
}

// stored are the entries of a device in its stream, as RUN:SEQ, oldest first.
func stored(t testing.TB, c rueidis.Client, device string) (all []string) {
	t.Helper()
	entries, err := c.Do(context.Background(), c.B().Xrange().Key(fmt.Sprintf("fixes:%d", partition(device))).Start("-").End("+").Build()).AsXRange()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if f := e.FieldValues; f["device_id"] == device {
			seq, _ := strconv.ParseUint(f["seq"], 10, 64)
			if want := string(fixOf(f["run"], seq).Data); f["message"] != want {
				t.Fatalf("entry %v, want the message %s", f, want)
			}
			all = append(all, f["run"]+":"+f["seq"])
		}
	}
	return all
}

// Whatever comes, each fix is stored once, in the order in which it came first, and the history has it so.
func TestRepeatsAreStoredOnce(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	c := client(t, redis)
	n := startStoring(t, Config{Durable: memory}, redis)
	devices := 0
	rapid.Check(t, func(r *rapid.T) {
		devices++
		device := fmt.Sprintf("van_%d", devices)
		runs := []string{"a", "b", "c"}
		seqs := rapid.OneOf(rapid.Uint64Range(1, 12), rapid.Uint64Range(seenBits-3, seenBits+3), rapid.Uint64Range(1<<53-2, 1<<53+2))
		seen, order := map[group.Key]bool{}, []string(nil)
		for range rapid.IntRange(1, 12).Draw(r, "commits") {
			var batch []group.Message
			for range rapid.IntRange(1, 6).Draw(r, "fixes") {
				m := fixOf(rapid.SampledFrom(runs).Draw(r, "run"), seqs.Draw(r, "seq"))
				m.Backlog = rapid.Bool().Draw(r, "backlog")
				batch = append(batch, m)
				if !seen[m.Key] {
					seen[m.Key] = true
					order = append(order, fmt.Sprintf("%s:%d", m.Key.Run, m.Key.Seq))
				}
			}
			if rapid.IntRange(0, 9).Draw(r, "restart") == 0 {
				if err := n.begin(redis); err != nil {
					r.Fatal(err)
				}
			}
			n.mustCommit(device, batch...)
		}
		if got := stored(t, c, device); !slices.Equal(got, order) {
			r.Fatalf("stored %v, want %v", got, order)
		}
		after := rapid.IntRange(0, len(order)-1).Draw(r, "after")
		run, seq, _ := strings.Cut(order[after], ":")
		number, _ := strconv.ParseUint(seq, 10, 64)
		most := rapid.IntRange(1, 80).Draw(r, "most")
		got, complete, err := n.st.history(context.Background(), n.s, device, group.Key{Run: run, Seq: number}, most)
		want := order[after+1:]
		if all := len(want) <= most; err != nil || complete != all {
			r.Fatalf("after %s of %v, at most %d: complete %v, %v", order[after], order, most, complete, err)
		} else if !all {
			want = want[len(want)-most:]
		}
		// Where it is not complete, the last fix may stand first.
		if got := keysOf(t, got); !slices.Equal(got, want) && (complete || !slices.Equal(got[1:], want[1:])) {
			r.Fatalf("after %s of %v, at most %d: %v", order[after], order, most, got)
		}
	})
}

func TestOnlyFixesAreStored(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	n := startStoring(t, Config{Durable: memory}, redis)
	n.mustCommit("van_7", group.Message{Data: []byte(`{"class":"SKY"}`)}, fixOf("a", 1), group.Message{Data: []byte(`{"class":"NMEA"}`)})
	n.mustCommit("van_8", group.Message{Data: []byte(`{"class":"SKY"}`)})
	c := client(t, redis)
	if got := stored(t, c, "van_7"); !slices.Equal(got, []string{"a:1"}) {
		t.Errorf("stored %v", got)
	}
	if redis.Do("EXISTS", fmt.Sprintf("fixes:%d", partition("van_8"))) != "0" {
		t.Error("a message without a key is stored")
	}
}

// What many publishers send at a time is stored in the order of each, by fewer calls than there are fixes.
func TestCommitsAreShared(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	c := client(t, redis)
	n := startStoring(t, Config{Durable: memory}, redis)
	const publishers, each = 64, 50
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			device := fmt.Sprintf("van_%d", p)
			for seq := range uint64(each) {
				if err := n.st.commit(context.Background(), n.s, device, fixesOf("a", seq+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	var want []string
	for seq := range each {
		want = append(want, fmt.Sprintf("a:%d", seq+1))
	}
	for p := range publishers {
		if got := stored(t, c, fmt.Sprintf("van_%d", p)); !slices.Equal(got, want) {
			t.Fatalf("van_%d: stored %v", p, got)
		}
	}
	_, calls, _ := strings.Cut(redis.Do("INFO", "commandstats"), "cmdstat_evalsha:calls=")
	calls, _, _ = strings.Cut(calls, ",")
	if n, err := strconv.Atoi(calls); err != nil || n >= publishers*each/2 {
		t.Errorf("%s calls for %d fixes (%v)", calls, publishers*each, err)
	}
}

func codeOf(t testing.TB, err error, want problem.Code) {
	t.Helper()
	if got := problem.CodeOf(err); got != want {
		t.Errorf("error %v, want code %s", err, want)
	}
}

// replicated: an acknowledged fix is on a replica, also where the fix is a repeat of one whose storing was not acknowledged.
func TestReplicated(t *testing.T) {
	t.Parallel()
	master, replica := realtest.StartRedis(t), realtest.StartRedis(t)
	n := startStoring(t, Config{Durable: replicated}, master)
	n.refuse("van_7", fixOf("a", 1))

	replicate(t, replica, master)
	n.store("van_7", fixOf("a", 1))
	n.store("van_7", fixOf("a", 2))
	copied := client(t, replica)
	if got := stored(t, copied, "van_7"); !slices.Equal(got, []string{"a:1", "a:2"}) {
		t.Errorf("the replica has %v", got)
	}

	other := startStoring(t, Config{Durable: replicated}, master)
	replica.Hang()
	for _, node := range []*storing{n, other} { // the second one stores a repeat, whose first copy no replica has
		node.refuse("van_7", fixOf("a", 3))
	}
	replica.Wake()
	n.store("van_7", fixOf("a", 3))
	if got := stored(t, copied, "van_7"); !slices.Equal(got, []string{"a:1", "a:2", "a:3"}) {
		t.Errorf("the replica has %v", got)
	}
	if n.lost.Load() != 0 {
		t.Error("data were reported lost")
	}
}

// Without durable, a master that has had a replica is asked for one from then on: cut off from it, it has none.
func TestReplicatedByItself(t *testing.T) {
	t.Parallel()
	master, replica := realtest.StartRedis(t), realtest.StartRedis(t)
	n := startStoring(t, Config{}, master)
	n.mustCommit("van_7", fixOf("a", 1))
	replicate(t, replica, master)
	if err := n.begin(master); err != nil {
		t.Fatal(err)
	}
	n.store("van_7", fixOf("a", 2))
	for _, want := range []string{"durable=memory", "durable=replicated"} {
		if !strings.Contains(n.log.String(), want) {
			t.Errorf("the log has no %s: %s", want, &n.log)
		}
	}
	replica.Kill()
	await(t, "the master has no replica", func() bool {
		return strings.Contains(master.Do("INFO", "replication"), "connected_slaves:0\r\n")
	})
	n.refuse("van_7", fixOf("a", 3))
	if err := n.begin(master); err != nil {
		t.Fatal(err)
	}
	n.refuse("van_7", fixOf("a", 3))
}

// What Redis does not take is not acknowledged, and taken later.
func TestRefusals(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	c := client(t, redis)
	n := startStoring(t, Config{Durable: memory}, redis)
	stream := fmt.Sprintf("fixes:%d", partition("van_7"))
	for i, refusal := range []struct {
		set, back []string
		code      problem.Code
	}{
		{[]string{"CONFIG", "SET", "maxmemory", "1"}, []string{"CONFIG", "SET", "maxmemory", "0"}, CodeFull},
		{[]string{"CONFIG", "SET", "min-replicas-to-write", "1"}, []string{"CONFIG", "SET", "min-replicas-to-write", "0"}, CodeNotReplicated},
		{[]string{"RENAME", stream + ":last", stream}, []string{"DEL", stream}, CodeForeignKey}, // another type
	} {
		m := fixOf("a", uint64(i+1))
		redis.Do(refusal.set...)
		codeOf(t, n.commit("van_7", m), refusal.code)
		redis.Do(refusal.back...)
		n.mustCommit("van_7", m)
		if got := stored(t, c, "van_7"); !slices.Contains(got, fmt.Sprintf("a:%d", i+1)) {
			t.Errorf("after %v: stored %v", refusal.set, got)
		}
	}
	redis.Do("SCRIPT", "FLUSH")
	n.mustCommit("van_7", fixOf("a", 9))
}

// fsync needs a Redis that can prove it.
func TestFsync(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	c := client(t, redis)
	n := newStoring(t, Config{Durable: fsync}, 1)
	codeOf(t, n.begin(redis), CodeDurable)
	redis.Do("CONFIG", "SET", "appendonly", "yes")
	if redis.Do("COMMAND", "INFO", "WAITAOF") == "" {
		codeOf(t, n.begin(redis), CodeDurable)
		redis.Do("CONFIG", "SET", "appendfsync", "always")
	}
	if err := n.begin(redis); err != nil {
		t.Fatal(err)
	}
	n.store("van_7", fixOf("a", 1))
	n.store("van_7", fixOf("a", 1))
	if got := stored(t, c, "van_7"); !slices.Equal(got, []string{"a:1"}) {
		t.Errorf("stored %v", got)
	}
}

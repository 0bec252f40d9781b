package layer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/realtest"
)

// TestForeignKeyOfOneDevice: what something else has written to the keys of one device keeps no other from being stored and shown.
func TestForeignKeyOfOneDevice(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	bad, good := "van_7", "van_8"
	if partition(bad) == partition(good) {
		t.Fatal("the devices share a stream")
	}
	stream := fmt.Sprintf("fixes:%d", partition(bad))
	redis.Do("SET", stream, "something else")
	redis.Do("SET", "asgi:group:"+"gps_tracking_"+bad, "something else")
	c := coreConfig([]*realtest.RedisStore{redis})
	c.Durable, c.Stream, c.Keep = memory, "fixes", time.Hour
	n := open(t, c).join(bad, good)
	publish := func(device string, seq uint64) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return n.Publish(ctx, device, []group.Message{fixOf("a", seq)})
	}
	var both sync.WaitGroup
	for seq := range uint64(50) {
		both.Go(func() {
			if err := publish(bad, seq+1); problem.CodeOf(err) != CodeForeignKey {
				t.Errorf("the device whose stream is none: %v", err)
			}
		})
		both.Go(func() {
			if err := publish(good, seq+1); err != nil {
				t.Errorf("the other device: %v", err)
			}
		})
	}
	both.Wait()
	n.await(good, 50)
	n.leaveAll(bad)
	sh := &shard{prefix: "fixes", keep: time.Hour, log: n.config.Log} // beside the layer's, which trims now and then
	if err := sh.trim(t.Context(), 0, 1, n.session.Load().hosts[0]); err != nil {
		t.Errorf("the streams are not trimmed: %v", err)
	}
	if s := n.Stats(); s.Sessions != 1 {
		t.Errorf("%d sessions", s.Sessions)
	}
}

// leaveAll leaves groups at once.
func (n *node) leaveAll(devices ...string) {
	n.t.Helper()
	for _, device := range devices {
		n.Leave(device)
	}
	if err := n.leaveIdle(n.t.Context(), n.session.Load(), time.Now().Add(linger)); err != nil {
		n.t.Error(err)
	}
}

// TestHugeEvent is left out, and what comes after it is received.
func TestHugeEvent(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	n := open(t, pubsubAt(redis.URL())).join("van_7")
	redis.Do("PUBLISH", "asgi__group__gps_tracking_van_7", `{"type": "gps_update", "data": {"text": "`+strings.Repeat("x", eventBytes)+`"}}`)
	n.publish("van_7", fix(1))
	n.await("van_7", 1)
	if s := n.Stats(); s.Undecodable != 1 || s.Received != 1 {
		t.Errorf("%+v", s)
	}
}

// TestRedisBefore7 has no BZMPOP: events of the application come by BZPOPMIN.
func TestRedisBefore7(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedisWith(t, realtest.RedisOptions{Config: []string{`rename-command BZMPOP ""`}})
	n := open(t, coreConfig([]*realtest.RedisStore{redis})).join("van_7")
	member := redis.Do("ZRANGE", "asgi:group:gps_tracking_van_7", "0", "-1")
	queue, _, _ := strings.Cut(member, "!")
	for i := range 3 {
		redis.Do("ZADD", "asgi"+queue+"!", fmt.Sprint(i), fmt.Sprintf(`%012d{"type": "gps_update", "data": {"seq": %d}, "__asgi_channel__": [%q]}`, i, i, member))
	}
	for i, m := range n.await("van_7", 3) {
		if want := fmt.Sprintf(`{"seq":%d}`, i); string(m.Data) != want {
			t.Errorf("got %s, want %s", m.Data, want)
		}
	}
}

// TestLongRun: the names of keys are short, whatever a publisher calls its run, and repeats are recognised.
func TestLongRun(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	n := startStoring(t, Config{Durable: memory}, redis)
	run := strings.Repeat("r", 10_000)
	n.mustCommit("van_7", fixOf(run, 1))
	n.mustCommit("van_7", fixOf(run, 1))
	n.mustCommit("van_7", fixOf(run+"s", 1))
	if got := stored(t, client(t, redis), "van_7"); len(got) != 2 {
		t.Errorf("%d are stored, want 2", len(got))
	}
	for key := range strings.FieldsSeq(redis.Do("KEYS", "*")) {
		if len(key) > 200 {
			t.Errorf("a key of %d bytes", len(key))
		}
	}
}

// TestForeignQueue: a member whose queue is a key of something else gets nothing, and the others get all.
func TestForeignQueue(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	for _, member := range []string{"wrong!1", "right!1", "strange", ""} {
		redis.Do("ZADD", "asgi:group:gps_tracking_van_7", "9999999999", member)
	}
	redis.Do("SET", "asgiwrong!", "something else")
	n := open(t, coreConfig([]*realtest.RedisStore{redis})).join("van_7")
	n.publish("van_7", fix(1), fix(2))
	if got := redis.Do("ZCARD", "asgiright!"); got != "2" {
		t.Errorf("the queue has %s events", got)
	}
	if s := n.Stats(); s.OverCapacity != 2 || s.Sessions != 1 {
		t.Errorf("%+v", s)
	}
}

// TestForeignStream: the worker stores the fixes of the other streams.
func TestForeignStream(t *testing.T) {
	realtest.Need(t, realtest.RedisServer, realtest.Django, realtest.ChannelsRedis)
	t.Parallel()
	redis := realtest.StartRedis(t)
	d := &database{t: t, dir: t.TempDir(), url: redis.URL()}
	if out, err := d.command("migrate", "--verbosity=0").CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v: %s", err, out)
	}
	redis.Do("SET", fmt.Sprintf("fixes:%d", partition("van_7")), "something else")
	startStoring(t, Config{Durable: memory}, redis).mustCommit("van_8", fixOf("a", 1))
	worker := d.startWorker("one")
	await(t, "the fix is a row", func() bool { return len(d.rows()) == 1 })
	if err := worker.Stop(longest); err != nil {
		t.Error(err)
	}
}

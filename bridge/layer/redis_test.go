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

// TestWaysToRedis: TLS, a password and a Unix socket, each as it is and with what is wrong.
func TestWaysToRedis(t *testing.T) {
	t.Parallel()
	secured := realtest.StartRedisWith(t, realtest.RedisOptions{TLS: true, Password: "hunter2"})
	local := realtest.StartRedisWith(t, realtest.RedisOptions{Socket: true})
	without := func(url string) string { return strings.Replace(url, ":hunter2@", "", 1) }
	for name, c := range map[string]struct {
		Config
		code problem.Code
	}{
		"socket":                 {Config: Config{URLs: []string{local.URL()}}},
		"TLS and password":       {Config: Config{URLs: []string{secured.URL()}, CAFile: secured.Authority()}},
		"TLS and password apart": {Config: Config{URLs: []string{without(secured.URL())}, CAFile: secured.Authority(), Password: "hunter2"}},
		"no password":            {Config{URLs: []string{without(secured.URL())}, CAFile: secured.Authority()}, CodeLogin},
		"another password":       {Config{URLs: []string{strings.Replace(secured.URL(), "2@", "3@", 1)}, CAFile: secured.Authority()}, CodeLogin},
		"unknown authority":      {Config{URLs: []string{secured.URL()}}, CodeCertificate},
		"no TLS":                 {Config{URLs: []string{strings.Replace(secured.URL(), "rediss", "redis", 1)}}, CodeUnreachable},
		"no such socket":         {Config{URLs: []string{local.URL() + ".not"}}, CodeUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.Kind, c.Durable = "pubsub", "none"
			n := open(t, c.Config)
			if c.code != "" {
				n.awaitTrouble(c.code)
				return
			}
			n.join("van_7").publish("van_7", fix(1))
			n.await("van_7", 1)
		})
	}
}

// TestManyPublishers: the messages of each publisher come in its order at every node, each once.
func TestManyPublishers(t *testing.T) {
	t.Parallel()
	const publishers, each, perCall = 40, 50, 5
	c := pubsubAt(realtest.StartRedis(t).URL(), realtest.StartRedis(t).URL())
	one, two := open(t, c), open(t, c)
	devices := make([]string, 16) // over both hosts, several publishers in one group
	for i := range devices {
		devices[i] = fmt.Sprintf("van_%d", i)
	}
	one.join(devices...)
	two.join(devices...)
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for seq := 0; seq < each; seq += perCall {
				var texts []string
				for i := range perCall {
					texts = append(texts, fmt.Sprintf(`{"class":"TPV","run":"p%d","seq":%d}`, p, seq+i))
				}
				if err := []*node{one, two}[p%2].try(devices[p%len(devices)], texts...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, n := range []*node{one, two} {
		next := map[string]int{}
		for i, device := range devices {
			for _, m := range n.await(device, each*len(publishersOf(i, publishers, len(devices)))) {
				var run string
				var seq int
				if _, err := fmt.Sscanf(string(m.Data), `{"class":"TPV","run":"p%d","seq":%d}`, new(int), &seq); err != nil {
					t.Fatalf("%s: %v", m.Data, err)
				}
				run, _, _ = strings.Cut(string(m.Data), `,"seq"`)
				if seq != next[run] {
					t.Fatalf("%s comes where %d was next", m.Data, next[run])
				}
				next[run]++
			}
		}
		if len(next) != publishers {
			t.Errorf("messages of %d publishers", len(next))
		}
		if s := n.Stats(); s.Received != publishers*each || s.Dropped+s.Undecodable != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// publishersOf are those that publish to device i of so many.
func publishersOf(i, publishers, devices int) (all []int) {
	for p := i; p < publishers; p += devices {
		all = append(all, p)
	}
	return all
}

// TestGroupsAreSubscribedWhileNeeded: many joins at once are all confirmed, and a group that lost its last member is left.
func TestGroupsAreSubscribedWhileNeeded(t *testing.T) {
	t.Parallel()
	const groups = 2*batch + 10
	redis := realtest.StartRedis(t)
	n := open(t, pubsubAt(redis.URL()))
	var all sync.WaitGroup
	for i := range groups {
		all.Go(func() { n.join(fmt.Sprintf("van_%d", i)) })
	}
	all.Wait()
	if got := subscribed(redis); got != groups {
		t.Errorf("Redis has %d groups after as many joins as %d", got, groups)
	}
	for i := 1; i < groups; i++ {
		n.Leave(fmt.Sprintf("van_%d", i))
	}
	if err := n.leaveIdle(t.Context(), n.session.Load(), time.Now().Add(linger)); err != nil {
		t.Fatal(err)
	}
	if got := subscribed(redis); got != 1 {
		t.Errorf("Redis has %d groups after all but one were left", got)
	}
	n.publish("van_1", fix(1)) // which is allowed, and nothing comes back
	n.publish("van_0", fix(2))
	n.await("van_0", 1)
	if n.received["van_1"] != nil {
		t.Error("a group that was left gave a message")
	}
	if s := n.Stats(); s.Groups != 1 || s.Published != 2 || s.Received != 1 {
		t.Errorf("%+v", s)
	}
}

// subscribed counts the groups of nodes.
func subscribed(redis *realtest.RedisStore) int {
	return len(strings.Fields(redis.Do("PUBSUB", "CHANNELS", "asgi__group__*")))
}

// TestKindIsRecognised by what Django's members leave in Redis.
func TestKindIsRecognised(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	c := Config{URLs: []string{redis.URL()}, Durable: "none"}
	n := open(t, c)
	n.awaitTrouble(CodeKindUnclear)
	django := open(t, pubsubAt(redis.URL())).join("van_7")
	n.join("van_7").publish("van_7", fix(1))
	django.await("van_7", 1)

	redis.Do("ZADD", "asgi:group:gps_tracking_van_8", "1", "specific.x!y")
	other := open(t, c)
	other.awaitTrouble(CodeKindUnclear)
	if cause := problem.Of(other.Ready()).Cause; !strings.Contains(cause, "both") {
		t.Errorf("with groups of both kinds: %s", cause)
	}
}

// TestWhatIsNoEvent is counted, and what comes after it is received.
func TestWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	n := open(t, pubsubAt(redis.URL())).join("van_7")
	redis.Do("PUBLISH", "asgi__group__gps_tracking_van_7", "hello")
	n.publish("van_7", fix(1))
	n.await("van_7", 1)
	if s := n.Stats(); s.Undecodable != 1 || s.Received != 1 {
		t.Errorf("%+v", s)
	}
}

// TestRefusedCommand: a command that Redis refuses fails its caller, and the session stands.
func TestRefusedCommand(t *testing.T) {
	t.Parallel()
	redis := realtest.StartRedis(t)
	redis.Do("ACL", "SETUSER", "node", "on", ">pw", "+@all", "-role", "~*", "resetchannels", "&asgi__node__*", "&asgi__group__gps_tracking_van_7")
	n := open(t, pubsubAt(strings.Replace(redis.URL(), "//", "//node:pw@", 1))).join("van_7")
	err := n.try("van_8", fix(1))
	if problem.CodeOf(err) != CodeDenied {
		t.Errorf("a channel that is not allowed: %v", err)
	}
	n.publish("van_7", fix(2))
	n.await("van_7", 1)
}

// TestJoinAndPublishGiveUp with their context.
func TestJoinAndPublishGiveUp(t *testing.T) {
	t.Parallel()
	n := open(t, pubsubAt("redis+unix:///nowhere/redis.sock"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Join(ctx, "van_7"); problem.CodeOf(err) == "" {
		t.Errorf("Join without Redis: %v", err)
	}
	if err := n.Publish(ctx, "van_7", []group.Message{{Data: []byte("{}")}}); problem.CodeOf(err) == "" {
		t.Errorf("Publish without Redis: %v", err)
	}
	if _, _, err := n.History(t.Context(), "van_7", group.Key{}, 1); problem.CodeOf(err) == "" {
		t.Errorf("History without Redis: %v", err)
	}
}

package layer

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/realtest"
)

// TestRedisGoesAndReturns: killed, or stopped without a word, Redis ends the session, and what was joined is joined again when it is back.
func TestRedisGoesAndReturns(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		begin, end func(*realtest.RedisStore)
		code       problem.Code
	}{
		"killed":  {(*realtest.RedisStore).Kill, (*realtest.RedisStore).Restart, CodeUnreachable},
		"stopped": {(*realtest.RedisStore).Hang, (*realtest.RedisStore).Wake, CodeUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := realtest.StartRedis(t)
			n := open(t, pubsubAt(redis.URL())).join("van_7")
			n.publish("van_7", fix(1))
			n.await("van_7", 1)
			began := time.Now()
			fault.begin(redis)
			n.awaitTrouble(fault.code)
			t.Logf("not ready after %v", time.Since(began))
			gone, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if err := n.Join(gone, "van_7"); problem.CodeOf(err) == "" {
				t.Errorf("Join of a joined group without Redis: %v", err)
			}
			if err := n.Publish(gone, "van_7", []group.Message{{Data: []byte(fix(2))}}); problem.CodeOf(err) == "" {
				t.Errorf("Publish without Redis: %v", err)
			}
			fault.end(redis)
			n.await("van_7", n.publishSoon("van_7", fix(3))+1)
			if s := n.Stats(); s.Sessions < 2 || s.Groups != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// publishSoon publishes a text as soon as the layer has a session again, and returns how many messages it had received of the device before.
func (n *node) publishSoon(device, text string) (before int) {
	n.t.Helper()
	eventually(n.t, func() error {
		before = n.count(device)
		return n.try(device, text)
	})
	return before
}

// TestMasterBecomesAReplica, as by hand or of a provider that moves a name: its connections stay, and the session ends all the same.
func TestMasterBecomesAReplica(t *testing.T) {
	t.Parallel()
	redis, other := realtest.StartRedis(t), realtest.StartRedis(t)
	n := open(t, pubsubAt(redis.URL())).join("van_7")
	host, port, _ := net.SplitHostPort(other.Addr())
	redis.Do("REPLICAOF", host, port)
	n.awaitTrouble(CodeNoMaster)
	redis.Do("REPLICAOF", "NO", "ONE")
	n.await("van_7", n.publishSoon("van_7", fix(1))+1)
}

// TestFailover: a master of Sentinels is killed, stopped, or loses its place while it runs; messages flow again at the other.
func TestFailover(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*realtest.Replicated, *realtest.RedisStore){
		"killed":   func(_ *realtest.Replicated, master *realtest.RedisStore) { master.Kill() },
		"stopped":  func(_ *realtest.Replicated, master *realtest.RedisStore) { master.Hang() },
		"replaced": func(r *realtest.Replicated, _ *realtest.RedisStore) { r.Failover() },
	} {
		t.Run(name, func(t *testing.T) {
			redis := realtest.StartReplicatedWith(t, realtest.ReplicatedOptions{Replicas: 2, Password: "hunter2"})
			for _, one := range redis.Redis { // the Sentinels have no such user
				one.Do("ACL", "SETUSER", "node", "on", ">pw", "+@all", "allkeys", "allchannels")
			}
			c := pubsubAt(strings.Replace(redis.URL(), ":hunter2@", "node:pw@", 1))
			one, two := open(t, c).join("van_7"), open(t, c).join("van_7")
			stop := make(chan struct{})
			var sender sync.WaitGroup
			sender.Go(func() { sendUntil(one, stop) })
			two.await("van_7", 10)
			old, gap := redis.AwaitMaster(nil), two.watchGap()
			began := time.Now()
			fault(redis, old)
			redis.AwaitMaster(old)
			elected := time.Since(began)
			eventually(t, func() error { return at(redis.Master(), one, two) })
			two.await("van_7", two.count("van_7")+10)
			close(stop)
			sender.Wait()
			t.Logf("Sentinels had another master after %v; the gap at a viewer was %v", elected, gap())
		})
	}
}

// at is nil when all nodes have a session with a master.
func at(master *realtest.RedisStore, nodes ...*node) error {
	for _, n := range nodes {
		if s := n.session.Load(); s == nil || master == nil || s.addresses() != master.Addr() {
			return fmt.Errorf("a node is not at the master: %v, %+v", n.Ready(), n.Stats())
		}
	}
	return nil
}

// count is how many messages of a device were received.
func (n *node) count(device string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.received[device])
}

// watchGap returns a function for the longest time without a message since then.
func (n *node) watchGap() func() time.Duration {
	var mu sync.Mutex
	var longest time.Duration
	last := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onReceive = func() {
		mu.Lock()
		defer mu.Unlock()
		longest, last = max(longest, time.Since(last)), time.Now()
	}
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return longest
	}
}

// sendUntil publishes a fix every 20 ms: what a publisher does that keeps what failed.
func sendUntil(n *node, stop <-chan struct{}) {
	for seq := 0; ; seq++ {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
			n.try("van_7", fix(seq))
		}
	}
}

package realtest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// masterName is the name by which the Sentinels of a [Replicated] know its master.
const masterName = "tracking"

// downAfter is for how long a master is silent before a Sentinel of a [Replicated] believes that it is down: short, and long enough for a
// machine that is busy with other tests.
const downAfter = 2 * time.Second

// ReplicatedOptions choose what [StartReplicatedWith] starts.
type ReplicatedOptions struct {
	Replicas int
	Config   []string // further lines of each Redis' configuration file
	Password string   // of each Redis, not of the Sentinels
	Hosts    []*Host  // where they run: a Redis on each of the first, a Sentinel on each of the first three; none for this machine
}

// Replicated is a master with replicas, and three Sentinels that make another one the master when two of them believe that it is down.
type Replicated struct {
	Redis     []*RedisStore // the first began as the master
	Sentinels []*RedisStore
	t         testing.TB
}

// StartReplicated starts a master with so many replicas and three Sentinels on this machine, as [StartReplicatedWith].
func StartReplicated(t testing.TB, replicas int) *Replicated {
	t.Helper()
	return StartReplicatedWith(t, ReplicatedOptions{Replicas: replicas})
}

// StartReplicatedWith starts a master, its replicas and three Sentinels, and returns when the replicas have what the master has and the
// Sentinels know them all. It needs [RedisServer]; all are killed when the test ends.
func StartReplicatedWith(t testing.TB, o ReplicatedOptions) *Replicated {
	t.Helper()
	Need(t, RedisServer)
	r := &Replicated{t: t}
	for i := range 1 + o.Replicas {
		ro := RedisOptions{Config: o.Config, Password: o.Password, Host: hostAt(o.Hosts, i)}
		if i > 0 {
			ro.Config = append([]string{fmt.Sprintf("replicaof %s %d", r.Redis[0].ip, r.Redis[0].port)}, o.Config...)
		}
		one := newRedis(t, ro, 6379)
		one.start()
		r.Redis = append(r.Redis, one)
	}
	r.AwaitReplicas(o.Replicas) // before the Sentinels look: they look again only after ten seconds
	for i := range 3 {
		s := newRedis(t, RedisOptions{Host: hostAt(o.Hosts, i)}, 26379)
		s.args = []string{"--sentinel"}
		lines := []string{"dir " + s.dir, "bind " + s.ip, "protected-mode no", fmt.Sprintf("port %d", s.port),
			fmt.Sprintf("sentinel monitor %s %s %d 2", masterName, r.Redis[0].ip, r.Redis[0].port),
			fmt.Sprintf("sentinel down-after-milliseconds %s %d", masterName, downAfter.Milliseconds()),
			fmt.Sprintf("sentinel failover-timeout %s %d", masterName, 5*downAfter.Milliseconds()),
			fmt.Sprintf("sentinel parallel-syncs %s %d", masterName, max(1, o.Replicas)),
		}
		if o.Password != "" {
			lines = append(lines, fmt.Sprintf("sentinel auth-pass %s %s", masterName, o.Password))
		}
		s.configure(lines)
		s.start()
		// They announce themselves and look at the others more often than every two and ten seconds, and go on sooner than 30 s after a busy
		// machine has stopped them for two (TILT).
		s.Do("SENTINEL", "DEBUG", "publish-period", "500", "info-period", "1000", "tilt-period", "3000")
		r.Sentinels = append(r.Sentinels, s)
	}
	r.await("the Sentinels to know each other and the replicas", func() error { return r.acquainted(o.Replicas) })
	return r
}

func hostAt(hosts []*Host, i int) *Host {
	if i < len(hosts) {
		return hosts[i]
	}
	return nil
}

// acquainted returns what a Sentinel does not know yet. Each must see that the replicas and the others are there, and that what was a master is
// a replica: when it sees that only after the next failover, which may have made it the master again, it makes it a replica once more.
func (r *Replicated) acquainted(replicas int) error {
	for _, s := range r.Sentinels {
		if _, err := s.Command("SENTINEL", "CKQUORUM", masterName); err != nil {
			return err
		}
		for _, c := range []struct {
			list, member string
			want         int
		}{
			{"SENTINELS", "flags\nsentinel", len(r.Sentinels) - 1},
			{"REPLICAS", "flags\nslave", replicas},
			{"REPLICAS", "role-reported\nslave", replicas},
		} {
			known, err := s.Command("SENTINEL", c.list, masterName)
			if err != nil {
				return err
			}
			if got := strings.Count(known, "\n"+c.member+"\n"); got != c.want {
				return fmt.Errorf("the Sentinel at %s knows %d %s with %q, want %d", s.Addr(), got, strings.ToLower(c.list), c.member, c.want)
			}
		}
	}
	return nil
}

// URL returns redis-sentinel://HOST:PORT,HOST:PORT,HOST:PORT/MASTER, with the password of Redis.
func (r *Replicated) URL() string {
	var password string
	if p := r.Redis[0].options.Password; p != "" {
		password = ":" + p + "@"
	}
	var hosts []string
	for _, s := range r.Sentinels {
		hosts = append(hosts, s.Addr())
	}
	return "redis-sentinel://" + password + strings.Join(hosts, ",") + "/" + masterName
}

// Named returns the Redis that two Sentinels at least name as the master; nil while there is none.
func (r *Replicated) Named() *RedisStore {
	votes := map[string]int{}
	for _, s := range r.Sentinels {
		if address, err := s.Command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName); err == nil {
			votes[strings.ReplaceAll(address, "\n", ":")]++
		}
	}
	for _, one := range r.Redis {
		if votes[one.Addr()] >= 2 {
			return one
		}
	}
	return nil
}

// Master returns the Redis that Named returns, where that agrees; nil while there is none.
func (r *Replicated) Master() *RedisStore {
	if one := r.Named(); one != nil && one.isMaster() {
		return one
	}
	return nil
}

func (r *RedisStore) isMaster() bool {
	role, err := r.Command("ROLE")
	return err == nil && strings.HasPrefix(role, "master")
}

// AwaitMaster waits until there is a master that is not the given one (nil for any), and returns it.
func (r *Replicated) AwaitMaster(not *RedisStore) (master *RedisStore) {
	r.t.Helper()
	r.await("another master", func() error {
		// The old master is not asked: it may hang.
		if master = r.Named(); master == nil || master == not || !master.isMaster() {
			return fmt.Errorf("two Sentinels and a Redis do not agree on one")
		}
		return nil
	})
	return master
}

// AwaitReplicas waits until the master has so many replicas that have all it has written, and all Sentinels see it so.
func (r *Replicated) AwaitReplicas(n int) {
	r.t.Helper()
	r.await(fmt.Sprintf("%d replicas", n), func() error {
		master := r.Redis[0]
		if r.Sentinels != nil {
			if master = r.Master(); master == nil {
				return fmt.Errorf("there is no master")
			}
		}
		info, err := master.Command("INFO", "replication")
		if got := strings.Count(info, "state=online"); err == nil && got != n {
			err = fmt.Errorf("the master at %s has %d replicas", master.Addr(), got)
		}
		if err != nil {
			return err
		}
		return r.acquainted(n)
	})
}

// await asks reached until it returns nil.
func (r *Replicated) await(what string, reached func() error) {
	r.t.Helper()
	deadline := time.Now().Add(startTimeout)
	for {
		err := reached()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("wait for %s: %v", what, err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-r.t.Context().Done():
			r.t.Fatalf("wait for %s: the test has ended: %v", what, err)
		}
	}
}

// Failover has a Sentinel make another Redis the master.
func (r *Replicated) Failover() {
	r.t.Helper()
	r.await("a Sentinel to begin a failover", func() error {
		_, err := r.Sentinels[0].Command("SENTINEL", "FAILOVER", masterName)
		return err
	})
}

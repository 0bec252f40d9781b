package realtest

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestRedisOptions(t *testing.T) {
	for name, o := range map[string]RedisOptions{
		"redis://":      {},
		"redis://:":     {Password: "secret", Config: []string{"maxmemory 50mb"}},
		"rediss://:":    {TLS: true, Password: "secret"},
		"redis+unix://": {Socket: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := StartRedisWith(t, o)
			if !strings.HasPrefix(r.URL(), name) {
				t.Errorf("URL %s, want %s", r.URL(), name)
			}
			if r.Do("SET", "key", "two\r\nlines"); r.Do("GET", "key") != "two\r\nlines" {
				t.Error("a value came back changed")
			}
			if o.Password != "" {
				r.options.Password = "wrong"
				if _, err := r.Command("PING"); err == nil {
					t.Error("a wrong password was accepted")
				}
			}
		})
	}
}

// A failover keeps what a replica had, and the old master comes back as a replica.
func TestReplicatedFailsOver(t *testing.T) {
	t.Parallel()
	r := StartReplicatedWith(t, ReplicatedOptions{Replicas: 2, Password: "secret"})
	old := r.AwaitMaster(nil)
	if old != r.Redis[0] {
		t.Fatalf("the first master is at %s", old.Addr())
	}
	old.Do("SET", "key", "value")
	old.Do("WAIT", "2", "0")
	old.Kill()
	master := r.AwaitMaster(old)
	if got := master.Do("GET", "key"); got != "value" {
		t.Errorf("the new master has %q", got)
	}
	old.Restart()
	r.AwaitReplicas(2)
	if role := old.Do("ROLE"); !strings.HasPrefix(role, "slave") {
		t.Errorf("the old master came back as %q", role)
	}
}

// A master whose cable is cut is replaced by one that the others reach, and follows it when the cable is back.
func TestNetworkCut(t *testing.T) {
	t.Parallel()
	n := StartNetwork(t, 3)
	r := StartReplicatedWith(t, ReplicatedOptions{Replicas: 2, Hosts: []*Host{n.Host(0), n.Host(1), n.Host(2)}})
	out, err := n.Host(1).Command(exec.Command("ip", "-brief", "addr")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), n.Host(1).IP()) || strings.Contains(string(out), n.Host(0).IP()) {
		t.Errorf("at the second host: %v: %s", err, out)
	}
	n.Host(0).Cut()
	master := r.AwaitMaster(r.Redis[0])
	if role := r.Redis[0].Do("ROLE"); !strings.HasPrefix(role, "master") {
		t.Errorf("the master without a cable is %q: it learnt of the other", role)
	}
	n.Host(0).Plug()
	r.AwaitReplicas(2)
	if got := r.AwaitMaster(nil); got != master {
		t.Errorf("the master is at %s, want %s", got.Addr(), master.Addr())
	}
}

// Bytes between hosts arrive whole over a long cable, late, and at once again afterwards.
func TestNetworkDelay(t *testing.T) {
	t.Parallel()
	n := StartNetwork(t, 2)
	store := StartRedisWith(t, RedisOptions{Host: n.Host(0)})
	ask := func() time.Duration {
		began := time.Now()
		c, err := n.Host(1).Dial(t.Context(), "tcp", store.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sent := []byte("*2\r\n$4\r\nECHO\r\n$1000000\r\n" + strings.Repeat("0123456789", 100_000) + "\r\n")
		go func() { _, _ = c.Write(sent) }()
		got := make([]byte, len("$1000000\r\n")+1_000_000)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.HasSuffix(got, []byte("0123456789")) {
			t.Fatalf("%q: %v", got[:20], err)
		}
		return time.Since(began)
	}
	n.Host(0).Delay(50 * time.Millisecond)
	if took := ask(); took < 200*time.Millisecond { // two round trips at the least
		t.Errorf("a connection, a question and its answer over 50 ms took %s", took)
	}
	n.Host(0).Restore()
	ask()
}

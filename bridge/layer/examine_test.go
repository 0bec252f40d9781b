package layer

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/realtest"
)

// codes returns the findings of Examine with a problem, as "CODE at NAME", "!" before those that are broken, and the names of all.
func examined(t *testing.T, c Config) (codes, names []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	Examine(ctx, c, func(f Finding) {
		t.Logf("%+v", f)
		names = append(names, f.Name)
		if f.Problem == nil {
			return
		}
		code := string(f.Problem.Code) + " at " + f.Name
		if f.Broken {
			code = "!" + code
		}
		if f.Problem.Fix == "" && f.Problem.Code != CodeLost {
			t.Errorf("%s: no fix: %v", f.Name, f.Problem)
		}
		codes = append(codes, code)
	})
	return codes, names
}

func TestExamineReplicated(t *testing.T) {
	t.Parallel()
	r := realtest.StartReplicated(t, 2)
	c := Config{URLs: []string{r.URL()}, Kind: "pubsub", Event: "gps_update", Field: "data"}
	codes, names := examined(t, c)
	if len(codes) > 0 {
		t.Errorf("found %q where all is well", codes)
	}
	for _, name := range []string{"sentinel " + r.Sentinels[2].Addr(), "redis " + r.Redis[0].Addr(), "replica " + r.Redis[2].Addr(), "kind", "probe"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not examined: %q", name, names)
		}
	}

	asRedis := Config{URLs: []string{"redis://" + r.Sentinels[0].Addr()}, Kind: "pubsub"}
	if codes, _ := examined(t, asRedis); len(codes) != 1 || !strings.HasPrefix(codes[0], "!"+string(CodeNoMaster)) {
		t.Errorf("found %q where a Sentinel is named as Redis", codes)
	}

	r.Redis[1].Do("CONFIG", "SET", "replica-priority", "50")
	r.Redis[2].Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	r.Sentinels[0].Kill()
	r.Sentinels[1].Kill()
	c.Kind = "auto"
	codes, _ = examined(t, c)
	want := []string{
		string(CodeUnreachable) + " at sentinel " + r.Sentinels[0].Addr(),
		string(CodeUnreachable) + " at sentinel " + r.Sentinels[1].Addr(),
		string(CodeEviction) + " at memory " + r.Redis[2].Addr(),
		string(CodeReplicaPriority) + " at replicas " + r.Redis[0].Addr(),
		"!" + string(CodeKindUnclear) + " at kind",
	}
	for _, code := range want {
		if !slices.ContainsFunc(codes, func(got string) bool { return strings.TrimPrefix(got, "!") == strings.TrimPrefix(code, "!") }) {
			t.Errorf("%s is not found: %q", code, codes)
		}
	}
}

func TestExamineAlone(t *testing.T) {
	t.Parallel()
	store := realtest.StartRedis(t)
	for _, test := range []struct {
		name    string
		prepare func(c *Config)
		want    string // the only problem; "" for none
	}{
		{"in one memory", func(*Config) {}, string(CodeNoReplica)},
		{"nothing stored", func(c *Config) { c.Durable = "none" }, ""},
		{"no replica", func(c *Config) { c.Durable = replicated }, "!" + string(CodeNotReplicated)},
		{"no disk", func(c *Config) { c.Durable = fsync }, "!" + string(CodeDurable)},
		{"events to be learnt", func(c *Config) { c.Durable, c.Field = "none", "" }, string(CodeEventUnset)},
		{"a name of no group", func(c *Config) { c.Group = "gps" }, "!" + string(CodeSetting)},
		{"no Sentinel", func(c *Config) { c.URLs = []string{"redis-sentinel://" + store.Addr() + "/mymaster"} }, "!" + string(CodeNoMaster)},
		{"gone", func(c *Config) { c.URLs = []string{"redis://" + realtest.Refusing(t)} }, "!" + string(CodeUnreachable)},
	} {
		c := Config{URLs: []string{store.URL()}, Kind: "pubsub", Event: "gps_update", Field: "data"}
		test.prepare(&c)
		codes, _ := examined(t, c)
		for i := range codes {
			codes[i], _, _ = strings.Cut(codes[i], " at ")
		}
		if strings.Join(codes, " ") != test.want {
			t.Errorf("%s: found %q, want %q", test.name, codes, test.want)
		}
	}
}

// A process of the application that does not read is named, as long as there are messages for it.
func TestExamineQueues(t *testing.T) {
	t.Parallel()
	store := realtest.StartRedis(t)
	c := Config{URLs: []string{store.URL()}, Kind: "core", Durable: "none", Event: "gps_update", Field: "data"}
	queue, old, now := "specific.0123456789ab4def0123456789abcdef!", "1700000000", strconv.FormatInt(time.Now().Unix()+3600, 10)
	store.Do("ZADD", "asgi:group:gps_tracking_van_7", now, queue+"1234")
	for _, test := range []struct {
		name    string
		prepare func()
		want    string // the only problem; "" for none
	}{
		{"empty", func() {}, ""},
		{"stale", func() { store.Do("ZADD", "asgi"+queue, old, "message") }, string(CodeStaleMember) + " at queues " + store.Addr()},
		{"full", func() {
			store.Do("DEL", "asgi"+queue)
			for i := range queueCapacity {
				store.Do("ZADD", "asgi"+queue, now, strconv.Itoa(i))
			}
		}, string(CodeQueueFull) + " at queues " + store.Addr()},
	} {
		test.prepare()
		codes, names := examined(t, c)
		if strings.Join(codes, " ") != test.want || !slices.Contains(names, "probe") {
			t.Errorf("%s: found %q in %q, want %q", test.name, codes, names, test.want)
		}
	}
}

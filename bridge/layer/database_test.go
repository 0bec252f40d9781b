package layer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/realtest/django"
)

// database is the Django project with workers that store what is in the streams.
type database struct {
	t        testing.TB
	dir, url string
}

// command is a run of manage.py.
func (d *database) command(args ...string) *exec.Cmd {
	d.t.Helper()
	cmd, err := django.Run(d.dir, append([]string{"manage.py"}, args...)...)
	if err != nil {
		d.t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "TRACKING_STREAM_URLS="+d.url, "TRACKING_STREAM=fixes")
	return cmd
}

func (d *database) startWorker(name string) *realtest.Process {
	d.t.Helper()
	return realtest.Start(d.t, "worker "+name, d.command("store_fixes", "--name", name))
}

// rows are the stored fixes as DEVICE RUN:SEQ, sorted.
func (d *database) rows() []string {
	d.t.Helper()
	const script = `import sqlite3, sys
for row in sqlite3.connect(sys.argv[1], timeout=60).execute("SELECT device_id, run, seq FROM tracking_fix"): print("%s %s:%d" % row)`
	out, err := realtest.Python(d.t, script, d.dir+"/tracking.sqlite3").Output()
	if err != nil {
		d.t.Fatal(err)
	}
	return slices.Sorted(slices.Values(strings.Fields(strings.ReplaceAll(string(out), " ", "|"))))
}

// Every acknowledged fix is one row of the database, though workers are killed while they store, leave entries behind, the master
// dies, and the new one loses its data.
func TestEveryFixIsOneRow(t *testing.T) {
	realtest.Need(t, realtest.RedisServer, realtest.Django, realtest.ChannelsRedis)
	t.Parallel()
	sentinels := realtest.StartReplicated(t, 2)
	// failover sets after how many milliseconds another master is made: not while this one is only slow, on a busy machine.
	failover := func(after string) {
		for _, s := range sentinels.Sentinels {
			s.Do("SENTINEL", "SET", "tracking", "down-after-milliseconds", after)
		}
	}
	failover("60000")
	master := sentinels.AwaitMaster(nil)
	d := &database{t: t, dir: t.TempDir(), url: sentinels.URL()}
	if out, err := d.command("migrate", "--verbosity=0").CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v: %s", err, out)
	}
	n := startStoring(t, Config{Durable: replicated}, master)
	want := map[string]bool{}
	seq := uint64(1)
	// publish commits the next two fixes of each device, and a repeat, and reports whether some were acknowledged.
	publish := func() (acknowledged bool) {
		for v := range 20 {
			device := fmt.Sprintf("van_%d", v)
			batch := fixesOf("a", seq, seq+1, 1+rand.Uint64N(seq))
			if err := n.commit(device, batch...); err != nil {
				t.Log(err) // its tracker still has them
				continue
			}
			acknowledged = true
			for _, m := range batch {
				want[fmt.Sprintf("%s|%s:%d", device, m.Key.Run, m.Key.Seq)] = true
			}
		}
		seq += 2
		return acknowledged
	}
	await(t, "replicas confirm", publish)

	// A worker has read two entries and does not come back.
	c := client(t, master)
	stream := fmt.Sprintf("fixes:%d", partition("van_7"))
	master.Do("XGROUP", "CREATE", stream, "database", "0")
	left, err := c.Do(t.Context(), c.B().Xreadgroup().Group("database", "dead").Count(2).Streams().Key(stream).Id(">").Build()).AsXRead()
	if err != nil || len(left[stream]) != 2 {
		t.Fatalf("read %v, %v", left, err)
	}
	for _, e := range left[stream] {
		master.Do("XCLAIM", stream, "database", "dead", "0", e.ID, "IDLE", "100000")
	}

	pending := func() (n int) {
		for p := range partitions {
			text, err := master.Command("XPENDING", fmt.Sprintf("fixes:%d", p), "database")
			if err != nil {
				return -1 // a group that no worker has made yet
			}
			count, _, _ := strings.Cut(text, "\n")
			some, _ := strconv.Atoi(count)
			n += some
		}
		return n
	}
	one, two := d.startWorker("one"), d.startWorker("two")
	for range 3 {
		await(t, "a worker has fixes in hand", func() bool {
			publish()
			return pending() > 0
		})
		one.Kill()
		one = d.startWorker("one")
	}
	before := master
	master.Kill()
	failover("1000")
	master = sentinels.AwaitMaster(before)
	failover("60000")
	if err := n.begin(master); err != nil {
		t.Fatal(err)
	}
	await(t, "the other replica has come to the new master", publish)

	var got []string
	rows := func() bool {
		got = d.rows()
		return !slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(row string) bool {
			_, there := slices.BinarySearch(got, row)
			return !there
		})
	}
	await(t, "all fixes are rows", rows)
	if n.lost.Load() != 0 {
		t.Errorf("data were reported lost: %s", &n.log)
	}
	master.FlushAll() // and with them the consumer group
	await(t, "fixes are stored again", publish)
	await(t, "all fixes are rows", rows)
	await(t, "the workers have nothing in hand", func() bool { return pending() == 0 })
	if once := slices.Compact(slices.Clone(got)); len(once) != len(got) {
		t.Errorf("%d rows are there twice", len(got)-len(once))
	}
	for _, w := range []*realtest.Process{one, two} {
		if err := w.Stop(longest); err != nil {
			t.Error(err)
		}
	}
}

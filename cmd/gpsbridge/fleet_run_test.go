package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gpsbridge/bridge/realtest"
)

// The run of a fleet is by hand half an hour for each kind of channel layer, with one fault at a time, or with two:
//
//	TEST_GPSBRIDGE_FAULT_DURATION=30m go test -v -run TestFleetRun -timeout 3h ./cmd/gpsbridge
//	TEST_GPSBRIDGE_FAULT_DOUBLE=1 TEST_GPSBRIDGE_FAULT_DURATION=30m go test -v -run TestFleetRun -timeout 3h ./cmd/gpsbridge
const (
	envFaultDouble = "TEST_GPSBRIDGE_FAULT_DOUBLE" // not empty: two faults at a time
	envFaultName   = "TEST_GPSBRIDGE_FAULT_NAME"   // only faults with this in their names, such as "master"
)

const (
	// fleetDuration is of the faults in CI. It is enough for some of them, other ones each time.
	fleetDuration = 20 * time.Second

	fleetRecorders = 4
	fleetDaemons   = 3
	fleetRate      = 20 // fixes a second of each recorder
	// fleetRecovery bounds the wait for everything to be as it was before a fault, and for the last acknowledgement.
	fleetRecovery = 5 * time.Minute
	// fleetMove is how long a planned failover may take: with failover-timeout, 10 s, a Sentinel gives one up.
	fleetMove = 20 * time.Second
	fleetPort = 8947
)

// TestFleetRun has trackers send to three relays on a master with two replicas and three Sentinels while one after the other of them fails. All
// that a tracker had acknowledged must reach the database.
func TestFleetRun(t *testing.T) {
	t.Parallel()
	for kind, layer := range map[string]realtest.Layer{"pubsub": realtest.RedisPubSub, "core": realtest.Redis} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			seed, duration := faultSettings(t, fleetDuration)
			t.Logf("seed %d", seed)
			r := newFleetRun(t, kind, layer, seed)
			r.disturb(duration)
			r.settle()
			r.judge()
		})
	}
}

// fleetRun is a fleet and all around it. On the first three hosts of its network there is a Redis and a Sentinel each, beside that on the first the first
// relay; the other relays, Django and the balancer are on the fourth.
type fleetRun struct {
	t       *testing.T
	random  *rand.Rand
	started time.Time
	token   string

	network  *realtest.Network
	redis    *realtest.Replicated
	relays   []*node
	balancer *realtest.Proxy
	django   *realtest.Server
	worker   *realtest.Process

	trackers []*recorder
	daemons  []*daemon
	viewer   *member // at a relay
	watcher  *member // at a relay, of a daemon
	page     *member // at Daphne

	faults   map[string]int
	reports  []string      // the gaps of each fault
	replaced time.Duration // what the Sentinels took in this fault to make another master
	beyond   []float64     // gaps of the relay's viewer without that, in s
}

// node is one relay.
type node struct {
	t       *testing.T
	host    *realtest.Host
	args    []string
	process *realtest.Process
}

func (n *node) addr() string { return fmt.Sprintf("%s:%d", n.host.IP(), fleetPort) }
func (n *node) start()       { n.process = start(n.t, n.host.Command(gpsbridge(n.t, n.args...))) }
func (n *node) kill()        { n.process.Kill() }
func (n *node) hang()        { n.process.Signal(syscall.SIGSTOP) }
func (n *node) wake()        { n.process.Signal(syscall.SIGCONT) }

// healthy returns why the relay does not serve.
func (n *node) healthy(ctx context.Context) error {
	if err := n.process.Alive(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fleetSilence)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.addr()+"/healthz", nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Transport{DialContext: n.host.Dial, DisableKeepAlives: true}).RoundTrip(ask)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("relay at %s: %s", n.addr(), answer.Status)
	}
	return nil
}

func newFleetRun(t *testing.T, kind string, layer realtest.Layer, seed uint64) *fleetRun {
	t.Helper()
	realtest.Need(t, realtest.Namespaces, realtest.RedisServer, realtest.Django, realtest.ChannelsRedis)
	r := &fleetRun{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), started: time.Now(), token: "token-of-the-fleet",
		faults: make(map[string]int),
	}
	r.network = realtest.StartNetwork(t, 6)
	host := r.network.Host
	r.redis = realtest.StartReplicatedWith(t, realtest.ReplicatedOptions{Replicas: 2, Hosts: []*realtest.Host{host(0), host(1), host(2)}})
	tokens := filepath.Join(t.TempDir(), "token")
	writeFile(t, tokens, r.token+"\n")
	var addresses []string
	for _, at := range []*realtest.Host{host(0), host(3), host(4)} {
		n := &node{t: t, host: at}
		config := filepath.Join(t.TempDir(), "relay.toml")
		writeFile(t, config, fmt.Sprintf("[relay]\nlisten = %q\nopen = true\npublish_token_file = %q\n"+
			"[relay.layer]\nurl = %q\nkind = %q\nevent = \"gps.message\"\nfield = \"message\"\n", n.addr(), tokens, r.redis.URL(), kind))
		n.args = []string{"relay", "-c", config}
		n.start()
		r.relays = append(r.relays, n)
		addresses = append(addresses, n.addr())
	}
	r.balancer = realtest.StartBalancer(t, host(5), addresses...)
	r.django = realtest.StartDjango(t, realtest.Options{Layer: layer, RedisURL: r.redis.URL(), Store: true, At: host(5)})
	r.startWorker()
	r.await("the relays to be healthy", r.relaysHealthy)
	server := "ws://" + r.balancer.Addr()
	for i := range fleetRecorders {
		r.trackers = append(r.trackers, startRecorder(t, server, r.token, fmt.Sprintf("recorder_%d", i), fleetRate))
	}
	for i := range fleetDaemons {
		config := filepath.Join(t.TempDir(), "gpsbridge.toml")
		writeFile(t, config, fmt.Sprintf("[[uplink]]\nserver = %q\ntoken_file = %q\nping = %q\n[spool]\ndir = %q\n", server, tokens, faultPing, t.TempDir()))
		r.daemons = append(r.daemons, startDaemonCmd(t, gpsbridge(t, "run", "-c", config, "--device-id", fmt.Sprintf("daemon_%d", i),
			"--device", "sim:?rate=5", "--listen", "127.0.0.1:0")))
	}
	r.viewer = startViewer(t, server+"/ws/gps-tracking/recorder_0/")
	r.watcher = startViewer(t, server+"/ws/gps-tracking/daemon_0/")
	r.page = startViewer(t, realtest.StartDjango(t, realtest.Options{Layer: layer, RedisURL: r.redis.URL(), At: host(5)}).GroupURL("recorder_0"))
	return r
}

// startViewer joins a group to see for how long nothing comes.
func startViewer(t *testing.T, url string) *member {
	return startMember(t, url, "", func(http.Header) {}, func([]byte) {}, func(error) {})
}

func (r *fleetRun) startWorker() {
	r.worker = r.django.Run("store_fixes")
}

// kinds returns every fault that this run can have. Each one's end leaves everything as it was.
func (r *fleetRun) kinds() []fault {
	const (
		s   = time.Second
		far = 100 * time.Millisecond // each way
	)
	var (
		n      = r.relays[r.random.IntN(len(r.relays))]
		master *realtest.RedisStore
	)
	replaced := func() { // waits for another master
		began := time.Now()
		r.redis.AwaitMaster(master)
		r.replaced = time.Since(began)
	}
	replica := r.replica()
	return []fault{
		{"relay killed", n.kill, n.start, 0, 2 * s},
		{"relay terminated", func() { n.process.Signal(syscall.SIGTERM) }, func() { n.kill(); n.start() }, s, 2 * s},
		{"relay hung", n.hang, n.wake, s / 2, 8 * s},
		{"master killed", func() { master = r.redis.AwaitMaster(nil); master.Kill(); replaced() }, func() { master.Restart() }, 0, s},
		{"master hung", func() { master = r.redis.AwaitMaster(nil); master.Hang(); replaced() }, func() { master.Wake() }, 0, s},
		{"master and the relay beside it cut off", func() { master = r.moveMaster(true); r.cut(master); replaced() }, func() { r.plug(master) }, 3 * s, 9 * s},
		{"master cut off", func() { master = r.moveMaster(false); r.cut(master); replaced() }, func() { r.plug(master) }, 3 * s, 9 * s},
		{"replica killed", replica.Kill, replica.Restart, 0, 4 * s},
		{"replica hung", replica.Hang, replica.Wake, s / 2, 4 * s},
		{"replica cut off", func() { r.cut(replica) }, func() { r.plug(replica) }, s / 2, 6 * s},
		{"a short cut of the master", func() { master = r.redis.AwaitMaster(nil); r.cut(master) }, func() { r.plug(master) }, s / 10, s},
		{name: "Redis flushed", begin: func() { r.redis.AwaitMaster(nil).FlushAll() }},
		{"Redis back with an empty disk", func() { master = r.redis.AwaitMaster(nil); master.Kill() }, func() { master.Restart() }, 0, s / 2},
		{"Redis flushed before the worker has read", r.hangWorker, func() { r.redis.AwaitMaster(nil).FlushAll(); r.wakeWorker() }, s, 3 * s},
		{"memory full", func() { master = r.redis.AwaitMaster(nil); master.Do("CONFIG", "SET", "maxmemory", "1") },
			func() { master.Do("CONFIG", "SET", "maxmemory", "0") }, s, 4 * s},
		{"worker killed", func() { r.worker.Kill() }, r.startWorker, 0, 3 * s},
		{"the master 200 ms away", func() { master = r.redis.AwaitMaster(nil); r.hostOf(master).Delay(far) }, func() { r.hostOf(master).Restore() }, 4 * s, 10 * s},
		{"a relay 200 ms away", func() { n.host.Delay(far) }, n.host.Restore, 4 * s, 10 * s},
		{"all commands of Redis paused", func() { r.redis.AwaitMaster(nil).Do("CLIENT", "PAUSE", "1500") }, func() {}, s, 2 * s},
	}
}

func (r *fleetRun) hangWorker() { r.worker.Signal(syscall.SIGSTOP) }
func (r *fleetRun) wakeWorker() { r.worker.Signal(syscall.SIGCONT) }

// doubles returns faults of which two happen at a time.
func (r *fleetRun) doubles() []fault {
	const s = time.Second
	master, replica := r.redis.AwaitMaster(nil), r.replica()
	n, other := r.relays[0], r.relays[1]
	return []fault{
		{"a replica and the master killed", func() { replica.Kill(); master.Kill(); r.redis.AwaitMaster(master) }, func() { master.Restart(); replica.Restart() }, 0, s},
		{"the master and a relay killed", func() { master.Kill(); n.kill(); r.redis.AwaitMaster(master) }, func() { master.Restart(); n.start() }, 0, s},
		{"the master killed and a relay hung", func() { other.hang(); master.Kill(); r.redis.AwaitMaster(master) }, func() { master.Restart(); other.wake() }, 0, s},
		{"two relays killed", func() { n.kill(); other.kill() }, func() { n.start(); other.start() }, 0, 3 * s},
		{"the master flushed and a relay killed", func() { n.kill(); master.FlushAll() }, n.start, 0, s},
		{"the master cut off and a relay killed", func() { r.cut(master); n.kill(); r.redis.AwaitMaster(master) }, func() { n.start(); r.plug(master) }, s, 5 * s},
		{"a replica cut off and the memory full", func() { r.cut(replica); master.Do("CONFIG", "SET", "maxmemory", "1") },
			func() { r.plug(replica); master.Do("CONFIG", "SET", "maxmemory", "0") }, s, 3 * s},
	}
}

// hostOf returns the host of a Redis.
func (r *fleetRun) hostOf(store *realtest.RedisStore) *realtest.Host {
	return r.network.Host(slices.Index(r.redis.Redis, store))
}

func (r *fleetRun) cut(store *realtest.RedisStore)  { r.hostOf(store).Cut() }
func (r *fleetRun) plug(store *realtest.RedisStore) { r.hostOf(store).Plug() }

// replica returns a Redis that is not the master now.
func (r *fleetRun) replica() *realtest.RedisStore {
	master := r.redis.AwaitMaster(nil)
	replicas := slices.DeleteFunc(slices.Clone(r.redis.Redis), func(s *realtest.RedisStore) bool { return s == master })
	return replicas[r.random.IntN(len(replicas))]
}

// moveMaster has the Sentinels make another Redis the master until it is, or is not, the one beside a relay, and returns it.
func (r *fleetRun) moveMaster(beside bool) *realtest.RedisStore {
	for {
		master := r.redis.AwaitMaster(nil)
		if (master == r.redis.Redis[0]) == beside {
			return master
		}
		r.redis.Failover()
		// One that comes soon after another may end with the same master: a Sentinel that has not heard of the first one takes the new master back.
		for began := time.Now(); r.redis.Master() == master && time.Since(began) < fleetMove; {
			<-time.After(200 * time.Millisecond)
		}
		r.redis.AwaitReplicas(2)
	}
}

// disturb deals every kind of fault in a random order, again and again, for some time, and waits after each one until it is over.
func (r *fleetRun) disturb(d time.Duration) {
	<-time.After(time.Second)
	kinds := r.kinds
	if os.Getenv(envFaultDouble) != "" {
		kinds = r.doubles
	}
	for deadline := time.Now().Add(d); ; {
		for _, i := range r.random.Perm(len(kinds())) {
			if time.Now().After(deadline) {
				return
			}
			if f := kinds()[i]; strings.Contains(f.name, os.Getenv(envFaultName)) {
				r.happen(f)
			}
		}
	}
}

// happen lets one fault happen, and waits until all is as before.
func (r *fleetRun) happen(f fault) {
	r.logf("%s", f.name)
	r.faults[f.name]++
	r.viewer.gap()
	r.watcher.gap()
	r.page.gap()
	r.replaced = 0
	f.begin()
	if f.end != nil {
		<-time.After(r.between(f.least, f.most))
		f.end()
	}
	r.redis.AwaitReplicas(2)
	r.await("the relays to be healthy", r.relaysHealthy)
	<-time.After(2 * time.Second)
	gap := r.viewer.gap()
	report := fmt.Sprintf("%s: %.1f s without a fix at a relay's viewer, %.1f s of a daemon's fixes, %.1f s at Daphne's", f.name, gap.Seconds(),
		r.watcher.gap().Seconds(), r.page.gap().Seconds())
	if r.replaced > 0 {
		report += fmt.Sprintf("; another master after %.1f s", r.replaced.Seconds())
		r.beyond = append(r.beyond, (gap - r.replaced).Seconds())
	}
	r.reports = append(r.reports, report)
	r.logf("%s", report)
}

func (r *fleetRun) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.random.Int64N(int64(most-least)+1))
}

func (r *fleetRun) relaysHealthy() error {
	for _, n := range r.relays {
		if err := n.healthy(r.t.Context()); err != nil {
			return err
		}
	}
	return nil
}

func (r *fleetRun) logf(format string, args ...any) {
	r.t.Logf("%7.2fs "+format, append([]any{time.Since(r.started).Seconds()}, args...)...)
}

// await asks reached until it returns nil.
func (r *fleetRun) await(what string, reached func() error) {
	r.t.Helper()
	deadline := time.Now().Add(fleetRecovery)
	for {
		err := reached()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("wait for %s: %v", what, err)
		}
		<-time.After(200 * time.Millisecond)
	}
}

// settle waits, without faults, until all that was made is acknowledged.
func (r *fleetRun) settle() {
	r.t.Helper()
	for _, tr := range r.trackers {
		tr.end()
	}
	for _, tr := range r.trackers {
		r.await("the trackers' last acknowledgements", func() error {
			if made, acked, all := tr.progress(); !all {
				return fmt.Errorf("%s made %d, of which %d are acknowledged", tr.device, made, acked)
			}
			return nil
		})
	}
}

// stored is what the database has of a device, by run.
type stored map[string]map[uint64]bool

func (s stored) add(run string, seq uint64) {
	if s[run] == nil {
		s[run] = make(map[uint64]bool)
	}
	s[run][seq] = true
}

func (r *fleetRun) rows(device string) (all stored, count int) {
	all = stored{}
	for _, m := range r.django.Rows(device) {
		all.add(m.Run, m.Seq)
		count++
	}
	return all, count
}

// judge compares what was acknowledged with what is in the database.
func (r *fleetRun) judge() {
	r.t.Helper()
	for _, d := range r.daemons {
		r.judgeDaemon(d)
	}
	stream := r.stream()
	for _, tr := range r.trackers {
		r.judgeTracker(tr, stream[tr.device])
	}
	for _, name := range slices.Sorted(maps.Keys(r.faults)) {
		r.t.Logf("%3d %s", r.faults[name], name)
	}
	slices.Sort(r.reports)
	r.t.Log(strings.Join(r.reports, "\n"))
	if slices.Sort(r.beyond); len(r.beyond) > 0 {
		r.t.Logf("a relay's viewer waited %.1f s (median) to %.1f s longer than the Sentinels took, in %d failovers",
			r.beyond[len(r.beyond)/2], r.beyond[len(r.beyond)-1], len(r.beyond))
	}
}

// stream returns what the streams have of all devices, by device and run.
func (r *fleetRun) stream() map[string]stored {
	all := make(map[string]stored)
	for partition := range 16 {
		fields := strings.Split(r.redis.AwaitMaster(nil).Do("XRANGE", fmt.Sprintf("gpsbridge:fixes:%d", partition), "-", "+"), "\n")
		const entry = 11 // its ID, then names and values of device_id, run, seq, previous and message
		for e := range slices.Chunk(fields, entry) {
			if len(e) < entry {
				continue // an empty stream
			}
			device, run := e[2], e[4]
			seq, err := strconv.ParseUint(e[6], 10, 64)
			if err != nil {
				r.t.Fatalf("an entry of the stream is %q", e)
			}
			if all[device] == nil {
				all[device] = stored{}
			}
			all[device].add(run, seq)
		}
	}
	return all
}

// judgeTracker waits until the database has what a tracker had acknowledged. The streams must have what they keep.
func (r *fleetRun) judgeTracker(tr *recorder, stream stored) {
	made, acked, _ := tr.progress()
	young := time.Now().Add(-fleetRetain / 2)
	gone := stretches(1, made, func(seq uint64) bool { return tr.acked[seq].After(young) && !stream[tr.run][seq] })
	if gone != nil {
		r.t.Errorf("%s: acknowledged and not in the stream: seq %s", tr.device, strings.Join(gone, ", "))
	}
	var missing []string
	r.until(func() bool {
		rows, _ := r.rows(tr.device)
		missing = stretches(1, made, func(seq uint64) bool { _, is := tr.acked[seq]; return is && !rows[tr.run][seq] })
		return missing == nil
	})
	if missing != nil {
		r.t.Errorf("%s: acknowledged and not in the database: seq %s", tr.device, strings.Join(missing, ", "))
	}
	r.t.Logf("%s: %d made, %d acknowledged with %d echoes, %d connections, sent all again %d times", tr.device, made, acked, tr.echoes, tr.connects, tr.again)
}

// judgeDaemon waits until the database has what a daemon's uplink counts as acknowledged.
func (r *fleetRun) judgeDaemon(d *daemon) {
	st, err := d.status()
	if err != nil {
		r.t.Fatal(err)
	}
	if st.Uplinks[0].AckedSeq == nil {
		r.t.Errorf("%s: nothing is acknowledged; status %+v", st.DeviceID, st)
		return
	}
	device, run, last := st.DeviceID, st.Receivers[0].Run, *st.Uplinks[0].AckedSeq
	var missing []string
	r.until(func() bool {
		rows, _ := r.rows(device)
		missing = stretches(1, last, func(seq uint64) bool { return !rows[run][seq] })
		return missing == nil
	})
	if missing != nil {
		r.t.Errorf("%s: acknowledged and not in the database: seq %s of %d; spool %+v", device, strings.Join(missing, ", "), last, st.Spool)
	}
}

// until asks reached until it returns true, or for as long as a recovery may last.
func (r *fleetRun) until(reached func() bool) {
	for deadline := time.Now().Add(fleetRecovery); !reached() && time.Now().Before(deadline); {
		<-time.After(time.Second)
	}
}

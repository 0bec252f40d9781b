package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
)

// Environment variables of the fault run. By hand, half an hour for each server:
//
//	TEST_GPSBRIDGE_FAULT_DURATION=30m go test -v -run TestFaultRun -timeout 3h ./cmd/gpsbridge
const (
	envFaultSeed     = "TEST_GPSBRIDGE_FAULT_SEED"     // chooses the faults; default: another one each time, printed
	envFaultDuration = "TEST_GPSBRIDGE_FAULT_DURATION" // of the faults with each server
)

const (
	// faultDuration is about what it takes to deal every kind of fault once.
	faultDuration = 40 * time.Second
	// faultPing finds a dead link within a second and the ten that its pong is waited for.
	faultPing = time.Second
	// deadLink is a disturbance that no connection survives.
	deadLink = faultPing + 12*time.Second
	// lookEvery is how often the daemon is asked what it is doing.
	lookEvery = 50 * time.Millisecond
	// faultDrain bounds the wait for the last acknowledgement after the last fault. A connection that does not answer is given up
	// after 10 s, or 60 s when that has happened before; then pauses between attempts are up to 30 s.
	faultDrain = 10 * time.Minute
	// manyMembers is how many strangers join the group, on the server and on the daemon.
	manyMembers = 4
)

// TestFaultRun drives the daemon against real tracking servers while everything around it fails, and itself with it. All
// that it took from its receiver must be processed by the server, in the promised order.
func TestFaultRun(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		options realtest.Options
		runtime bool // the spool has a second directory, for what need not go to the disk
	}{
		{"Daphne with Redis", realtest.Options{Layer: realtest.Redis}, true},
		{"Daphne in memory", realtest.Options{Short: true}, false},
		{"Uvicorn with Redis", realtest.Options{Layer: realtest.Redis, Server: realtest.Uvicorn}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			seed, duration := faultSettings(t, faultDuration)
			t.Logf("seed %d", seed)
			r := newFaultRun(t, test.options, test.runtime, seed)
			r.disturb(duration)
			r.settle()
			r.judge()
		})
	}
}

func faultSettings(t *testing.T, usual time.Duration) (seed uint64, duration time.Duration) {
	t.Helper()
	seed, duration = uint64(time.Now().UnixNano()), usual
	var err error
	if s := os.Getenv(envFaultSeed); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", envFaultSeed, err)
		}
	}
	if s := os.Getenv(envFaultDuration); s != "" {
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatalf("%s: %v", envFaultDuration, err)
		}
	}
	return seed, duration
}

// faultRun is one daemon with its receiver, its server and the network between them.
type faultRun struct {
	t       *testing.T
	random  *rand.Rand
	started time.Time

	redis  *realtest.RedisStore // nil with a server that needs none
	server *realtest.Server
	proxy  *realtest.Proxy
	feeder *feeder
	daemon *daemon
	args   []string           // of the daemon
	addr   string             // of the daemon's relay
	viewer *realtest.Member   // at the daemon, from the first to the last
	guests []*realtest.Member // who come and go

	faults  map[string]int // by kind
	acked   time.Time      // when the server acknowledged last
	longest time.Duration  // without an acknowledgement
}

func newFaultRun(t *testing.T, o realtest.Options, runtime bool, seed uint64) *faultRun {
	t.Helper()
	r := &faultRun{t: t, random: rand.New(rand.NewPCG(seed, 0)), started: time.Now(), faults: make(map[string]int)}
	if o.Layer == realtest.Redis {
		r.redis = realtest.StartRedis(t)
		o.RedisURL = r.redis.URL()
	}
	r.server = realtest.StartDjango(t, o)
	r.proxy = realtest.StartProxy(t, strings.TrimPrefix(r.server.URL(), "ws://"))
	r.feeder = startFeeder(t, rand.New(rand.NewPCG(seed, 1)))
	r.addr = fmt.Sprintf("127.0.0.1:%d", realtest.FreePort(t))
	config := filepath.Join(t.TempDir(), "gpsbridge.toml")
	text := fmt.Sprintf("[[uplink]]\nserver = \"ws://%s\"\nping = %q\norder = \"live-first\"\n[spool]\ndir = %q\n", r.proxy.Addr(), faultPing, t.TempDir())
	if runtime {
		text += fmt.Sprintf("runtime = %q\n", t.TempDir())
	}
	writeFile(t, config, text)
	r.args = []string{"-c", config, "--device", r.feeder.link + "?baud=115200", "--listen", r.addr}
	r.acked = time.Now()
	r.startDaemon()
	// With its history a viewer that joins late misses nothing: 20 s at 30 fixes a second.
	r.viewer = realtest.Join(t, "ws://"+r.addr+"/ws/gps-tracking/"+deviceID+"/?history=600")
	return r
}

// fault is one thing that goes wrong.
type fault struct {
	name        string
	begin       func()
	end         func()        // nil: it is over at once
	least, most time.Duration // from begin to end
}

// kinds returns every fault that this run can have.
func (r *faultRun) kinds() []fault {
	const s = time.Second
	hole := fault{"network black-holed", r.proxy.BlackHole, r.proxy.Restore, s / 2, 2 * s}
	stall := fault{"network stalled", r.proxy.Stall, r.proxy.Restore, s / 2, 4 * s}
	// One of them in each deal is longer than a connection lives without a pong.
	long := []*fault{&hole, &stall}[r.random.IntN(2)]
	long.least, long.most = deadLink, deadLink+s
	kinds := append(r.sudden(), hole, stall,
		fault{"server killed", r.server.Kill, r.server.Restart, 0, 2 * s},
		fault{"server terminated", r.server.Terminate, r.server.Restart, s / 2, 2 * s},
		fault{"server hung", r.server.Hang, r.server.Wake, s / 2, 4 * s},
		fault{"network slowed", r.slow, r.proxy.Restore, 2 * s, 5 * s},
		fault{"receiver unplugged", func() { r.feeder.unplug(r.daemon, r.random) }, r.feeder.plug, 0, 2 * s},
		fault{name: "member comes or goes", begin: func() { r.guest(r.server.GroupURL(deviceID)) }},
	)
	if r.redis != nil {
		kinds = append(kinds,
			fault{"Redis killed", r.redis.Kill, r.redis.Restart, 0, 2 * s},
			fault{"Redis hung", r.redis.Hang, r.redis.Wake, s / 2, 3 * s},
			fault{name: "Redis flushed", begin: r.redis.FlushAll},
		)
	}
	return kinds
}

// sudden returns the faults that are over at once, and so may happen during others too.
func (r *faultRun) sudden() []fault {
	return []fault{
		{name: "daemon killed", begin: r.killDaemon},
		{name: "connections reset", begin: r.proxy.Reset},
		{name: "viewer comes or goes", begin: func() { r.guest("ws://" + r.addr + "/ws/gps-tracking/" + deviceID + "/") }},
	}
}

// disturb deals every kind of fault in a random order, again and again, for some time.
func (r *faultRun) disturb(d time.Duration) {
	r.pass(time.Second)
	for deadline := time.Now().Add(d); ; {
		kinds := r.kinds()
		r.random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, f := range kinds {
			if time.Now().After(deadline) {
				return
			}
			r.happen(f)
			r.pass(r.between(100*time.Millisecond, 1500*time.Millisecond))
		}
	}
}

// happen lets one fault happen, and one in two times a sudden one during it.
func (r *faultRun) happen(f fault) {
	r.begin(f)
	if f.end == nil {
		return
	}
	hold := r.between(f.least, f.most)
	r.pass(hold / 2)
	if sudden := r.sudden(); r.random.IntN(2) == 0 {
		r.begin(sudden[r.random.IntN(len(sudden))])
	}
	r.pass(hold - hold/2)
	f.end()
	r.t.Logf("%6.2fs %s: over", time.Since(r.started).Seconds(), f.name)
}

func (r *faultRun) begin(f fault) {
	r.t.Logf("%6.2fs %s", time.Since(r.started).Seconds(), f.name)
	r.faults[f.name]++
	f.begin()
}

func (r *faultRun) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.random.Int64N(int64(most-least)+1))
}

// pass lets time pass, and looks at the daemon all the while.
func (r *faultRun) pass(d time.Duration) {
	over := time.After(d)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		r.look()
		select {
		case <-tick.C:
		case <-over:
			return
		}
	}
}

// look asks the daemon what it is doing, which it must always answer.
func (r *faultRun) look() observe.Status {
	st, err := r.daemon.status()
	if err != nil {
		r.t.Fatal(err)
	}
	r.feeder.look(st)
	now := time.Now()
	if age := st.Uplinks[0].LastAckAge; age != nil {
		at := now.Add(-time.Duration(*age * float64(time.Second)))
		r.longest = max(r.longest, at.Sub(r.acked))
		if at.After(r.acked) {
			r.acked = at
		}
	}
	r.longest = max(r.longest, now.Sub(r.acked))
	return st
}

// slow makes the network as slow as a bad cellular link: a round trip of 0.1 to 0.8 s, 40 to 5 KiB/s.
func (r *faultRun) slow() {
	r.proxy.Slow(r.between(50*time.Millisecond, 400*time.Millisecond))
}

// guest joins a group, or leaves it again.
func (r *faultRun) guest(url string) {
	if n := len(r.guests); n > 0 && r.random.IntN(manyMembers) < n {
		i := r.random.IntN(n)
		r.guests[i].Leave()
		r.guests = slices.Delete(r.guests, i, i+1)
		return
	}
	r.guests = append(r.guests, realtest.Join(r.t, url))
}

// killDaemon kills the daemon a moment after it was asked how far it is, and starts the next one.
func (r *faultRun) killDaemon() {
	st := r.look()
	<-time.After(r.between(5*time.Millisecond, 30*time.Millisecond))
	r.feeder.kill(r.daemon, st, r.random)
	r.startDaemon()
}

func (r *faultRun) startDaemon() {
	r.t.Helper()
	r.daemon = startDaemon(r.t, r.args...)
	r.t.Logf("%6.2fs run %s begins", time.Since(r.started).Seconds(), r.look().Receivers[0].Run)
}

// settle waits, without faults, until the server has acknowledged everything.
func (r *faultRun) settle() {
	r.t.Helper()
	deadline := time.Now().Add(faultDrain)
	wait := func(what string, reached func() bool) {
		for !reached() {
			if time.Now().After(deadline) {
				r.t.Fatalf("%s: not within %v; status: %+v", what, faultDrain, r.look())
			}
			r.pass(lookEvery)
		}
	}
	wait("the receiver to be open", r.feeder.flowing)
	r.pass(time.Second)
	r.feeder.end()
	last := r.feeder.course.time(r.feeder.next - 1)
	wait("the last epoch to be taken", func() bool {
		all := r.viewer.Messages()
		m, err := unpack(all[len(all)-1].Text)
		return err == nil && m.Time.Equal(last)
	})
	wait("everything to be acknowledged", func() bool { return r.look().Spool.Records == 0 })
}

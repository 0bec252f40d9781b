package delivery

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/uplink"
)

var (
	oneSeed = flag.Uint64("seed", 0, "simulate the world of this seed alone, and show its log")
	lasting = flag.Duration("for", 0, "simulate new worlds for so long; 0: 2m, 30s with -race, and 2s with -short")
	first   = flag.Uint64("first", 1, "seed of the first world")
)

// TestMain lets garbage pile up: its collection was a fifth of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	m.Run()
}

func pow(x, y float64) float64 { return math.Pow(x, y) }

// simulation is a world at work.
type simulation struct {
	*world
	network *network
	server  *server
	device  *device
	ledger  *ledger
	downs   int // reasons for which the device is off
}

// result is what a world has shown.
type result struct {
	findings    []string
	log         []string
	simulated   time.Duration
	given, lost int
	live, late  int
	repeats     int
	connects    int // the most in a minute
	lines       int // of the log, the same
}

// run simulates the world in the bubble of the caller.
func (w *world) run(root string) result {
	random := rand.New(rand.NewPCG(w.seed, 13))
	l := newLedger()
	s := &simulation{world: w, ledger: l}
	s.network = newNetwork(random)
	s.network.set(w.path)
	s.server = newServer(w.server, s.network, l, rand.New(rand.NewPCG(w.seed, 14)))
	s.device = &device{settings: w.device, seed: w.seed, every: w.every, network: s.network, server: s.server, ledger: l, log: &logCounter{ledger: l},
		root: filepath.Join(root, "device"), ids: []string{"van_1"}, spools: map[string]map[uint64]key{}}
	s.device.start()
	s.playFaults()
	s.settleDown()
	res := result{simulated: time.Since(l.start)}
	s.check(&res)
	s.device.terminate()
	s.server.stop()
	res.findings, res.log, res.repeats = l.findings, s.device.log.lines, l.repeats
	return res
}

// offGrid keeps faults off the instants of fixes, where the order of goroutines would decide and not the seed.
const offGrid = 377 * time.Microsecond

// playFaults has each fault begin and end at its time.
func (s *simulation) playFaults() {
	type act struct {
		at time.Duration
		do func(*simulation)
	}
	var acts []act
	for _, f := range s.faults {
		acts = append(acts, act{f.at, f.begin})
		if f.end != nil {
			acts = append(acts, act{f.at + f.lasts, f.end})
		}
	}
	slices.SortStableFunc(acts, func(a, b act) int { return int(a.at - b.at) })
	for _, a := range acts {
		time.Sleep(a.at + offGrid - time.Since(s.ledger.start))
		a.do(s)
	}
	time.Sleep(s.lasts + offGrid - time.Since(s.ledger.start))
}

// down ends the process of the device in some way, if there is one; up starts it when nothing keeps it off any more.
func (s *simulation) down(how func(*device)) {
	s.downs++
	if s.device.process != nil {
		how(s.device)
	}
}

func (s *simulation) up() {
	if s.downs--; s.downs == 0 {
		s.device.start()
	}
}

const (
	// quiet is how long live fixes go on after the last fault.
	quiet = 10 * time.Minute
	// drainMost is how long the rest may take then: the server is given a multiple of the receiver's rate.
	drainMost = 6 * time.Hour
)

// settleDown lets live fixes come for a while, and then waits for the rest.
func (s *simulation) settleDown() {
	time.Sleep(max(quiet, 20*s.every))
	s.checkState()
	s.device.parked.Store(true)
	deadline := time.Now().Add(drainMost)
	for s.device.waiting() > 0 {
		if time.Now().After(deadline) {
			st := s.device.process.lines[0].uplink.Status()
			s.ledger.finding("drain", "%d fixes still wait %s after the last fault: %+v", s.device.waiting(), drainMost, st)
			return
		}
		time.Sleep(10 * time.Second)
	}
}

// checkState checks what status shows of a server with which nothing is wrong.
func (s *simulation) checkState() {
	st := s.device.process.lines[0].uplink.Status()
	short := s.server.acks == acksShort && s.device.window >= 8 && s.server.refusesMark == refusalNone && s.server.poison == 0
	if !s.server.echoesAll() && !short || s.device.ack != uplink.AckAuto {
		return
	}
	if st.Ack != uplink.AckEcho {
		s.ledger.finding("echo", "the server echoes all, and %s acknowledges", st.Ack)
	}
	if st.Warning != nil {
		s.ledger.finding("echo", "the server echoes all, and the warning is: %v", st.Warning)
	}
}

const (
	// connectsMost and linesMost bound a minute. Full jitter that doubles from 0.5 s makes about ten attempts in the first, and
	// so does the search for a bad fix; a device whose ID has just changed has three uplinks.
	connectsMost = 32
	linesMost    = 15
	// liveLimit is how late a live fix may be, besides what the network and the server take.
	liveLimit = 5 * time.Second
	// recognition is how long after a fault live fixes may still be late: a pause of 30 s, and a minute to see how the server
	// is written.
	recognition = 2 * time.Minute
)

// check compares what has happened with what was promised.
func (s *simulation) check(res *result) {
	dropped := s.device.dropped
	for _, l := range s.device.process.lines {
		dropped += l.spool.Stats().Dropped - l.dropped
	}
	res.given, res.lost = s.ledger.checkLost(dropped)
	troubles := []interval{{0, recognition}, {s.lasts + quiet - time.Minute, math.MaxInt64}}
	for _, f := range s.faults {
		troubles = append(troubles, interval{f.at, f.at + f.lasts + recognition})
	}
	blind := s.device.ack == uplink.AckPong && !s.server.pongBehind && s.server.refusesMark != refusalNone // pongs acknowledge what it breaks on
	if s.device.order == uplink.LiveFirst && s.server.poison == 0 && !blind {
		res.live, res.late = s.ledger.checkLive(troubles, liveLimit+s.device.batch+6*s.path.latency+s.server.habits.each)
	}
	res.connects = s.ledger.checkRate("connections", s.network.dials, connectsMost)
	res.lines = s.ledger.checkRate("log", s.device.log.at, linesMost)
}

// checked is the last seed in a row that was simulated often enough to be sure that its world shows nothing.
const checked = 530

// TestWorlds simulates worlds for some time: those up to checked, or with -for any.
func TestWorlds(t *testing.T) {
	if *oneSeed != 0 {
		report(t, sometimesInBatches(*oneSeed), true)
		return
	}
	budget := *lasting
	switch {
	case budget > 0:
	case testing.Short():
		budget = 2 * time.Second
	case raced: // an eighth of the speed: for what only it finds
		budget = 30 * time.Second
	default:
		budget = 2 * time.Minute
	}
	end := time.Now().Add(budget)
	var next atomic.Uint64
	next.Store(*first - 1)
	var worlds, hours, fixes, repeats, live, late atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("worker", func(t *testing.T) {
				t.Parallel()
				for time.Now().Before(end) && (*lasting > 0 || next.Load() < checked) {
					seed := next.Add(1)
					res := report(t, sometimesInBatches(seed), false)
					worlds.Add(1)
					hours.Add(int64(res.simulated))
					fixes.Add(int64(res.given))
					repeats.Add(int64(res.repeats))
					live.Add(int64(res.live))
					late.Add(int64(res.late))
				}
			})
		}
	})
	t.Logf("%d worlds, %.0f simulated hours, %d fixes, %d repeats, %d live fixes of which %d late", worlds.Load(), time.Duration(hours.Load()).Hours(), fixes.Load(), repeats.Load(), live.Load(), late.Load())
}

// sometimesInBatches is the world of a seed, in every second with fixes that are collected.
func sometimesInBatches(seed uint64) *world {
	w := newWorld(seed)
	w.collects(seed%2 == 0)
	return w
}

// collects has the device collect fixes for a time, or not.
func (w *world) collects(does bool) {
	if does {
		w.device.batch = 10 * time.Second
	}
}

// report simulates a world, and shows it when something was found.
func report(t *testing.T, w *world, always bool) (res result) {
	t.Run(fmt.Sprintf("seed=%d", w.seed), func(t *testing.T) {
		root := directory(t)
		synctest.Test(t, func(*testing.T) { res = w.run(root) })
		if len(res.findings) == 0 && !always {
			return
		}
		for _, finding := range res.findings {
			t.Error(finding)
		}
		t.Logf("%s\nlog:", w)
		for _, line := range res.log {
			t.Log(line)
		}
		t.Logf("%s simulated, %d fixes, %d lost, %d repeats, %d live, %d late, %d connections and %d log lines in a minute at the most",
			res.simulated, res.given, res.lost, res.repeats, res.live, res.late, res.connects, res.lines)
		if len(res.findings) > 0 {
			t.Logf("again: go test ./bridge/delivery -run TestWorlds -seed %d", w.seed)
		}
	})
	return res
}

// TestMemoryIsBounded holds the uplink to a bound where it remembers most: the server never echoes, so that each fix is kept
// for retain, and an outage adds a backlog.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const most = 8 << 20 // what the daemon may use altogether
	w := &world{lasts: 12 * time.Hour, every: time.Second, path: path{latency: 30 * time.Millisecond},
		server: habits{which: whichNone, each: time.Millisecond},
		device: settings{ack: uplink.AckAuto, order: uplink.LiveFirst, window: 32, retain: 10 * time.Minute, max: 64 << 20, sync: time.Second}}
	var heap []uint64
	measure := func(*simulation) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		heap = append(heap, m.HeapAlloc)
	}
	away := func(s *simulation) { s.network.refuse(syscall.ECONNREFUSED); s.server.crash() }
	w.faults = []fault{
		{at: 2 * time.Hour, name: "measure", begin: measure},
		{at: 3 * time.Hour, lasts: time.Hour, name: "server: killed and away", begin: away, end: func(s *simulation) { s.network.refuse(nil) }},
		{at: 8 * time.Hour, name: "network: all connections are reset", begin: func(s *simulation) { s.network.cut() }},
		{at: w.lasts - time.Minute, name: "measure", begin: measure},
	}
	root := directory(t)
	synctest.Test(t, func(t *testing.T) {
		for _, finding := range w.run(root).findings {
			t.Error(finding)
		}
	})
	if grown := int64(heap[1]) - int64(heap[0]); grown > most {
		t.Errorf("the heap has grown by %d KiB in 10 hours, to %d KiB", grown>>10, heap[1]>>10)
	}
}

// directory is a new one on a tmpfs where there is one: what the simulation does to the disk is no business of the real one.
func directory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "delivery")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

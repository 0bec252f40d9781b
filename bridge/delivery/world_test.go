package delivery

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
)

// world is all that is drawn from a seed: how the parts are, and what happens to them when.
type world struct {
	seed   uint64
	lasts  time.Duration // of the time with faults; a quiet time follows
	every  time.Duration // between two fixes
	path   path
	server habits
	device settings
	faults []fault
}

// path is the network as it is without a fault.
type path struct {
	latency   time.Duration // one way
	bandwidth int           // bytes a second of each connection and direction; 0: no limit
	loss      float64       // share of packets that TCP has to send again
}

func (p path) String() string {
	s := fmt.Sprintf("%s one way", p.latency)
	if p.bandwidth > 0 {
		s += fmt.Sprintf(", %d bytes/s", p.bandwidth)
	}
	if p.loss > 0 {
		s += fmt.Sprintf(", %.0f %% of packets lost", 100*p.loss)
	}
	return s
}

// fault is something that happens at a time, and may have an end.
type fault struct {
	at, lasts time.Duration
	kind      kind
	name      string
	begin     func(*simulation)
	end       func(*simulation) // nil: it is over at once
}

// String is the world and its schedule for people.
func (w *world) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s with faults, a fix every %s\n", w.seed, w.lasts, w.every)
	fmt.Fprintf(&b, "  server:  %s\n  network: %s\n  device:  %s\n", w.server, w.path, w.device)
	for _, f := range w.faults {
		fmt.Fprintf(&b, "  %s  %s", clock(f.at), f.name)
		if f.lasts > 0 {
			fmt.Fprintf(&b, " for %s", f.lasts.Round(time.Second))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// dice draws.
type dice struct{ *rand.Rand }

func (d dice) chance(p float64) bool { return d.Float64() < p }

// between is uniform in the logarithm: short times are as likely as long ones.
func (d dice) between(least, most time.Duration) time.Duration {
	t := time.Duration(float64(least) * pow(float64(most)/float64(least), d.Float64()))
	return t.Round(time.Millisecond)
}

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// Fixes of a world, so that one takes about as long as another.
const (
	fewFixes  = 600
	manyFixes = 4000
)

// newWorld is the world of a seed, with a server that may acknowledge in short, and may accept compression.
func newWorld(seed uint64) *world {
	w := echoing(seed)
	switch d := (dice{rand.New(rand.NewPCG(seed, 15))}); {
	case d.chance(0.25):
		w.server.acks = acksShort
	case d.chance(0.1):
		w.server.acks = acksBlind
	}
	w.server.inflates = dice{rand.New(rand.NewPCG(seed, 17))}.chance(0.2)
	if d := (dice{rand.New(rand.NewPCG(seed, 19))}); d.chance(0.25) {
		w.stores(d)
	}
	return w
}

// stores makes the server a relay that stores fixes, whose store is down or loses them now and then.
func (w *world) stores(d dice) {
	w.server = habits{acks: w.server.acks, inflates: w.server.inflates, each: w.server.each, pongBehind: w.server.pongBehind, durable: w.device.retain}
	w.device.max = max(w.device.max, 64<<20)
	w.device = w.within(w.device)
	for range 1 + d.IntN(3) {
		w.faults = append(w.faults, fault{at: time.Duration(d.Float64() * float64(w.lasts)).Round(time.Second), kind: kindStoreLost,
			name: "server: what was stored is lost", begin: func(s *simulation) { s.server.loseStored() }})
	}
	for range d.IntN(3) {
		refuses := d.chance(0.5)
		f := fault{at: time.Duration(d.Float64() * float64(w.lasts)).Round(time.Second), kind: kindStoreDown, lasts: d.between(5*time.Second, min(w.lasts/4, 20*time.Minute)),
			name: "server: nothing can be stored, connections are closed with 1012"}
		if refuses {
			f.name = "server: nothing can be stored, connections are answered 503"
		}
		f.begin, f.end = func(s *simulation) { s.server.storeDown(true, refuses) }, func(s *simulation) { s.server.storeDown(false, refuses) }
		w.faults = append(w.faults, f)
	}
	slices.SortStableFunc(w.faults, func(a, b fault) int { return int(a.at - b.at) })
}

// echoing is the same with a server that knows neither.
func echoing(seed uint64) *world {
	d := dice{rand.New(rand.NewPCG(seed, 12))}
	w := &world{seed: seed, every: pick(d, 100*time.Millisecond, time.Second, time.Second, time.Second, 5*time.Second, 10*time.Second, time.Minute)}
	w.lasts = time.Duration(fewFixes+d.IntN(manyFixes-fewFixes)) * w.every
	w.lasts = min(w.lasts, 24*time.Hour)
	w.path = d.path(w.every)
	w.server = d.habits(w.every)
	w.device = w.within(d.settings(w.server))
	for range d.IntN(9) {
		w.faults = append(w.faults, d.fault(w))
	}
	slices.SortStableFunc(w.faults, func(a, b fault) int { return int(a.at - b.at) })
	return w
}

// within gives settings a window that carries twice the rate of the fixes over the round trip: a smaller one falls behind by
// arithmetic, and that shows nothing.
func (w *world) within(s settings) settings {
	roundTrip := w.server.delay + w.server.each + 2*w.path.latency
	if w.server.form == formBatch {
		roundTrip += batchWait
	}
	if time.Duration(s.window)*w.every < 2*roundTrip {
		s.window = 32
	}
	return s
}

func (d dice) path(every time.Duration) path {
	p := path{latency: d.between(time.Millisecond, 300*time.Millisecond)}
	if d.chance(0.1) {
		p.latency = d.between(300*time.Millisecond, 1500*time.Millisecond)
	}
	if d.chance(0.2) { // a message and its echo have room three times
		p.bandwidth = int(3*350*time.Second/every) + 2000
	}
	if d.chance(0.3) {
		p.loss = 0.05 * d.Float64()
	}
	return p
}

func (d dice) habits(every time.Duration) habits {
	h := habits{form: form(d.IntN(int(forms))), each: d.between(time.Millisecond, 30*time.Millisecond), pongBehind: d.chance(0.3)}
	if d.chance(0.2) {
		h.each = d.between(time.Millisecond, min(every/4, 500*time.Millisecond))
	}
	switch {
	case d.chance(0.5): // of all
	case d.chance(0.5):
		h.which = whichNone
	default:
		h.which = which(d.IntN(int(whiches)))
	}
	if d.chance(0.2) {
		h.delay = d.between(100*time.Millisecond, min(6*every, 20*time.Second))
	}
	h.twice = d.chance(0.1)
	switch {
	case d.chance(0.1):
		h.refusesMark = refusal(1 + d.IntN(int(refusals)-1))
	case d.chance(0.05):
		h.poison, h.fails = 500+d.IntN(500), refusal(1+d.IntN(int(refusals)-1))
	}
	return h
}

func (d dice) settings(h habits) settings {
	s := settings{ack: uplink.AckAuto, order: uplink.LiveFirst, window: 32, retain: 10 * time.Minute, max: 64 << 20, sync: pick(d, time.Second, 5*time.Second)}
	switch {
	case d.chance(0.8):
	case h.which == whichAll:
		s.ack = pick(d, uplink.AckEcho, uplink.AckEcho, uplink.AckPong, uplink.AckNone)
	default:
		s.ack = pick(d, uplink.AckPong, uplink.AckNone)
	}
	if d.chance(0.2) {
		s.order = uplink.OldestFirst
	}
	if d.chance(0.2) {
		s.window = pick(d, 1, 2, 8, 99)
	}
	if d.chance(0.1) {
		s.max = spool.MinMax
	}
	return s
}

// kind is what a fault is about.
type kind int

const (
	kindStall kind = iota
	kindStallAndKill
	kindCrash
	kindClose
	kindStatus
	kindForget
	kindFlapping
	kindReset
	kindHalfOpen
	kindNoRoute
	kindBadLine
	kindKill
	kindPowerCut
	kindReconfigured
	kindParked
	kindDiskFull
	kinds
	kindStoreLost // of servers that store fixes alone
	kindStoreDown
)

// fault draws one of those there are.
func (d dice) fault(w *world) fault {
	f := fault{at: time.Duration(d.Float64() * float64(w.lasts)).Round(time.Second)}
	long := w.lasts / 4
	f.kind = kind(d.IntN(int(kinds)))
	switch f.kind {
	case kindStall:
		f.name, f.lasts = "server: the application stands still", d.between(5*time.Second, min(long, 20*time.Minute))
		f.begin, f.end = func(s *simulation) { s.server.stall() }, func(s *simulation) { s.server.goOn() }
	case kindStallAndKill:
		f.name, f.lasts = "server: the application stands still, and is killed then", d.between(5*time.Second, min(long, w.device.retain))
		f.begin = func(s *simulation) { s.server.stall() }
		f.end = func(s *simulation) { s.server.crash(); s.server.goOn() }
	case kindCrash:
		f.name, f.lasts = "server: killed and away", d.between(time.Second, long)
		f.begin = func(s *simulation) { s.network.refuse(syscall.ECONNREFUSED); s.server.crash() }
		f.end = func(s *simulation) { s.network.refuse(nil) }
	case kindClose:
		code := pick(d, 1000, 1001, 1008, 1011, 1012, 1013, 4000)
		f.name = fmt.Sprintf("server: restarts, closing with %d", code)
		f.begin = func(s *simulation) { s.server.closeAll(code) }
	case kindStatus:
		status := pick(d, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable)
		f.name, f.lasts = fmt.Sprintf("server: answers %d", status), d.between(time.Second, long)
		f.begin = func(s *simulation) { s.server.set(status, 0); s.server.crash() }
		f.end = func(s *simulation) { s.server.set(0, 0) }
	case kindForget:
		f.name = "server: the groups lose their members"
		f.begin = func(s *simulation) { s.server.forget() }
	case kindFlapping:
		after := 1 + d.IntN(5)
		f.name, f.lasts = fmt.Sprintf("server: ends each connection after %d fixes", after), d.between(30*time.Second, long)
		f.begin = func(s *simulation) { s.server.set(0, after); s.server.crash() }
		f.end = func(s *simulation) { s.server.set(0, 0) }
	case kindReset:
		f.name = "network: all connections are reset"
		f.begin = func(s *simulation) { s.network.cut() }
	case kindHalfOpen:
		f.name, f.lasts = "network: half-open, nothing passes", d.between(time.Second, long)
		f.begin, f.end = func(s *simulation) { s.network.halfOpen(true) }, func(s *simulation) { s.network.halfOpen(false) }
	case kindNoRoute:
		f.name, f.lasts = "network: no route", d.between(time.Second, long)
		f.begin = func(s *simulation) {
			s.network.refuse(&net.OpError{Op: "dial", Err: syscall.ENETUNREACH})
			s.network.cut()
		}
		f.end = func(s *simulation) { s.network.refuse(nil) }
	case kindBadLine:
		bad := path{latency: d.between(time.Second, 3*time.Second), loss: 0.3}
		f.name, f.lasts = "network: "+bad.String(), d.between(10*time.Second, long)
		f.begin, f.end = func(s *simulation) { s.network.set(bad) }, func(s *simulation) { s.network.set(w.path) }
	case kindKill:
		f.name, f.lasts = "device: killed", d.between(time.Second, time.Minute)
		f.begin, f.end = func(s *simulation) { s.down((*device).kill) }, func(s *simulation) { s.up() }
	case kindPowerCut:
		f.name, f.lasts = "device: power cut", d.between(10*time.Second, long)
		f.begin, f.end = func(s *simulation) { s.down((*device).powerCut) }, func(s *simulation) { s.up() }
	case kindReconfigured:
		what, change := d.reconfiguration(w)
		f.name = "device: " + what
		f.begin = func(s *simulation) { change(s.device) }
	case kindParked:
		f.name, f.lasts = "device: parked, no fixes", d.between(10*time.Second, long)
		f.begin, f.end = func(s *simulation) { s.device.parked.Store(true) }, func(s *simulation) { s.device.parked.Store(false) }
	default:
		f.name, f.lasts = "device: the disk is full, after a restart", d.between(10*time.Second, long)
		restart := func(full bool) func(*simulation) {
			return func(s *simulation) { s.device.full = full; s.down((*device).terminate); s.up() }
		}
		f.begin, f.end = restart(true), restart(false)
	}
	return f
}

// reconfiguration is a change of the device that its process learns by a reload or a restart.
func (d dice) reconfiguration(w *world) (what string, change func(*device)) {
	next := w.within(d.settings(w.server))
	jump := time.Duration(d.IntN(2000)-1000) * time.Hour
	switch d.IntN(4) {
	case 0:
		return "configuration reloaded", (*device).reload
	case 1:
		return fmt.Sprintf("configuration reloaded, window %d", next.window), func(dev *device) { dev.window = next.window; dev.reload() }
	case 2:
		return fmt.Sprintf("the receiver's clock jumps by %s", jump), func(dev *device) { dev.jumped.Add(int64(jump)) }
	}
	return "device_id changed, and restarted", func(dev *device) {
		running := dev.process != nil
		if running {
			dev.terminate()
		}
		dev.ids = append(dev.ids, fmt.Sprintf("van_%d", len(dev.ids)+1))
		if running {
			dev.start()
		}
	}
}

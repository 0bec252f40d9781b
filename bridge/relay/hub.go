package relay

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"gpsbridge/bridge/deflate"
	shared "gpsbridge/bridge/group"
)

var (
	errClosing = errors.New("the relay is shutting down")
	errGroups  = errors.New("the relay holds as many groups as it can")
	errLayer   = errors.New("the group that the relays share cannot be reached")
	errConns   = errors.New("the relay holds as many connections as it can (relay.max_conns)")
)

// hub holds the groups and what they share: bounds, counters, shutdown.
type hub struct {
	// Set once.
	limits limits
	log    *slog.Logger
	layer  shared.Layer // nil for groups of this node alone

	// Counters.
	conns      atomic.Int64 // members, and clients that are about to be one
	dropped    atomic.Int64 // messages that left a viewer's queue unsent
	closedSlow atomic.Int64
	ignored    atomic.Int64 // text frames from viewers
	messages   atomic.Int64 // published, without repeats
	delivered  atomic.Int64 // messages written to members
	repeats    atomic.Int64 // messages that a publisher sent again
	refused    [refusals]atomic.Int64

	unpublished atomic.Int64 // publishers closed because the layer did not take their messages

	refusedLog [refusals]rate.Sometimes
	slowLog    rate.Sometimes
	closedLog  rate.Sometimes

	layerLog, storeLog, foreignLog rate.Sometimes
	queued                         atomic.Int64 // bytes of messages in queues of members, each message once
	kept                           atomic.Int64 // bytes in all histories
	packed                         atomic.Int64 // members with compression
	packedBytes                    packedBytes
	relieving                      sync.Mutex   // held by boundQueues
	crowded                        atomic.Int64 // unix seconds at which no group could make room

	running sync.WaitGroup // the goroutines of all viewers

	publishing     context.Context // ends when nothing may wait for the layer any more
	stopPublishing func()
	asking         chan struct{} // a place for each member that waits for the store
	handshakes     chan struct{} // a place for each TLS handshake that is computed: half of the CPUs

	// Guarded by mu.
	mu      sync.RWMutex
	groups  map[string]*group
	closing bool

	draining    atomic.Bool // no client is admitted
	rebalancing atomic.Bool
}

func newHub(l limits, log *slog.Logger, layer shared.Layer) *hub {
	h := &hub{limits: l, log: log, layer: layer, groups: make(map[string]*group), asking: make(chan struct{}, storeAsks),
		handshakes: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	h.publishing, h.stopPublishing = context.WithCancel(context.Background())
	for _, often := range []*rate.Sometimes{&h.slowLog, &h.closedLog, &h.layerLog, &h.storeLog, &h.foreignLog} {
		often.Interval = time.Minute
	}
	for why := range h.refusedLog {
		h.refusedLog[why].Interval = time.Minute
	}
	return h
}

// refusal is why a request or a connection was refused.
type refusal int

const (
	refusedToken      refusal = iota // no token, or a wrong one
	refusedOrigin                    // a page of another site, or a name that is not this machine's
	refusedRate                      // too many requests from one address
	refusedFull                      // too many connections or groups
	refusedLayer                     // the layer cannot be reached
	refusedBusy                      // too many come at once
	refusedDrain                     // the relay is being stopped
	refusedAsk                       // the application that decides does not answer
	refusedHandshakes                // too many TLS handshakes at once: closed before one
	refusals                         // how many there are
)

// refusalNames are in the log, the metrics and the header of the answer.
var refusalNames = [refusals]string{"token", "origin", "rate", shared.RefusedFull, shared.RefusedLayer, shared.RefusedBusy, shared.RefusedDrain, shared.RefusedAuth, "handshakes"}

// refuse counts a refusal of the client at the address peer, and logs one of each kind a minute: a tracker with a wrong
// token must be found, and a flood must not fill the log.
func (h *hub) refuse(why refusal, peer string) {
	n := h.refused[why].Add(1)
	h.refusedLog[why].Do(func() { h.log.Warn("refused", "why", refusalNames[why], "peer", peer, "so_far", n) })
}

// lookup returns the group if it exists, without making one.
func (h *hub) lookup(device string) *group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.groups[device]
}

// all returns the groups that there are.
func (h *hub) all() []*group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Values(h.groups))
}

// in calls do with the group of device, made if need be, once the layer has joined it. A group that was forgotten in between makes do
// return false.
func (h *hub) in(device string, do func(*group) bool) error {
	for {
		g := h.lookup(device)
		if g == nil {
			var err error
			if g, err = h.make(device); err != nil {
				return err
			}
		}
		if g.entered != nil {
			<-g.entered
			if g.failed != nil {
				return g.failed
			}
		}
		if do(g) {
			return nil
		}
	}
}

// make makes the group of device, if no other goroutine did. Above the bound the group that was silent longest and has no
// members makes room.
func (h *hub) make(device string) (*group, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch g := h.groups[device]; {
	case g != nil:
		return g, nil
	case h.closing:
		return nil, errClosing
	case len(h.groups) >= h.limits.groups && !h.forgetOne(""):
		return nil, errGroups
	}
	now := time.Now()
	g := &group{hub: h, device: device, heard: now, emptied: now}
	if h.layer != nil {
		if h.layer.Ready() != nil {
			return nil, errLayer
		}
		g.entered = make(chan struct{})
		h.running.Go(g.enter)
	}
	h.groups[device] = g
	return g, nil
}

// enter joins the layer's group, or forgets g with the reason.
func (g *group) enter() {
	defer close(g.entered)
	ctx, cancel := context.WithTimeout(g.hub.publishing, joinLimit)
	defer cancel()
	if err := g.hub.layer.Join(ctx, g.device); err != nil {
		g.failed = errLayer
		g.hub.layerLog.Do(func() { g.hub.log.Warn("group not joined", "device_id", g.device, "err", err) })
		g.hub.mu.Lock()
		defer g.hub.mu.Unlock()
		g.hub.forget(g, func() bool { return true })
	}
}

// joinLimit is how long a client waits for its handshake to be answered while the layer joins its group: half of what a page waits.
const joinLimit = 5 * time.Second

// forgetOne removes the group that has no members and is silent longest, but not that of device except. Under h.mu.
func (h *hub) forgetOne(except string) bool {
	var oldest *group
	var since time.Time
	for _, g := range h.groups {
		if heard, idle := g.idleSince(); idle && g.device != except && (oldest == nil || heard.Before(since)) {
			oldest, since = g, heard
		}
	}
	return oldest != nil && h.forget(oldest, func() bool { return true })
}

// forget removes g if it has no members and when, asked under its lock, agrees. Under h.mu.
func (h *hub) forget(g *group, when func() bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone || len(g.members) > 0 || !when() {
		return false
	}
	g.gone = true
	h.kept.Add(int64(-g.kept()))
	delete(h.groups, g.device)
	if g.entered != nil && g.failed == nil {
		h.layer.Leave(g.device) // under h.mu: before it is joined again
	}
	return true
}

// sweep forgets, until ctx ends, the groups that were not used for limits.forget.
func (h *hub) sweep(ctx context.Context) {
	for tick := time.NewTicker(min(time.Minute, h.limits.forget/4)); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case now := <-tick.C:
			h.mu.Lock()
			for _, g := range h.groups {
				h.forget(g, func() bool { return g.unused(now) > h.limits.forget })
			}
			h.mu.Unlock()
		}
	}
}

// publish gives m to the group of device; from is its publisher, nil for the program itself.
func (h *hub) publish(device string, m *message, from *viewer) error {
	now := time.Now()
	if err := h.in(device, func(g *group) bool { return g.publish(m, from, now) }); err != nil {
		return err
	}
	h.bound(device, now)
	return nil
}

// bound brings what is kept and what is queued back under their bounds, after a message to the group of device.
func (h *hub) bound(device string, now time.Time) {
	h.makeRoom(device, now)
	h.boundQueues()
}

// boundQueues closes members while more is queued than may be: those with the most queued, in bytes. A 64th of the bound is made free,
// because each search looks at all members.
func (h *hub) boundQueues() {
	bound := int64(h.limits.queuedBytes)
	if h.queued.Load() <= bound {
		return
	}
	h.relieving.Lock()
	defer h.relieving.Unlock()
	if h.queued.Load() <= bound { // another call has been here
		return
	}
	type load struct {
		of   *viewer
		size int
	}
	var loads []load
	for _, v := range h.everyone() {
		v.mu.Lock()
		if size := v.weight(); size > 0 {
			loads = append(loads, load{v, size})
		}
		v.mu.Unlock()
	}
	slices.SortFunc(loads, func(a, b load) int { return cmp.Compare(b.size, a.size) })
	for _, one := range loads {
		if h.queued.Load() <= bound-bound/64 {
			return
		}
		one.of.drop(websocket.CloseTryAgainLater, "too much is queued for this client")
	}
}

// makeRoom brings what the groups keep back under the bound: first by forgetting groups without members, then by shortening
// the history of the group that grew to an equal share. In a fleet where all groups have members the search for the first
// would be most of the work, so it is made once a second.
func (h *hub) makeRoom(device string, now time.Time) {
	over := func() bool { return h.kept.Load() > int64(h.limits.totalBytes) }
	if over() && now.Unix() != h.crowded.Load() {
		h.mu.Lock()
		for over() && h.forgetOne(device) {
		}
		h.mu.Unlock()
	}
	if !over() {
		return
	}
	h.crowded.Store(now.Unix())
	h.mu.RLock()
	g, share := h.groups[device], h.limits.totalBytes/max(1, len(h.groups))
	h.mu.RUnlock()
	if g != nil {
		g.trim(share, now)
	}
}

// join makes v a member, which counts until it leaves, and gets first what it wants of before.
func (h *hub) join(v *viewer, device string, want ask) error {
	err := errConns
	if h.conns.Add(1) <= int64(h.limits.conns) {
		err = h.in(device, func(g *group) bool { return g.join(v, want, h.stored(g, want)) })
	}
	if err != nil {
		h.conns.Add(-1)
		return err
	}
	if v.publisher {
		v.group.crowd(v)
	}
	return nil
}

// start gives a member its connection, on which params are agreed on, and its two goroutines.
func (h *hub) start(v *viewer, conn *websocket.Conn, params *deflate.Params) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closing {
		return errClosing
	}
	v.conn, v.wire = conn, conn.NetConn().(*wire)
	if params != nil {
		v.packer = deflate.NewWriter(deflate.Server, params)
		v.wire.packed = &h.packedBytes
		v.wire.inflater = deflate.NewReader((*compressed)(v.wire), deflate.Server, *params)
	}
	v.wire.closing = func(code int, reason string) { v.shut(code, reason) }
	v.wire.limit(v.budget, v.publisher)
	h.running.Go(v.write)
	h.running.Go(v.read)
	return nil
}

// spreadTick is how often some connections are closed of those that are closed over a time.
const spreadTick = 100 * time.Millisecond

// spread closes the connections of members: over a time, after a wait, or until ctx ends or there are none.
func (h *hub) spread(ctx context.Context, members []*viewer, wait, over time.Duration, reason string) {
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	tick := time.NewTicker(spreadTick)
	defer tick.Stop()
	for began, closed := time.Now().Add(wait), 0; closed < len(members) && h.conns.Load() > 0; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			due := len(members)
			if past := now.Sub(began); past < over {
				due = int(float64(due) * max(0, past).Seconds() / over.Seconds())
			}
			for ; closed < due; closed++ {
				members[closed].shut(websocket.CloseGoingAway, reason)
			}
		}
	}
}

// close closes every member's connection, waits for the close handshakes and ends what is left. No goroutine of a viewer
// runs after it.
func (h *hub) close() {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	for _, v := range h.everyone() {
		v.shut(websocket.CloseGoingAway, "the relay is shutting down")
	}
	// One linger for what is queued and the close frame, one for the answer.
	late := time.AfterFunc(2*h.limits.linger+h.limits.linger/2, func() {
		h.stopPublishing()
		for _, v := range h.everyone() {
			if v.wire != nil { // nil: still shaking hands, start will refuse it
				v.wire.abort()
			}
		}
	})
	h.running.Wait()
	late.Stop()
	h.stopPublishing()
}

// Receive takes a message that came through the layer.
func (h *hub) Receive(device string, in shared.Message) {
	var m *message
	from, _ := in.From.(*viewer)
	if from != nil {
		m = from.returned(in.Data)
	}
	g := h.lookup(device)
	switch {
	case g == nil && m != nil: // its publisher has left, and so have all others
		from.mu.Lock()
		defer from.mu.Unlock()
		from.settle(m)
		return
	case g == nil:
		return
	case m == nil:
		head, err := parseHeader(in.Data)
		if err != nil {
			h.foreignLog.Do(func() { h.log.Warn("dropped what another sent to the group", "device_id", device, "err", err) })
			return
		}
		m = newMessage(head, in.Data)
	}
	now := time.Now()
	if g.publish(m, from, now) {
		h.bound(device, now)
	}
}

// Lost has publishers send again.
func (h *hub) Lost() {
	h.log.Warn("stored fixes may be lost: publishers are closed, to send again")
	for _, v := range h.everyone() {
		if v.publisher {
			v.shut(websocket.CloseServiceRestart, shared.SendAgain)
		}
	}
}

// pass takes every lock once: the caller waits for as long as one of them is held, and holds up no other goroutine
// meanwhile.
func (h *hub) pass() {
	for _, g := range h.all() {
		g.wantsRaw()
	}
}

// everyone returns the members of all groups.
func (h *hub) everyone() (all []*viewer) {
	for _, g := range h.all() {
		g.mu.Lock()
		all = append(all, g.members...)
		g.mu.Unlock()
	}
	return all
}

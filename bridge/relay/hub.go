package relay

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"
)

var (
	errClosing = errors.New("the relay is shutting down")
	errGroups  = errors.New("the relay holds as many groups as it can")
	errConns   = errors.New("the relay holds as many connections as it can (relay.max_conns)")
)

// hub holds the groups and what they share: bounds, counters, shutdown.
type hub struct {
	// Set once.
	limits limits
	log    *slog.Logger

	// Counters.
	conns      atomic.Int64 // admitted, joined or about to
	viewers    atomic.Int64
	publishers atomic.Int64
	raw        atomic.Int64 // members that want NMEA
	dropped    atomic.Int64 // messages that left a viewer's queue unsent
	closedSlow atomic.Int64
	ignored    atomic.Int64 // text frames from viewers
	messages   atomic.Int64 // published, without repeats
	delivered  atomic.Int64 // messages written to members
	repeats    atomic.Int64 // messages that a publisher sent again
	refused    [refusals]atomic.Int64

	refusedLog [refusals]rate.Sometimes
	slowLog    rate.Sometimes
	closedLog  rate.Sometimes
	queued     atomic.Int64 // bytes of messages in queues of members, each message once
	kept       atomic.Int64 // bytes in all histories
	crowded    atomic.Int64 // unix seconds at which no group could make room

	running sync.WaitGroup // the goroutines of all viewers

	// Guarded by mu.
	mu      sync.RWMutex
	groups  map[string]*group
	closing bool
}

func newHub(l limits, log *slog.Logger) *hub {
	h := &hub{limits: l, log: log, groups: make(map[string]*group)}
	h.slowLog.Interval, h.closedLog.Interval = time.Minute, time.Minute
	for why := range h.refusedLog {
		h.refusedLog[why].Interval = time.Minute
	}
	return h
}

// refusal is why a request or a connection was refused.
type refusal int

const (
	refusedToken  refusal = iota // no token, or a wrong one
	refusedOrigin                // a page of another site, or a name that is not this machine's
	refusedRate                  // too many requests from one address
	refusedFull                  // too many connections or groups
	refusals                     // how many there are
)

var refusalNames = [refusals]string{"token", "origin", "rate", "full"}

// refuse counts a refusal of the client at the address peer, and logs one of each kind a minute: a tracker with a wrong token
// must be found, and a flood must not fill the log.
func (h *hub) refuse(why refusal, peer string) {
	n := h.refused[why].Add(1)
	h.refusedLog[why].Do(func() { h.log.Warn("refused", "why", refusalNames[why], "peer", peer, "so_far", n) })
}

// lookup gives the group if it exists, without making one.
func (h *hub) lookup(device string) *group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.groups[device]
}

// group gives the group of device, made if need be. Above the bound the group
// that was silent longest and has no members makes room.
func (h *hub) group(device string) (*group, error) {
	if g := h.lookup(device); g != nil {
		return g, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if g := h.groups[device]; g != nil {
		return g, nil
	}
	if h.closing {
		return nil, errClosing
	}
	if len(h.groups) >= h.limits.groups && !h.forgetOne("") {
		return nil, errGroups
	}
	g := &group{hub: h, device: device, heard: time.Now()}
	h.groups[device] = g
	return g, nil
}

// forgetOne removes the group that has no members and is silent longest, but
// not that of device except. Under h.mu.
func (h *hub) forgetOne(except string) bool {
	var oldest *group
	var since time.Time
	for _, g := range h.groups {
		if g.device == except {
			continue
		}
		if t, idle := g.idleSince(); idle && (oldest == nil || t.Before(since)) {
			oldest, since = g, t
		}
	}
	return oldest != nil && h.remove(oldest, func() bool { return true })
}

// remove forgets g if it has no members and when, asked under its lock, agrees.
// Under h.mu.
func (h *hub) remove(g *group, when func() bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.members) > 0 || !when() {
		return false
	}
	g.gone = true
	h.kept.Add(int64(-g.kept()))
	delete(h.groups, g.device)
	return true
}

// sweep forgets the groups that were not used for limits.forget.
func (h *hub) sweep(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range h.groups {
		h.remove(g, func() bool { return now.Sub(g.heard) > h.limits.forget })
	}
}

// quota is what one group may keep when all together keep too much: an equal
// share.
func (h *hub) quota() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.limits.totalBytes / max(1, len(h.groups))
}

// publish gives m to the group of device; from is its publisher, nil for the
// program itself. The loop is for a group that was forgotten in between.
func (h *hub) publish(device string, m *message, from *viewer) error {
	now := time.Now()
	for {
		g, err := h.group(device)
		if err != nil {
			return err
		}
		if g.publish(m, from, now) {
			break
		}
	}
	h.makeRoom(device, now)
	for h.queued.Load() > int64(h.limits.queuedBytes) && h.relieve() {
	}
	return nil
}

// relieve closes the member with the most queued, in bytes. It is false when nothing is queued.
func (h *hub) relieve() bool {
	h.mu.RLock()
	groups := slices.Collect(maps.Values(h.groups))
	h.mu.RUnlock()
	var heaviest *viewer
	most := 0
	for _, g := range groups {
		if v, size := g.heaviest(); size > most {
			heaviest, most = v, size
		}
	}
	if heaviest == nil {
		return false
	}
	h.closeHeavy(heaviest, websocket.CloseTryAgainLater, "too much is queued for this client")
	return true
}

// closeHeavy closes v without what is queued for it.
func (h *hub) closeHeavy(v *viewer, code int, reason string) {
	first := v.shut(code, reason)
	size := v.discard()
	if first {
		n := h.closedSlow.Add(1)
		h.closedLog.Do(func() {
			h.log.Warn("member closed: "+reason, "device_id", v.group.device, "member", v.peer, "queued", size, "so_far", n)
		})
	}
}

// makeRoom brings what the groups keep back under the bound: first by
// forgetting groups without members, then by shortening the history of the
// group that grew. In a fleet where all groups have members the search for the first
// would be most of the work, so it is made once a second.
func (h *hub) makeRoom(device string, now time.Time) {
	over := func() bool { return h.kept.Load() > int64(h.limits.totalBytes) }
	if !over() {
		return
	}
	if now.Unix() != h.crowded.Load() {
		h.mu.Lock()
		for over() && h.forgetOne(device) {
		}
		h.mu.Unlock()
	}
	if !over() {
		return
	}
	h.crowded.Store(now.Unix())
	if g := h.lookup(device); g != nil {
		g.trim(h.quota())
	}
}

// admit reserves a place for one connection; release gives it back.
func (h *hub) admit() error {
	if h.conns.Add(1) > int64(h.limits.conns) {
		h.conns.Add(-1)
		return errConns
	}
	return nil
}

func (h *hub) release() { h.conns.Add(-1) }

// join makes v a member. want is how many TPV of the history it gets first.
func (h *hub) join(v *viewer, device string, want int) error {
	for {
		g, err := h.group(device)
		if err != nil {
			return err
		}
		if g.join(v, want) {
			if v.publisher {
				g.crowd()
			}
			return nil
		}
	}
}

// start gives a member its connection and its two goroutines.
func (h *hub) start(v *viewer, conn *websocket.Conn) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closing {
		return errClosing
	}
	v.conn, v.wire = conn, conn.NetConn().(*wire)
	if !v.publisher {
		v.wire.budget = newViewerBudget()
	}
	h.running.Go(v.write)
	h.running.Go(v.read)
	return nil
}

// left forgets a group that has no members and never had a message.
func (h *hub) left(g *group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.groups[g.device] == g {
		h.remove(g, func() bool { return g.messages == 0 })
	}
}

// close closes every member's connection, waits for the close handshakes and ends
// what is left. No goroutine of a viewer runs after it.
func (h *hub) close() {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	for _, v := range h.everyone() {
		v.shut(websocket.CloseGoingAway, "the relay is shutting down")
	}
	done := make(chan struct{})
	go func() { h.running.Wait(); close(done) }()
	// One linger for what is queued and the close frame, one for the answer.
	limit := time.NewTimer(2*h.limits.linger + h.limits.linger/2)
	defer limit.Stop()
	select {
	case <-done:
		return
	case <-limit.C:
	}
	for _, v := range h.everyone() {
		if v.conn != nil { // nil: still shaking hands, start will refuse it
			v.conn.Close()
		}
	}
	<-done
}

// pass takes every lock once: the caller waits for as long as one of them is held,
// and holds up no other goroutine meanwhile.
func (h *hub) pass() {
	h.mu.RLock()
	all := slices.Collect(maps.Values(h.groups))
	h.mu.RUnlock()
	for _, g := range all {
		g.wantsRaw()
	}
}

// count is how many groups there are.
func (h *hub) count() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.groups)
}

func (h *hub) everyone() []*viewer {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var all []*viewer
	for _, g := range h.groups {
		all = append(all, g.everyone()...)
	}
	return all
}

package relay

import (
	"context"
	"slices"
	"time"

	shared "gpsbridge/bridge/group"

	"golang.org/x/sync/errgroup"
)

// gap is a place in the messages of a group where some are missing: the layer had no connection. What comes later is held until the
// missing ones are fetched from the store, so that members get all in order.
type gap struct {
	held []held
}

// held is a message that came, and its publisher.
type held struct {
	*message
	from *viewer
}

const (
	// gapLimit is for how long messages are held: after that members miss some.
	gapLimit = 10 * time.Second
	// gapRetry is how long the store is left before it is asked again.
	gapRetry = 100 * time.Millisecond
)

// Missed fetches what the groups have missed of which members may care. What a tracker alone in its group has sent it sends again.
func (h *hub) Missed() {
	var gaps []*group
	for _, g := range h.all() {
		if g.openGap() {
			gaps = append(gaps, g)
		}
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	if len(gaps) == 0 || h.closing {
		return
	}
	h.running.Go(func() {
		ctx, cancel := context.WithTimeout(h.publishing, gapLimit)
		defer cancel()
		var fetching errgroup.Group
		fetching.SetLimit(storeAsks)
		for _, g := range gaps {
			fetching.Go(func() error {
				g.fill(h.missed(ctx, g))
				return nil
			})
		}
		fetching.Wait()
	})
}

// openGap begins to hold what comes to g, unless it does already or need not.
func (g *group) openGap() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	alone := len(g.members) == 0 || len(g.members) == 1 && g.members[0].publisher
	if g.gap != nil || alone || len(g.seen) == 0 {
		return false
	}
	g.gap = &gap{}
	return true
}

// hold holds m, which comes at now. When that is half of what the queue of a member takes, the gap stays. Under g.mu.
func (g *group) hold(m *message, from *viewer, now time.Time) {
	g.gap.held = append(g.gap.held, held{m, from})
	if len(g.gap.held) > g.hub.limits.queue/2 {
		g.closeGap(nil, now)
	}
}

// missed are the stored messages after the last that g has. It waits for the layer until ctx ends.
func (h *hub) missed(ctx context.Context, g *group) []*message {
	for _, most := range []int{mostComing, seenKeys} {
		list, _, err := h.layer.History(ctx, g.device, shared.Key{}, most)
		for err != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(gapRetry):
				list, _, err = h.layer.History(ctx, g.device, shared.Key{}, most)
			}
		}
		if missing, found := g.missing(framed(list)); found {
			return missing
		}
	}
	return nil
}

// missing are those of the newest messages that came after the last that g has; found is false where none of them is one that g has.
func (g *group) missing(newest []*message) (missing []*message, found bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, m := range slices.Backward(newest) {
		if slices.Contains(g.seen, m.head.key()) {
			return newest[i+1:], true
		}
	}
	return nil, false
}

// fill gives the group's members what is missing, and then what was held.
func (g *group) fill(missing []*message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gap != nil {
		g.closeGap(missing, time.Now())
	}
}

// closeGap is fill under g.mu. What was held and is among the missing too goes out once, in the place that it has there.
func (g *group) closeGap(missing []*message, now time.Time) {
	list := g.gap.held
	g.gap = nil
	for _, m := range missing {
		key := m.head.key()
		if i := slices.IndexFunc(list, func(h held) bool { return h.head.key() == key }); i >= 0 {
			g.give(list[i].message, list[i].from, now)
			list = slices.Delete(list, i, i+1)
		} else {
			g.give(m, nil, now)
		}
	}
	for _, m := range list {
		g.give(m.message, m.from, now)
	}
}

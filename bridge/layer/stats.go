package layer

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gpsbridge/bridge/problem"
)

// Stats are what a Layer has done since it was opened.
type Stats struct {
	Published    uint64 `json:"published"`     // messages that Publish carried
	Refused      uint64 `json:"refused"`       // messages that could not be stored as durably as is configured
	Losses       uint64 `json:"losses"`        // times that Redis had lost stored fixes
	Received     uint64 `json:"received"`      // messages given to the receiver, own ones too
	Undecodable  uint64 `json:"undecodable"`   // messages on a group's channel that were none: something else writes there, or keys differ
	Dropped      uint64 `json:"dropped"`       // messages that came faster than this node could handle
	OverCapacity uint64 `json:"over_capacity"` // messages that a queue of the Django application had no room for, even after a second
	Sessions     uint64 `json:"sessions"`      // sessions begun: 1, and 1 more for each failover or broken connection
	Groups       uint64 `json:"groups"`        // groups joined now
}

// counters are Stats while they grow.
type counters struct {
	published, refused, losses, received, undecodable, dropped, overCapacity, sessions atomic.Uint64

	log *slog.Logger

	mu         sync.Mutex
	unreadable problem.Changes
}

// unread notes that a message of a group could not be read, and logs why, once a minute at the most.
func (n *counters) unread(err error) {
	n.undecodable.Add(1)
	p := problem.Of(err)
	n.mu.Lock()
	worth, _ := n.unreadable.Report(p, time.Now())
	n.mu.Unlock()
	if worth {
		n.log.Warn("a message of a group cannot be read", slog.Any("problem", p))
	}
}

// Stats returns the counters.
func (l *Layer) Stats() Stats {
	return Stats{
		Published:    l.counters.published.Load(),
		Refused:      l.counters.refused.Load(),
		Losses:       l.counters.losses.Load(),
		Received:     l.counters.received.Load(),
		Undecodable:  l.counters.undecodable.Load(),
		Dropped:      l.counters.dropped.Load(),
		OverCapacity: l.counters.overCapacity.Load(),
		Sessions:     l.counters.sessions.Load(),
		Groups:       uint64(l.members.count()),
	}
}

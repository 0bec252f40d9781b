package relay

import (
	"sync/atomic"
	"time"
)

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

// minutely is what is done once a minute at the most, by whoever comes first.
type minutely struct{ last atomic.Int64 } // unix seconds

func (m *minutely) due(now time.Time) bool {
	last := m.last.Load()
	return now.Unix()-last >= 60 && m.last.CompareAndSwap(last, now.Unix())
}

// refuse counts a refusal of who is at the address peer, and says one of each
// kind a minute: a tracker with a wrong token must be found, and a flood must not
// fill the log.
func (h *hub) refuse(why refusal, peer string) {
	n := h.refused[why].Add(1)
	if h.refusedSaid[why].due(time.Now()) {
		h.log.Warn("refused", "why", refusalNames[why], "peer", peer, "so_far", n)
	}
}

// Metric is one thing that the relay counts, for who watches over many. None of them has a device ID or an address for a
// label.
type Metric struct {
	Name, Help string // Name as Prometheus has it, without a prefix
	Counter    bool   // it only grows; otherwise it is a gauge
	Samples    []Sample
}

// Sample is a value of a Metric.
type Sample struct {
	Value  float64
	Labels []string // names and values in turn
}

// Metrics are the relay's numbers as they are now.
func (r *Relay) Metrics() []Metric {
	h := r.hub
	gauge := func(name, help string, v float64) Metric { return Metric{name, help, false, []Sample{{Value: v}}} }
	counter := func(name, help string, v int64) Metric {
		return Metric{name, help, true, []Sample{{Value: float64(v)}}}
	}
	refused := Metric{Name: "refused_total", Help: "Requests and connections refused.", Counter: true}
	for why, name := range refusalNames {
		refused.Samples = append(refused.Samples, Sample{float64(h.refused[why].Load()), []string{"why", name}})
	}
	return []Metric{
		gauge("viewers", "Members of groups that listen.", float64(h.viewers.Load())),
		gauge("publishers", "Members of groups that may send.", float64(h.publishers.Load())),
		gauge("groups", "Device IDs with members or with messages kept.", float64(h.count())),
		gauge("history_bytes", "Memory of the messages kept for those who join.", float64(h.kept.Load())),
		counter("messages_total", "Messages published, without repeats.", h.messages.Load()),
		counter("repeats_total", "Messages that a publisher sent again.", h.repeats.Load()),
		counter("deliveries_total", "Messages written to members, history included.", h.delivered.Load()),
		counter("dropped_total", "Messages that a viewer's full queue lost.", h.dropped.Load()),
		counter("closed_slow_total", "Members closed for taking nothing or too little.", h.closedSlow.Load()),
		counter("ignored_total", "Text frames of viewers, who may not send.", h.ignored.Load()),
		refused,
	}
}

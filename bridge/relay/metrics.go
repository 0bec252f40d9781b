package relay

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

// refuse counts a refusal of who is at the address peer, and says one of each
// kind a minute: a tracker with a wrong token must be found, and a flood must not
// fill the log.
func (h *hub) refuse(why refusal, peer string) {
	n, now := h.refused[why].Add(1), time.Now().Unix()
	last := h.refusedSaid[why].Load()
	if now-last >= 60 && h.refusedSaid[why].CompareAndSwap(last, now) {
		h.log.Warn("refused", "why", refusalNames[why], "peer", peer, "so_far", n)
	}
}

// metric is one number of the hub for Prometheus.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(h *hub) float64
}

// collector gives the numbers of a hub as they are when they are asked for.
type collector struct {
	hub     *hub
	metrics []metric
	refused *prometheus.Desc
}

// Collector gives the relay's numbers to a prometheus.Registry: gpsbridge_relay_*.
// None of them has a device ID or an address for a label.
func (r *Relay) Collector() prometheus.Collector {
	name := func(s string) string { return prometheus.BuildFQName("gpsbridge", "relay", s) }
	make := func(kind prometheus.ValueType, s, help string, value func(h *hub) float64) metric {
		return metric{prometheus.NewDesc(name(s), help, nil, nil), kind, value}
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	return &collector{
		hub: r.hub,
		metrics: []metric{
			make(gauge, "viewers", "Members of groups that listen.", func(h *hub) float64 { return float64(h.viewers.Load()) }),
			make(gauge, "publishers", "Members of groups that may send.", func(h *hub) float64 { return float64(h.publishers.Load()) }),
			make(gauge, "groups", "Device IDs with members or with messages kept.", func(h *hub) float64 { return float64(h.count()) }),
			make(gauge, "history_bytes", "Memory of the messages kept for those who join.", func(h *hub) float64 { return float64(h.kept.Load()) }),
			make(counter, "messages_total", "Messages published, without repeats.", func(h *hub) float64 { return float64(h.messages.Load()) }),
			make(counter, "repeats_total", "Messages that a publisher sent again.", func(h *hub) float64 { return float64(h.repeats.Load()) }),
			make(counter, "deliveries_total", "Messages written to members, history included.", func(h *hub) float64 { return float64(h.delivered.Load()) }),
			make(counter, "dropped_total", "Messages that a viewer's full queue lost.", func(h *hub) float64 { return float64(h.dropped.Load()) }),
			make(counter, "closed_slow_total", "Members closed for taking nothing.", func(h *hub) float64 { return float64(h.closedSlow.Load()) }),
			make(counter, "ignored_total", "Text frames of viewers, who may not send.", func(h *hub) float64 { return float64(h.ignored.Load()) }),
		},
		refused: prometheus.NewDesc(name("refused_total"), "Requests and connections refused.", []string{"why"}, nil),
	}
}

func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		to <- m.desc
	}
	to <- c.refused
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	for _, m := range c.metrics {
		to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(c.hub))
	}
	for why, name := range refusalNames {
		to <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(c.hub.refused[why].Load()), name)
	}
}

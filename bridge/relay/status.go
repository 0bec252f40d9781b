package relay

import (
	"cmp"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay/page"
)

// maxListed bounds the devices in a Status: a page polls it every second.
const maxListed = 500

// Status is what the relay is doing.
type Status struct {
	Viewers    int64 `json:"viewers"`
	Publishers int64 `json:"publishers"`
	// Problem is why the relay does not listen; nil while it does, and before Listen.
	Problem *problem.Problem `json:"problem,omitempty"`
	// TLS is the SHA-256 fingerprint of the relay's certificate; "" without one.
	TLS string `json:"tls,omitempty"`
	// Dropped counts messages that a viewer's full queue lost, ClosedSlow the viewers that were closed for reading nothing
	// or too little.
	Dropped    int64 `json:"dropped"`
	ClosedSlow int64 `json:"closed_slow"`
	// Ignored counts text frames of viewers, which may not send.
	Ignored int64 `json:"ignored"`
	// Repeats counts messages that publishers sent again.
	Repeats int64 `json:"repeats"`
	// Messages counts what was published, without repeats, and Delivered what was written to members; Refused the requests
	// and connections that were refused.
	Messages  int64 `json:"messages"`
	Delivered int64 `json:"delivered"`
	Refused   int64 `json:"refused"`
	// Devices are the groups by device ID, at most 500: those with the newest messages. Groups is how many there are.
	Groups  int            `json:"groups"`
	Devices []DeviceStatus `json:"devices"`
	// Page is what the viewer page may ask for.
	Page PageStatus `json:"page"`
}

// DeviceStatus is one group.
type DeviceStatus struct {
	DeviceID   string `json:"device_id"`
	Messages   uint64 `json:"messages"` // without repeats
	Viewers    int    `json:"viewers"`
	Publishers int    `json:"publishers"`
	// Age and FixAge are seconds since the last message and since the last TPV; absent when there was none.
	Age    *float64 `json:"age,omitempty"`
	FixAge *float64 `json:"fix_age,omitempty"`
}

// Status is safe from any goroutine.
func (r *Relay) Status() Status {
	h := r.hub
	s := Status{
		Dropped: h.dropped.Load(), ClosedSlow: h.closedSlow.Load(), Ignored: h.ignored.Load(), Repeats: h.repeats.Load(),
		Messages: h.messages.Load(), Delivered: h.delivered.Load(), TLS: r.Fingerprint(), Page: r.pageStatus(), Problem: r.trouble(),
	}
	for why := range h.refused {
		s.Refused += h.refused[why].Load()
	}
	now := time.Now()
	groups := h.all()
	s.Groups, s.Devices = len(groups), make([]DeviceStatus, 0, len(groups))
	for _, g := range groups {
		d := g.status(now)
		s.Viewers += int64(d.Viewers)
		s.Publishers += int64(d.Publishers)
		s.Devices = append(s.Devices, d)
	}
	if len(s.Devices) > maxListed {
		slices.SortFunc(s.Devices, func(a, b DeviceStatus) int { return cmp.Compare(a.silence(), b.silence()) })
		s.Devices = s.Devices[:maxListed]
	}
	slices.SortFunc(s.Devices, func(a, b DeviceStatus) int { return cmp.Compare(a.DeviceID, b.DeviceID) })
	return s
}

func (r *Relay) trouble() *problem.Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.problem
}

// silence orders devices by their last message.
func (d DeviceStatus) silence() float64 {
	if d.Age == nil {
		return 1e18
	}
	return *d.Age
}

func (g *group) status(now time.Time) DeviceStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := DeviceStatus{DeviceID: g.device, Messages: g.messages, Viewers: len(g.members)}
	for _, v := range g.members {
		if v.publisher {
			s.Publishers++
			s.Viewers--
		}
	}
	if g.messages > 0 {
		s.Age = new(seconds(now.Sub(g.heard)))
	}
	if !g.fixed.IsZero() {
		s.FixAge = new(seconds(now.Sub(g.fixed)))
	}
	return s
}

// seconds keeps milliseconds: the page shows tenths.
func seconds(d time.Duration) float64 { return float64(max(0, d).Milliseconds()) / 1000 }

// PageStatus is what the viewer page may ask for beside its own files. A browser writes an error on its console for
// everything that it does not get, so the page asks for nothing that is not there.
type PageStatus struct {
	Map     bool `json:"map"`     // /dist/map.js was generated
	Basemap bool `json:"basemap"` // /basemap.pmtiles can be read
	Track   bool `json:"track"`   // the tracks reach back for 24 hours, however few fixes ?history= gives
}

func (r *Relay) pageStatus() PageStatus {
	_, err := fs.Stat(page.Dist(), "map.js.gz")
	s := PageStatus{Map: err == nil, Track: r.config.Track != nil}
	if r.config.Basemap != "" {
		_, err = os.Stat(r.config.Basemap)
		s.Basemap = err == nil
	}
	return s
}

// Metric is one thing that the relay counts, for monitoring. None of them has a device ID or an address for a label.
type Metric struct {
	Name, Help string // Name as Prometheus has it, without a prefix
	Counter    bool   // it only grows; otherwise it is a gauge
	Samples    []Sample
}

// Sample is a value of a Metric.
type Sample struct {
	Value  float64
	Labels []string // names and values alternate
}

// Metrics are the relay's numbers as they are now.
func (r *Relay) Metrics() []Metric {
	h, s := r.hub, r.Status()
	gauge := func(name, help string, v float64) Metric { return Metric{name, help, false, []Sample{{Value: v}}} }
	counter := func(name, help string, v int64) Metric {
		return Metric{name, help, true, []Sample{{Value: float64(v)}}}
	}
	refused := Metric{Name: "refused_total", Help: "Requests and connections refused.", Counter: true}
	for why, name := range refusalNames {
		refused.Samples = append(refused.Samples, Sample{float64(h.refused[why].Load()), []string{"why", name}})
	}
	both := func(name, help string, in, out *atomic.Int64) Metric {
		return Metric{name, help, true, []Sample{
			{float64(in.Load()), []string{"direction", "in"}}, {float64(out.Load()), []string{"direction", "out"}},
		}}
	}
	b := &h.packedBytes
	return []Metric{
		gauge("viewers", "Members of groups that listen.", float64(s.Viewers)),
		gauge("publishers", "Members of groups that may send.", float64(s.Publishers)),
		gauge("groups", "Device IDs with members or with messages kept.", float64(s.Groups)),
		gauge("history_bytes", "Memory of the messages kept for members that join later.", float64(h.kept.Load())),
		counter("messages_total", "Messages published, without repeats.", s.Messages),
		counter("repeats_total", "Messages that a publisher sent again.", s.Repeats),
		counter("deliveries_total", "Messages written to members, history included.", s.Delivered),
		counter("dropped_total", "Messages that a viewer's full queue lost.", s.Dropped),
		counter("closed_slow_total", "Members closed for reading nothing or too little.", s.ClosedSlow),
		counter("unpublished_total", "Publishers closed because the layer did not take their messages.", h.unpublished.Load()),
		gauge("compressed_members", "Members of groups with compression.", float64(h.packed.Load())),
		both("compressed_bytes_total", "Bytes of members with compression, frames included.", &b.in, &b.out),
		both("inflated_bytes_total", "What compressed_bytes_total is without compression.", &b.inflatedIn, &b.inflatedOut),
		counter("ignored_total", "Text frames of viewers, which may not send.", s.Ignored),
		refused,
	}
}

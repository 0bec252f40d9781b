package relay

import (
	"cmp"
	"slices"
	"time"

	"gpsbridge/bridge/problem"
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
	// Dropped counts messages that a viewer's full queue lost, ClosedSlow the
	// viewers that were closed for taking nothing or too little.
	Dropped    int64 `json:"dropped"`
	ClosedSlow int64 `json:"closed_slow"`
	// Ignored counts text frames of viewers, who may not send.
	Ignored int64 `json:"ignored"`
	// Repeats counts messages that publishers sent again.
	Repeats int64 `json:"repeats"`
	// Messages counts what was published, without repeats, and Delivered what was
	// written to members; Refused the requests and connections that were refused.
	Messages  int64 `json:"messages"`
	Delivered int64 `json:"delivered"`
	Refused   int64 `json:"refused"`
	// Devices are the groups by device ID, at most 500: those heard last.
	// Groups says how many there are.
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
	// Age and FixAge are seconds since the last message and since the last TPV;
	// absent when there was none.
	Age    *float64 `json:"age,omitempty"`
	FixAge *float64 `json:"fix_age,omitempty"`
}

// Status is safe from any goroutine.
func (r *Relay) Status() Status {
	h := r.hub
	s := Status{
		Viewers: h.viewers.Load(), Publishers: h.publishers.Load(), Dropped: h.dropped.Load(),
		ClosedSlow: h.closedSlow.Load(), Ignored: h.ignored.Load(), Repeats: h.repeats.Load(),
		Messages: h.messages.Load(), Delivered: h.delivered.Load(), TLS: r.Fingerprint(),
		Page: r.pageStatus(), Problem: r.trouble(),
	}
	for why := range h.refused {
		s.Refused += h.refused[why].Load()
	}
	now := time.Now()
	h.mu.RLock()
	s.Groups = len(h.groups)
	s.Devices = make([]DeviceStatus, 0, len(h.groups))
	for _, g := range h.groups {
		s.Devices = append(s.Devices, g.status(now))
	}
	h.mu.RUnlock()
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

// silence orders devices by who was heard last.
func (d DeviceStatus) silence() float64 {
	if d.Age == nil {
		return 1e18
	}
	return *d.Age
}

func (g *group) status(now time.Time) DeviceStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := DeviceStatus{DeviceID: g.device, Messages: g.messages, Publishers: g.publishers, Viewers: len(g.members) - g.publishers}
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

// status is the answer of GET /api/v1/status.
func (r *Relay) status() any {
	if r.config.Status != nil {
		return r.config.Status()
	}
	return struct {
		Role    string    `json:"role"`
		Started time.Time `json:"started"`
		Now     time.Time `json:"now"`
		Relay   Status    `json:"relay"`
	}{"server", r.started.UTC(), time.Now().UTC(), r.Status()}
}

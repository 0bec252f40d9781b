package main

import (
	"context"
	"fmt"
	"time"
)

// most is what the relay does at the most on one processor, and at rest.
type most struct {
	Viewers int `json:"viewers"`
	// Idle is the memory of the viewers before the first message, MB.
	Idle float64 `json:"idle_mb"`
	// Best is the highest rate of deliveries at which all came and p99 was below mostP99, absent where there was none.
	Best *delivered `json:"best,omitempty"`
	P99  float64    `json:"p99_ms,omitempty"`
	// BesideFloor is the processor time of a delivery in the floor's at the same rate.
	BesideFloor float64 `json:"cpu_beside_floor,omitempty"`
	// Bounded says that no higher rate was tried, because this machine's viewers have enough to do.
	Bounded bool `json:"bounded,omitempty"`
}

// The search: from below what every machine does up by halves, then twice between what was kept up with and what not.
const (
	mostP99   = 100 * time.Millisecond
	mostFrom  = 20_000.0 // deliveries a second
	mostTo    = 1_000_000.0
	mostStep  = 1.5
	mostFor   = 2 * time.Second
	mostHalve = 2
	// mostTakes is about how long it takes: some twelve measurements.
	mostTakes = 40 * time.Second
)

// seekMost seeks the most deliveries of the relay among the servers that were chosen.
func seekMost(ctx context.Context, w world, viewers int, chosen []server) (*most, error) {
	m := &most{Viewers: viewers}
	for _, s := range chosen {
		if s.name == "relay" {
			fmt.Fprintf(w.stderr, "%s, %d viewers, on one processor: the most deliveries\n", s.title, viewers)
			if err := m.seek(ctx, s); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range chosen {
		if s.name == "floor" && m.Best != nil {
			if err := m.compare(ctx, s); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

func (m *most) seek(ctx context.Context, s server) error {
	open, err := openSession(ctx, s, m.Viewers, 1)
	if err != nil {
		return err
	}
	defer open.close()
	m.Idle = open.idle - open.empty
	good, bad := 0.0, 0.0
	for next, halved := mostFrom, 0; ; {
		kept, err := m.try(ctx, open, next)
		if err == nil && !kept { // once more: it may have been something else on the machine
			kept, err = m.try(ctx, open, next)
		}
		if err != nil {
			return err
		}
		if kept {
			good = next
		} else {
			bad = next
		}
		switch {
		case bad > 0 && (halved == mostHalve || good == 0):
			return nil
		case bad > 0:
			next, halved = (good+bad)/2, halved+1
		case good*mostStep > mostTo:
			m.Bounded = true
			return nil
		default:
			next = good * mostStep
		}
	}
}

// try publishes for so many deliveries a second and says whether the server kept up.
func (m *most) try(ctx context.Context, open *session, deliveries float64) (kept bool, err error) {
	rate := deliveries / float64(m.Viewers)
	if _, err := open.publisher.publish(ctx, rate, warmUp/2); err != nil {
		return false, err
	}
	d, err := open.measure(ctx, rate, mostFor)
	if err != nil {
		return false, err
	}
	p99, ok := d.p(0.99)
	if kept = ok && d.whole() && p99 < float64(mostP99)/float64(time.Millisecond); kept {
		m.Best, m.P99 = &d, p99
	}
	return kept, nil
}

// compare has the floor deliver as much.
func (m *most) compare(ctx context.Context, s server) error {
	open, err := openSession(ctx, s, m.Viewers, 1)
	if err != nil {
		return err
	}
	defer open.close()
	d, err := open.measure(ctx, m.Best.PerSecond/float64(m.Viewers), mostFor)
	if err == nil && d.CPU > 0 {
		m.BesideFloor = m.Best.CPU / d.CPU
	}
	return err
}

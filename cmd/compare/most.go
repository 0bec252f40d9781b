package main

import (
	"context"
	"fmt"
	"time"

	"gpsbridge/cmd/internal/command"
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

// The search, from below what every machine does.
const (
	mostP99   = 100 * time.Millisecond
	mostFrom  = 20_000.0 // deliveries a second
	mostTo    = 1_000_000.0
	mostStep  = 1.5
	mostFor   = 2 * time.Second
	mostHalve = 2
	// mostTakes is about how long it takes: some fourteen measurements.
	mostTakes = 40 * time.Second
)

// seekMost seeks the most deliveries of the relay among the servers that were chosen.
func seekMost(ctx context.Context, w command.Process, viewers int, chosen []server) (*most, error) {
	m := &most{Viewers: viewers}
	for _, s := range chosen {
		if s.name == "relay" {
			fmt.Fprintf(w.Stderr, "%s, %d viewers, on one processor: the most deliveries\n", s.title, viewers)
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
	search := climb{step: mostStep, top: mostTo, next: mostFrom}
	for search.next > 0 {
		kept, err := m.try(ctx, open, search.next)
		if err != nil {
			return err
		}
		search.result(kept)
	}
	m.Bounded = search.bounded
	return nil
}

// climb looks for the highest rate that is kept up with: up in steps until two in a row are not, because one may be the
// machine's fault, then halfway between the best and the one above it, twice.
type climb struct {
	step, top float64
	next      float64 // to try; 0 when the search is over
	bounded   bool    // the top was reached

	good, bad float64 // the highest kept, the lowest above it that was not
	misses    int     // in a row
	halved    int
}

// result says how next went.
func (c *climb) result(kept bool) {
	if kept {
		c.good, c.misses = c.next, 0
		if c.bad <= c.good {
			c.bad = 0 // it was not the rate
		}
	} else if c.misses++; c.bad == 0 || c.next < c.bad {
		c.bad = c.next
	}
	switch climbing := c.halved == 0 && c.misses < 2; {
	case climbing && c.next*c.step <= c.top:
		c.next *= c.step
	case climbing && kept:
		c.next, c.bounded = 0, true
	case c.good == 0 || c.halved == mostHalve:
		c.next = 0
	default:
		c.next = (c.good + c.bad) / 2
		c.halved++
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

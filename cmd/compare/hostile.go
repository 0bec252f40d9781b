package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"gpsbridge/cmd/internal/command"
)

// attack is what hostile viewers did to a server and to its other viewers.
type attack struct {
	Server  string  `json:"server"`
	LeftOut string  `json:"left_out,omitempty"`
	Viewers int     `json:"viewers"`
	Alone   tally   `json:"alone"`
	Under   tally   `json:"under_attack"`
	Attacks harm    `json:"attacks"`
	Before  float64 `json:"resident_mb_before"`
	Peak    float64 `json:"resident_mb_peak"`
}

// tally is what reached the viewers over all rounds. Delays are the medians of the rounds', so that one round in which
// the machine did something else does not decide; they are absent where half of the rounds lack them.
type tally struct {
	Expected int     `json:"expected"`
	Received int     `json:"received"`
	Median   float64 `json:"median_ms,omitempty"`
	P99      float64 `json:"p99_ms,omitempty"`
	CPU      float64 `json:"cpu_share"` // of one processor, mean

	medians, p99s []float64 // of each round, +Inf where that many did not come
}

// hostileRounds is how often viewers are alone and then under attack, so that what else the machine does hits both.
const hostileRounds = 5

// underAttack measures each server without and with attackers.
func underAttack(ctx context.Context, w command.Process, o fanoutOptions, chosen []server) ([]attack, error) {
	var all []attack
	for _, s := range chosen {
		a := attack{Server: s.title, Viewers: o.viewers[0]}
		if missing := s.missing(); missing != nil {
			a.LeftOut = missing.Error()
		} else if err := a.measure(ctx, w, s, o); err != nil {
			return all, fmt.Errorf("%s under attack: %w", s.title, err)
		}
		all = append(all, a)
	}
	return all, nil
}

func (a *attack) measure(ctx context.Context, w command.Process, s server, o fanoutOptions) error {
	open, err := openSession(ctx, s, a.Viewers, o.cores)
	if err != nil {
		return err
	}
	defer open.close()
	attackers, err := startRole("attackers")
	if err != nil {
		return err
	}
	defer attackers.end()
	a.Before = open.idle
	// What the group keeps, for the one that never reads: more than the buffers of its connection hold.
	if _, err := open.publisher.publish(ctx, o.rate*20, stallHistory*time.Second/time.Duration(o.rate*20)); err != nil {
		return err
	}
	for n := range hostileRounds {
		fmt.Fprintf(w.Stderr, "%s, %d viewers, round %d of %d: alone, under attack\n", s.title, a.Viewers, n+1, hostileRounds)
		if err := a.Alone.round(ctx, open, o); err != nil {
			return err
		}
		if err := attackers.ask(ctx, siege{Addr: open.addr}, &a.Attacks); err != nil {
			return err
		}
		if err := a.Under.round(ctx, open, o); err != nil {
			return err
		}
		if err := attackers.ask(ctx, siege{}, &a.Attacks); err != nil {
			return err
		}
	}
	a.Alone.sum()
	a.Under.sum()
	for _, p := range open.programs {
		n, err := peakMemory(p.PID())
		if err != nil {
			return err
		}
		a.Peak += float64(n) / 1e6
	}
	return nil
}

// round publishes for a part of the time and adds what came of it.
func (t *tally) round(ctx context.Context, open *session, o fanoutOptions) error {
	if _, err := open.publisher.publish(ctx, o.rate, settleFor); err != nil {
		return err
	}
	d, err := open.measure(ctx, o.rate, o.lasts/hostileRounds)
	if err != nil {
		return err
	}
	t.Expected += d.Expected
	t.Received += d.Received
	t.CPU += d.Load / hostileRounds
	t.medians = append(t.medians, orNever(d.p(0.5)))
	t.p99s = append(t.p99s, orNever(d.p(0.99)))
	return nil
}

func orNever(ms float64, ok bool) float64 {
	if !ok {
		return math.Inf(1)
	}
	return ms
}

func (t *tally) sum() {
	t.Median, t.P99 = middle(t.medians), middle(t.p99s)
}

// middle is the median, 0 where that is never.
func middle(all []float64) float64 {
	slices.Sort(all)
	if m := all[len(all)/2]; !math.IsInf(m, 1) {
		return m
	}
	return 0
}

// ratio is how many times the p99 under attack is that of viewers who are alone; 0 where one is unknown.
func (a attack) ratio() float64 {
	if a.Alone.P99 == 0 {
		return 0
	}
	return a.Under.P99 / a.Alone.P99
}

// siege tells attackers whom to attack, or with an empty address to leave off.
type siege struct {
	Addr string `json:"addr,omitempty"`
}

// harm is what the attackers have done so far.
type harm struct {
	Churned int64 `json:"churned"`       // viewers that came and left
	Garbage int64 `json:"garbage"`       // connections that ended in garbage
	Flooded int64 `json:"flooded_bytes"` // that the server's machine took from the one that sends 100 MB
	Stalled int64 `json:"stalled"`       // viewers that never read: the one, each time it was thrown out
	Refused int64 `json:"refused"`       // connections that came to nothing
}

// The attackers, a second.
const (
	churnRate   = 100
	garbageRate = 20
	floodRate   = 20 // connections, which the server ends
	floodBytes  = 100 << 20
	// stallHistory is how many of the last messages the one that never reads asks for, 200 kB.
	stallHistory = 600
)

// churnEvery is the time between two viewers that come and leave.
const churnEvery = time.Second / churnRate

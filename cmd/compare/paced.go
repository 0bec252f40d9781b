package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge/receiver/sim"
)

// paced is a receiver that sends as over a serial line.
type paced struct {
	rate, baud int
	epochs     int           // that are measured
	warmUp     int           // before them, in which programs learn what ends an epoch
	chunk      time.Duration // see pace
	apart      time.Duration // how long after one program the next gets the same bytes
}

func (s paced) name() string { return fmt.Sprintf("%dhz-%d", s.rate, s.baud) }

func (s paced) about() string { return fmt.Sprintf("%d Hz at %d baud", s.rate, s.baud) }

func (s paced) period() time.Duration { return time.Second / time.Duration(s.rate) }

// lasts is about how long run takes.
func (s paced) lasts() time.Duration {
	return time.Duration(s.warmUp+s.epochs)*s.period() + time.Second
}

// leadTime is from the start of the programs to the first epoch: they open their line and are idle again.
const leadTime = 400 * time.Millisecond

// grace is how long after the last epoch's period a message is still waited for.
const grace = 200 * time.Millisecond

// run plays the same epochs to all programs and measures them.
func (s paced) run(ctx context.Context, starters []starter) (outcome, error) {
	out := outcome{Scenario: s.name(), About: s.about()}
	epochs, err := simulate(sim.Config{Rate: s.rate, Baud: s.baud}, s.warmUp+s.epochs)
	if err != nil {
		out.LeftOut = err.Error() // the line is too slow
		return out, nil
	}
	out.Epochs = s.epochs
	for _, e := range epochs[s.warmUp:] {
		out.Sentences += len(e.kinds)
	}
	all, err := startAll(ctx, starters, s.baud)
	defer func() { stopAll(all) }()
	if err != nil {
		return out, err
	}
	out.Programs = make([]result, len(all))
	g, ctx := errgroup.WithContext(ctx)
	origin := time.Now().Add(leadTime)
	for i, c := range all {
		g.Go(func() error {
			r, err := s.one(ctx, c, epochs, origin.Add(time.Duration(i)*s.apart))
			r.Program = c.program.Name()
			out.Programs[i] = r
			return err
		})
	}
	return out, g.Wait()
}

// one plays to one program.
func (s paced) one(ctx context.Context, c *contender, epochs []epoch, origin time.Time) (result, error) {
	p := pace{period: s.period(), byteAt: 10 * time.Second / time.Duration(s.baud), chunk: s.chunk}
	var log []sent
	var cpu time.Duration
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		log, err = c.line.play(ctx, epochs, p, origin)
		return err
	})
	g.Go(func() (err error) {
		cpu, err = s.cpu(ctx, c, origin)
		return err
	})
	if err := g.Wait(); err != nil {
		return result{}, err
	}
	arrived, err := c.arrivals()
	if err != nil {
		return result{}, err
	}
	measured := epochs[s.warmUp:]
	r := measure(measured, log[s.warmUp:], fixes(arrived))
	sentences := 0
	for _, e := range measured {
		sentences += len(e.kinds)
	}
	r.CPU = perThousand(cpu, sentences)
	r.Memory, err = c.memory()
	return r, err
}

// cpu is what the program uses from the first measured epoch to the end of the last one's period. It returns when all
// messages have had the time to arrive.
func (s paced) cpu(ctx context.Context, c *contender, origin time.Time) (time.Duration, error) {
	if !sleepUntil(ctx, origin.Add(time.Duration(s.warmUp)*s.period())) {
		return 0, ctx.Err()
	}
	before, err := c.used()
	if err != nil {
		return 0, err
	}
	end := origin.Add(time.Duration(s.warmUp+s.epochs) * s.period())
	if !sleepUntil(ctx, end) {
		return 0, ctx.Err()
	}
	after, err := c.used()
	if err == nil && !sleepUntil(ctx, end.Add(grace)) {
		err = ctx.Err()
	}
	return after - before, err
}

// perThousand is milliseconds for a thousand sentences.
func perThousand(cpu time.Duration, sentences int) float64 {
	return float64(cpu) / float64(time.Millisecond) / float64(sentences) * 1000
}

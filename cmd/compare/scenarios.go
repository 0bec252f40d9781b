package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge/receiver/sim"
)

// scenario is one way of feeding all programs alike.
type scenario interface {
	name() string         // for --only
	lasts() time.Duration // about
	run(ctx context.Context, starters []starter) (outcome, error)
}

// paced is a receiver that sends as over a serial line.
type paced struct {
	rate, baud int
	epochs     int // that are measured
	warmUp     int // before them, in which programs learn what ends an epoch
}

func (s paced) name() string { return fmt.Sprintf("%dhz-%d", s.rate, s.baud) }

func (s paced) period() time.Duration { return time.Second / time.Duration(s.rate) }

func (s paced) lasts() time.Duration { return time.Duration(s.warmUp+s.epochs) * s.period() }

const (
	// leadTime is from the start of the programs to the first epoch: they open their line and are idle again.
	leadTime = 400 * time.Millisecond
	// grace is how long after the last epoch's period a message is still waited for.
	grace = 200 * time.Millisecond
	// apart is how long after one program the next gets the same bytes, so that they do not compete for a CPU.
	apart = 2 * time.Millisecond
)

// run plays the same epochs to all programs and measures them.
func (s paced) run(ctx context.Context, starters []starter) (outcome, error) {
	epochs, err := simulate(sim.Config{Rate: s.rate, Baud: s.baud}, s.warmUp+s.epochs)
	if err != nil {
		return outcome{LeftOut: err.Error()}, nil // the line is too slow
	}
	out := outcome{Epochs: s.epochs, Sentences: sentences(epochs[s.warmUp:])}
	all, err := startAll(ctx, starters, s.baud)
	defer func() { stopAll(all) }()
	if err != nil {
		return out, err
	}
	out.Programs = make([]result, len(all))
	g, ctx := errgroup.WithContext(ctx)
	origin := time.Now().Add(leadTime)
	for i, c := range all {
		g.Go(func() (err error) {
			out.Programs[i], err = s.one(ctx, c, epochs, origin.Add(time.Duration(i)*apart))
			return err
		})
	}
	return out, g.Wait()
}

// one plays to one program.
func (s paced) one(ctx context.Context, c *contender, epochs []epoch, origin time.Time) (result, error) {
	var log []sent
	var cpu time.Duration
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		log, err = c.line.play(ctx, epochs, s.period(), 10*time.Second/time.Duration(s.baud), origin)
		return err
	})
	g.Go(func() (err error) {
		cpu, err = s.cpu(ctx, c, origin)
		return err
	})
	if err := g.Wait(); err != nil {
		return result{}, err
	}
	list, r, err := c.finish()
	r.measure(epochs[s.warmUp:], log[s.warmUp:], list)
	r.CPU = perThousand(cpu, sentences(epochs[s.warmUp:]))
	return r, err
}

// cpu is what the program uses from the first measured epoch to the end of the last one's period. It returns when all
// messages have had the time to arrive.
func (s paced) cpu(ctx context.Context, c *contender, origin time.Time) (time.Duration, error) {
	var used [2]time.Duration
	end := origin.Add(s.lasts())
	for i, at := range []time.Time{end.Add(-time.Duration(s.epochs) * s.period()), end} {
		if !sleepUntil(ctx, at) {
			return 0, ctx.Err()
		}
		var err error
		if used[i], err = cpuTime(c.program); err != nil {
			return 0, err
		}
	}
	if !sleepUntil(ctx, end.Add(grace)) {
		return 0, ctx.Err()
	}
	return used[1] - used[0], nil
}

// perThousand is milliseconds for a thousand sentences.
func perThousand(cpu time.Duration, sentences int) float64 {
	return ms(cpu) / float64(sentences) * 1000
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// measure compares the fixes that arrived with what was sent: log is of epochs, one for one.
func (r *result) measure(epochs []epoch, log []sent, list []fix) {
	arrived := make(map[string][]time.Time) // by the time of the epoch
	for _, f := range list {
		arrived[f.time] = append(arrived[f.time], f.at)
	}
	var first, last []float64
	for i, e := range epochs {
		all := arrived[e.time]
		r.FixesPerEpoch += float64(len(all)) / float64(len(epochs))
		if len(all) == 0 {
			r.EpochsWithout++
			continue
		}
		first = append(first, ms(all[0].Sub(log[i].first)))
		last = append(last, ms(all[0].Sub(log[i].complete)))
	}
	r.FirstByte, r.LastByte = newSpan(first), newSpan(last)
}

// newSpan is nil without values.
func newSpan(values []float64) *span {
	if len(values) == 0 {
		return nil
	}
	slices.Sort(values)
	return &span{Median: percentile(values, 0.5), P99: percentile(values, 0.99)}
}

// fullSpeed plays a drive as fast as it is accepted: to one program, then to the next, and again for some rounds, so that
// each has the machine for itself and what disturbs the machine disturbs all.
type fullSpeed struct{ epochs, rounds int }

func (s fullSpeed) name() string { return "full" }

// lasts is some 15 µs a sentence, of 13 an epoch, for each of two programs.
func (s fullSpeed) lasts() time.Duration {
	return time.Duration(2*(s.rounds+1)) * (time.Duration(s.epochs)*200*time.Microsecond + idleFor)
}

func (s fullSpeed) run(ctx context.Context, starters []starter) (outcome, error) {
	epochs, err := simulate(sim.Config{}, s.epochs)
	if err != nil {
		return outcome{}, err
	}
	out := outcome{Epochs: s.epochs, Sentences: sentences(epochs)}
	all, err := startAll(ctx, starters, 115200)
	defer func() { stopAll(all) }()
	if err != nil {
		return out, err
	}
	out.Programs = make([]result, len(all))
	rates, cpus := make([][]float64, len(all)), make([][]float64, len(all))
	for n := range 1 + s.rounds {
		for i, c := range all {
			fixes, r, err := s.one(ctx, c, epochs)
			if err != nil {
				return out, err
			}
			if n == 0 { // a warm-up
				out.Programs[i] = r
				continue
			}
			r.FixesPerEpoch = out.Programs[i].FixesPerEpoch + float64(fixes)/float64(s.epochs*s.rounds)
			r.EpochsWithout = out.Programs[i].EpochsWithout + max(0, s.epochs-fixes)
			rates[i], cpus[i] = append(rates[i], r.Rate), append(cpus[i], r.CPU)
			out.Programs[i] = r
		}
	}
	for i := range out.Programs {
		out.Programs[i].Rate, out.Programs[i].CPU = newSpan(rates[i]).Median, newSpan(cpus[i]).Median
	}
	return out, nil
}

// blockSize is what is written at once: as much as a terminal's queue holds, so that the program never waits.
const blockSize = 4 << 10

// one plays the drive once, and returns the fixes that came of it, and their rate and CPU time.
func (s fullSpeed) one(ctx context.Context, c *contender, epochs []epoch) (fixes int, r result, err error) {
	var data []byte
	for _, e := range epochs {
		data = append(data, e.data...)
	}
	before, err := cpuTime(c.program)
	if err != nil {
		return 0, r, err
	}
	start := time.Now()
	for block := range slices.Chunk(data, blockSize) {
		if ctx.Err() != nil {
			return 0, r, ctx.Err()
		}
		if err := c.line.write(block); err != nil {
			return 0, r, err
		}
	}
	if err := idle(ctx, c); err != nil {
		return 0, r, err
	}
	after, err := cpuTime(c.program)
	if err != nil {
		return 0, r, err
	}
	list, r, err := c.finish()
	r.CPU = perThousand(after-before, sentences(epochs))
	r.Rate = float64(sentences(epochs)) / c.client.lastMessage().Sub(start).Seconds()
	return len(list), r, err
}

// idleFor is a silence of the client that means that the program has done its work.
const idleFor = 150 * time.Millisecond

// idle waits until the program has read all and its client has received nothing for idleFor.
func idle(ctx context.Context, c *contender) error {
	busy := time.Now()
	for end := busy.Add(stalled); time.Now().Before(end); {
		if !sleepUntil(ctx, time.Now().Add(pollEvery)) {
			return ctx.Err()
		}
		if at := c.client.lastMessage(); at.After(busy) {
			busy = at
		}
		if c.line.Unread() > 0 {
			busy = time.Now()
		}
		if time.Since(busy) > idleFor {
			return nil
		}
	}
	return fmt.Errorf("%s still works %v after the end of the drive", c.program.Name(), stalled)
}

// pollEvery is how often something is asked that does not announce itself.
const pollEvery = 10 * time.Millisecond

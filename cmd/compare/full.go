package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// fullSpeed plays a recorded log as fast as it is taken: to one program, then to the next, and again for some rounds, so
// that each has the machine for itself and what disturbs the machine disturbs all.
type fullSpeed struct {
	log    *recording
	rounds int
}

func (s fullSpeed) name() string { return "full" }

func (s fullSpeed) about() string {
	return fmt.Sprintf("full speed, %s, %d rounds of %d sentences, medians", s.log.name, s.rounds, s.log.sentences)
}

// lasts is about how long run takes.
func (s fullSpeed) lasts() time.Duration {
	return time.Duration(2*s.rounds)*(time.Duration(s.log.sentences)*15*time.Microsecond+idleFor) + time.Second
}

// round is one round of one program.
type round struct {
	fixes     int
	rate, cpu float64 // see result
}

func (s fullSpeed) run(ctx context.Context, starters []starter) (outcome, error) {
	out := outcome{Scenario: s.name(), About: s.about(), Epochs: s.log.epochs, Sentences: s.log.sentences}
	all, err := startAll(ctx, starters, 115200)
	defer func() { stopAll(all) }()
	if err != nil {
		return out, err
	}
	rounds := make([][]round, len(all))
	for n := range 1 + s.rounds {
		for i, c := range all {
			r, err := s.one(ctx, c)
			if err != nil {
				return out, err
			}
			if n > 0 { // the first is a warm-up
				rounds[i] = append(rounds[i], r)
			}
		}
	}
	for i, c := range all {
		r, err := s.summary(c, rounds[i])
		if err != nil {
			return out, err
		}
		out.Programs = append(out.Programs, r)
	}
	return out, nil
}

func (s fullSpeed) summary(c *contender, rounds []round) (result, error) {
	r := result{Program: c.program.Name()}
	var rates, cpus []float64
	for _, one := range rounds {
		r.FixesPerEpoch += float64(one.fixes) / float64(s.log.epochs*len(rounds))
		r.EpochsWithout += max(0, s.log.epochs-one.fixes)
		rates, cpus = append(rates, one.rate), append(cpus, one.cpu)
	}
	slices.Sort(rates)
	slices.Sort(cpus)
	r.Rate, r.CPU = rates[len(rates)/2], cpus[len(cpus)/2]
	var err error
	r.Memory, err = c.memory()
	return r, err
}

// blockSize is what is written at once: as much as a terminal's queue holds, so that the program never waits.
const blockSize = 4 << 10

// one plays the log once.
func (s fullSpeed) one(ctx context.Context, c *contender) (round, error) {
	before, err := c.used()
	if err != nil {
		return round{}, err
	}
	start := time.Now()
	for block := range slices.Chunk(s.log.data, blockSize) {
		if ctx.Err() != nil {
			return round{}, ctx.Err()
		}
		if err := c.line.write(block); err != nil {
			return round{}, err
		}
	}
	if err := idle(ctx, c); err != nil {
		return round{}, err
	}
	after, err := c.used()
	if err != nil {
		return round{}, err
	}
	arrived, err := c.arrivals()
	if err != nil {
		return round{}, err
	}
	r := round{fixes: len(fixes(arrived)), cpu: perThousand(after-before, s.log.sentences)}
	if took := c.client.lastMessage().Sub(start); took > 0 {
		r.rate = float64(s.log.sentences) / took.Seconds()
	}
	return r, nil
}

// idleFor is a silence of the client that means that the program has done its work.
const idleFor = 150 * time.Millisecond

// idle waits until the program has read all and its client has received nothing for idleFor.
func idle(ctx context.Context, c *contender) error {
	quiet := time.Now()
	for end := quiet.Add(stalled); ; {
		if !sleepUntil(ctx, time.Now().Add(pollEvery)) {
			return ctx.Err()
		}
		now := time.Now()
		if at := c.client.lastMessage(); at.After(quiet) {
			quiet = at
		}
		if c.line.Unread() > 0 {
			quiet = now
		}
		if now.Sub(quiet) > idleFor {
			return nil
		}
		if now.After(end) {
			return fmt.Errorf("%s still works %v after the end of the log", c.program.Name(), stalled)
		}
	}
}

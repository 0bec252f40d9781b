package receiver

import (
	"context"
	"sync"

	"gpsbridge/bridge/receiver/sim"
)

// simulated is a simulated receiver behind a real pseudo-terminal, which is opened as any other port.
type simulated struct {
	config sim.Config
}

func simulatedFrom(o *options) (opener, error) {
	c := sim.Config{
		Rate:   o.integer("rate", 1, 1, sim.MaxRate),
		Baud:   o.integer("baud", 0, 0, maxBaud),
		Seed:   uint64(o.integer("seed", 0, 0, 1<<31-1)),
		Tunnel: o.flag("tunnel"),
	}
	_, err := sim.New(c) // so that what does not fit is said at once
	return simulated{config: c}, err
}

func (s simulated) finite() bool { return false }

func (s simulated) open(context.Context) (stream, error) {
	r, err := sim.Open(s.config, "")
	if err != nil {
		return stream{}, err
	}
	baud := s.config.Baud
	if baud == 0 {
		baud = defaultBaud // a pseudo-terminal takes any
	}
	c, err := openSerial(r.Path(), baud)
	if err != nil {
		_ = r.Close()
		return stream{}, err
	}
	ctx, cancel := context.WithCancel(context.Background()) // ended by Close
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	end := sync.OnceValue(func() error {
		err := c.Close()
		cancel()
		_ = r.Close() // its errors are of a terminal that nobody sees any more
		running.Wait()
		return err
	})
	return stream{conn: onceCloser{conn: c, close: end}, port: r.Path()}, nil
}

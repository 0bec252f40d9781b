package simulated

import (
	"context"
	"sync"

	"gpsbridge/bridge/receiver/serial"
	"gpsbridge/bridge/receiver/sim"
	"gpsbridge/bridge/receiver/source"
)

// simulated is a simulated receiver, on Linux on a real pseudo-terminal, which is opened as any other port.
type simulated struct {
	config sim.Config
}

// New is the source "sim:?rate=&baud=&seed=&tunnel=".
func New(_ string, o *source.Options) (source.Source, error) {
	c := sim.Config{
		Rate:   o.Integer("rate", 1, 1, sim.MaxRate),
		Baud:   o.Integer("baud", 0, 0, serial.MaxBaud),
		Seed:   uint64(o.Integer("seed", 0, 0, 1<<31-1)),
		Tunnel: o.Flag("tunnel"),
	}
	_, err := sim.New(c) // so that what does not fit is reported at once
	return simulated{config: c}, err
}

func (simulated) Traits() source.Traits { return source.Traits{} }

func (s simulated) Open(ctx context.Context, h source.Host) (source.Stream, error) {
	r, err := sim.Open(s.config, "")
	if err != nil {
		return nil, err
	}
	line, err := s.open(ctx, r, h)
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	running := &stream{Stream: line}
	ctx, cancel := context.WithCancel(context.Background()) // ended by Close
	running.sending.Go(func() { _ = r.Run(ctx) })
	running.close = sync.OnceValue(func() error {
		err := line.Close()
		cancel()
		_ = r.Close() // its errors are of a terminal that has no reader any more
		running.sending.Wait()
		return err
	})
	return running, nil
}

// stream is the port, with the receiver that sends on it.
type stream struct {
	source.Stream
	sending sync.WaitGroup
	close   func() error
}

func (s *stream) Close() error { return s.close() }

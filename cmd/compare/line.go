package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gpsbridge/bridge/receiver/sim"
)

// line is a pseudo-terminal that stands for the serial line to one program.
type line struct{ *sim.Terminal }

// stalled is how long a program may take no bytes. The queue of a terminal holds 4 KiB, and they read it in microseconds.
const stalled = 10 * time.Second

// openLine makes a pseudo-terminal that everybody may open: gpsd gives its rights up before it does.
func openLine() (*line, error) {
	t, err := sim.OpenTerminal()
	if err != nil {
		return nil, err
	}
	if err := t.Slave.Chmod(0o666); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return &line{t}, nil
}

// write hands p to the program, and waits where its queue is full.
func (l *line) write(p []byte) error {
	if err := l.Master.SetWriteDeadline(time.Now().Add(stalled)); err != nil {
		return err
	}
	if _, err := l.Master.Write(p); err != nil {
		return fmt.Errorf("write to %s: %w", l.Path, err)
	}
	return nil
}

// pace is how a receiver sends.
type pace struct {
	period time.Duration // from epoch to epoch
	byteAt time.Duration // how long a byte takes
	chunk  time.Duration // bytes of no longer than this, and of no more than one sentence, become readable together
}

// sent is when the bytes of an epoch were on the line.
type sent struct {
	first time.Time   // the first byte was complete
	ends  []time.Time // each sentence was complete
}

// play sends epochs from origin on and returns when their sentences were written, which is later than they should have
// been by what a timer is late. Delays are counted from these moments, so a late timer is nobody's fault.
func (l *line) play(ctx context.Context, epochs []epoch, p pace, origin time.Time) ([]sent, error) {
	log := make([]sent, 0, len(epochs))
	free := origin // when the line has sent all it was given
	for i, e := range epochs {
		from := origin.Add(time.Duration(i) * p.period)
		if free.After(from) {
			from = free // the burst before was longer than the period
		}
		s := sent{ends: make([]time.Time, 0, len(e.ends))}
		for at := 0; at < len(e.data); {
			end := e.chunkEnd(at, int(p.chunk/p.byteAt))
			free = from.Add(time.Duration(end) * p.byteAt)
			if !sleepUntil(ctx, free) {
				return nil, ctx.Err()
			}
			now := time.Now()
			if err := l.write(e.data[at:end]); err != nil {
				return nil, err
			}
			if at == 0 {
				s.first = now.Add(-time.Duration(end-1) * p.byteAt)
			}
			if len(s.ends) < len(e.ends) && e.ends[len(s.ends)] == end {
				s.ends = append(s.ends, now)
			}
			at = end
		}
		log = append(log, s)
	}
	return log, nil
}

// chunkEnd is where the bytes end that become readable together with the one at offset at: behind size bytes, or behind
// the sentence.
func (e epoch) chunkEnd(at, size int) int {
	end := min(at+max(size, 1), len(e.data))
	for _, s := range e.ends {
		if s > at {
			return min(s, end)
		}
	}
	return end
}

// sleepUntil waits, and returns false when ctx has ended.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

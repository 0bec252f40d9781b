package uplink

import (
	"context"
	"errors"
	"fmt"
)

// Drain returns nil when every record that was in the queue at the call is
// acknowledged. It returns an error when ctx ends before that, and at once when
// the server cannot be reached: then waiting would be in vain. A connection
// that is being made, or made again after a loss, is waited for.
//
// While it waits, a loss of the last records is found within some round trips
// and not only by the silence.
func (u *Uplink) Drain(ctx context.Context) error {
	u.drain(1)
	defer u.drain(-1)
	target := u.queue.Last()
	for {
		u.mu.Lock()
		if u.changed == nil {
			u.changed = make(chan struct{})
		}
		changed, failed, stopped := u.changed, u.failed, u.status.State == Stopped
		u.mu.Unlock()

		acked := u.queue.Acked()
		left := target - min(acked, target)
		switch {
		case left == 0:
			return nil
		case stopped:
			return u.undrained(left, errors.New("uplink has stopped"))
		case failed != nil:
			return u.undrained(left, failed)
		}
		select {
		case <-ctx.Done():
			return u.undrained(left, context.Cause(ctx))
		case <-changed:
		}
	}
}

func (u *Uplink) undrained(left uint64, why error) error {
	return fmt.Errorf("drain uplink %q: records not acknowledged: %d: %w", u.c.Name, left, why)
}

// drain counts the calls of Drain, and has the deadlines looked at.
func (u *Uplink) drain(calls int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drains += calls
	if u.session != nil {
		signal(u.session.poke)
	}
}

func (u *Uplink) isDraining() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.drains > 0
}

package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// A port that is gone is looked for again after backoffMin, then ever more slowly up to backoffMax. One attempt costs some
// tens of microseconds, so even the slowest pace may be quick: a receiver that is plugged in is noticed within 2 s.
const (
	backoffMin = 500 * time.Millisecond
	backoffMax = 1500 * time.Millisecond
)

// How a stream that was open came to its end, beside an error of Read.
var (
	errSilent = errors.New("silent")
	// errNothing: some drivers answer reads of an unplugged port with no byte and no error, for ever.
	errNothing = errors.New("reads return nothing")
)

// run is the reopen loop.
func (r *Receiver) run(ctx context.Context, c Consumer) error {
	wait := backoffMin
	for ctx.Err() == nil {
		s, err := r.src.open(ctx)
		if err != nil {
			if ctx.Err() == nil {
				r.status.become(Waiting, err.Error())
			}
			wait = r.pause(ctx, wait)
			continue
		}
		r.status.opened(s.port)
		c.Opened()
		n, err := r.read(ctx, s, c)
		if ctx.Err() != nil {
			break
		}
		if r.src.finite() {
			return r.end(s.port, err)
		}
		r.lost(s.port, err)
		if n > 0 {
			wait = backoffMin
		}
		wait = r.pause(ctx, wait)
	}
	r.status.become(Ended, "stopped")
	return nil
}

// pause waits, or less when ctx ends, and returns how long to wait the next time.
func (r *Receiver) pause(ctx context.Context, d time.Duration) time.Duration {
	most, now := backoffMax, d
	if _, ok := r.src.(distant); ok {
		most, now = backoffDistant, jitter(d)
	}
	t := time.NewTimer(now)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	return min(2*d, most)
}

// end tells how a finite source ended.
func (r *Receiver) end(port string, err error) error {
	if errors.Is(err, io.EOF) {
		r.status.become(Ended, "")
		return nil
	}
	err = fmt.Errorf("read %s: %w", port, cause(err))
	r.status.become(Ended, err.Error())
	return err
}

// lost tells why a port was closed that will be opened again.
func (r *Receiver) lost(port string, err error) {
	if d, ok := r.src.(distant); ok {
		state := Waiting
		if errors.Is(err, errSilent) {
			state = Silent
		}
		r.status.become(state, d.lost(port, r.silence, err))
		return
	}
	if errors.Is(err, errSilent) {
		r.status.become(Silent, fmt.Sprintf("%s has sent nothing for %v: check the receiver's power and cable", port, r.silence))
		return
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("hung up") // what a terminal's end of file means
	}
	r.status.become(Waiting, fmt.Sprintf("%s went away (%v): plug the receiver in again", port, cause(err)))
}

// read hands what s sends to c until s fails or ends, ctx ends, or a port that is not finite has been silent too long. It
// closes s. It returns how many bytes came, and why no more do.
func (r *Receiver) read(ctx context.Context, s stream, c Consumer) (n uint64, err error) {
	defer closeWith(ctx, s)()

	in, rests := patient{conn: s.conn}, newRests(s, c)
	open := false // bytes have come since the last Quiet
	last := time.Now()
	for {
		k, err := in.read(r.buf, r.deadline(last, open))
		if k > 0 {
			n += uint64(k)
			open = true
			last = time.Now()
			r.status.read(k, last)
			c.Data(r.buf[:k])
			r.giveWay(k)
			if until, ok := rests.after(k, last); ok {
				err = errors.Join(err, rests.line.rest(until))
				in.set, last = false, time.Now()
			}
		}
		quiet := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case k == 0 && err == nil:
			err = errNothing
		case err == nil || quiet && k > 0:
			continue
		}
		if open {
			open = false
			c.Quiet()
		} else if quiet {
			err = errSilent
			quiet = false
		}
		if !quiet {
			return n, err
		}
	}
}

// giveWay lets others run when a read of n bytes shows that more wait: a file, or a line that is read after a pause, would
// keep a single processor until the runtime takes it away, after 10 ms, in which queues of viewers overflow.
func (r *Receiver) giveWay(n int) {
	if n >= len(r.buf)/2 {
		runtime.Gosched()
	}
}

// closeWith closes s when ctx ends, which is what interrupts a blocked read, or when the function that it returns is called.
// When that has returned, s is closed and nothing runs any more.
func closeWith(ctx context.Context, s stream) func() {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = s.Close() // the read fails, whatever this says
		close(closed)
	})
	return func() {
		if stop() {
			_ = s.Close() // opened for reading: nothing of ours can be lost here
			return
		}
		<-closed
	}
}

// deadline is when a read that gets nothing has to come back: to say Quiet, then to give the port up. A source with an end
// is never given up, it may pause as long as it likes.
func (r *Receiver) deadline(last time.Time, open bool) time.Time {
	switch {
	case open:
		return last.Add(r.quiet)
	case r.src.finite():
		return time.Time{}
	default:
		return last.Add(r.silence)
	}
}

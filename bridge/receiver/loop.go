package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// A port that is gone is looked for again after backoffMin, then ever more slowly up to backoffMax. One attempt costs some
// tens of microseconds, so even the slowest pace may be quick: a receiver that is plugged in is noticed within 2 s.
const (
	backoffMin = 500 * time.Millisecond
	backoffMax = 1500 * time.Millisecond
)

const (
	// openWithin is how long an open may take: those over a network give up after some seconds, and who listens for a speed
	// says that it still does.
	openWithin = time.Minute
	// turnSlack is for what is done between two reads.
	turnSlack = 5 * time.Second
)

// How a stream that was open came to its end, beside an error of Read.
var (
	errSilent = errors.New("silent")
	// errNothing: some drivers answer reads of an unplugged port with no byte and no error, for ever.
	errNothing = errors.New("reads return nothing")
)

// run is the reopen loop.
func (r *Receiver) run(ctx context.Context, c Consumer) error {
	defer r.turn(0) // who has ended promises nothing
	wait := r.retry
	for ctx.Err() == nil {
		r.turn(openWithin)
		s, err := r.src.open(ctx)
		if err == nil && r.src.finite() {
			s.content = &content{speech: newSpeech()}
		}
		if err != nil {
			if errors.Is(err, errElsewhere) {
				continue // a port has come or gone: what is there now is tried at once
			}
			if ctx.Err() == nil && !errors.Is(err, errSettling) {
				r.status.binary(err)
				r.status.wrong(problem.Of(err))
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
			return r.end(s, err)
		}
		r.lost(s.port, err)
		if n > 0 {
			wait = r.retry
		}
		wait = r.pause(ctx, wait)
	}
	r.status.ended(nil)
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

// end reports how a finite source ended.
func (r *Receiver) end(s stream, err error) error {
	if errors.Is(err, io.EOF) {
		r.status.ended(s.content.problem(s.port))
		return nil
	}
	p := &problem.Problem{Code: source.FileFailed, Cause: fmt.Sprintf("read %s: %v", s.port, cause(err)), Err: err}
	r.status.ended(p)
	return p
}

// lost reports why a port was closed that will be opened again.
func (r *Receiver) lost(port string, err error) {
	far, isFar := r.src.(distant)
	switch {
	case errors.Is(err, errSilent):
		r.status.wrong(r.silent(port))
	case isFar:
		r.status.wrong(far.lost(port, err))
	case problem.CodeOf(err) != "":
		r.status.wrong(problem.Of(err))
	default:
		r.status.wrong(wentAway(port, err))
	}
}

// silent is the problem of an open port that sends nothing.
func (r *Receiver) silent(port string) *problem.Problem {
	if far, isFar := r.src.(distant); isFar {
		return far.silent(port)
	}
	return silentPort(port)
}

// wentAway is the problem of a port that failed while it was open.
func wentAway(port string, err error) *problem.Problem {
	if errors.Is(err, io.EOF) {
		err = errors.New("hung up") // what a terminal's end of file means
	}
	return &problem.Problem{Code: source.PortLost, Cause: fmt.Sprintf("%s went away (%v)", port, cause(err)), Fix: "plug the receiver in again", Err: err}
}

// read hands what s sends to c until s fails or ends, ctx ends, or a port that is not finite has been silent too long. It
// closes s. It returns how many bytes came, and why no more do.
func (r *Receiver) read(ctx context.Context, s stream, c Consumer) (n uint64, err error) {
	defer closeWith(ctx, s)()

	in, rests := patient{conn: s.conn}, newRests(s, c)
	quiet := silence{quiet: r.quiet, most: r.silence, finite: r.src.finite(), elsewhere: s.elsewhere, last: time.Now()}
	s.line.begin(quiet.last)
	for {
		deadline := quiet.deadline()
		r.promise(deadline)
		k, err := in.read(r.buf, deadline)
		if k > 0 {
			n += uint64(k)
			now := time.Now()
			quiet.end(now)
			r.status.read(k, now)
			c.Data(r.buf[:k])
			s.content.hear(r.buf[:k])
			if lineErr := s.line.heard(r.buf[:k], now); lineErr != nil {
				err = lineErr
			}
			r.giveWay(k)
			if until, ok := rests.after(k, now); ok && err == nil {
				err = rests.line.rest(until)
				in.set = false
			}
		}
		passed := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case k == 0 && err == nil:
			err = errNothing
		case err == nil || passed && k > 0:
			continue
		}
		if quiet.open {
			quiet.open = false
			c.Quiet()
			if lineErr := s.line.quiet(); lineErr != nil {
				err, passed = lineErr, false
			}
		} else if passed {
			err = r.waited(&quiet, s.port)
		}
		if !passed || errors.Is(err, errSilent) {
			return n, err
		}
	}
}

// waited says what a silence has come to: the end, or something to be shown.
func (r *Receiver) waited(q *silence, port string) error {
	now := time.Now()
	if !q.told && now.Sub(q.last) >= q.notice() {
		q.told = true
		r.status.wrong(r.silent(port))
	}
	if now.Sub(q.last) >= q.most || q.elsewhere != nil && q.told && q.elsewhere() {
		return errSilent
	}
	return nil
}

// promise says that the loop will have turned at a deadline; the zero one is none.
func (r *Receiver) promise(deadline time.Time) {
	if deadline.IsZero() {
		r.turn(0)
		return
	}
	r.turn(max(0, time.Until(deadline)) + turnSlack)
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

package receiver

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// A port that is gone is looked for again after retryFirst, then after twice the time before, up to retryMost. One attempt
// costs some tens of microseconds, so that a receiver that is plugged in is noticed within 2 s. A remote source is reached at
// random times, so that many clients of one server do not return together, and after retryRemote at the most: a server that
// returns is found within seconds all the same.
const (
	retryFirst  = 500 * time.Millisecond
	retryMost   = 1500 * time.Millisecond
	retryRemote = 5 * time.Second
)

// A server that sends a burst and closes the connection, again and again, is reached once a second: shortLife is how long
// the connection of another one lasts at least.
const (
	shortLife  = 5 * time.Second
	shortPause = time.Second
)

const (
	// openWithin is how long an open may take: those over a network give up after some seconds, and one that searches the
	// speed reports that it still does.
	openWithin = time.Minute
	// aliveSlack is for what is done between two reads.
	aliveSlack = 5 * time.Second
)

// errSilent ends a stream that sends nothing for too long.
var errSilent = errors.New("silent")

func newBackOff(t source.Traits) *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{InitialInterval: retryFirst, Multiplier: 2, MaxInterval: retryMost}
	if t.Remote {
		b.MaxInterval, b.RandomizationFactor = retryRemote*2/3, 0.5
	}
	b.Reset()
	return b
}

// run is the reopen loop.
func (r *Receiver) run(ctx context.Context, c Consumer) error {
	defer r.alive(0)
	host := source.Host{Reporter: &r.status, Silence: r.silence.most, State: r.state, Alive: r.alive, Log: r.status.log}
	retry := newBackOff(r.src.Traits())
	for ctx.Err() == nil {
		r.alive(openWithin)
		s, err := r.src.Open(ctx, host)
		switch {
		case errors.Is(err, source.ErrElsewhere):
			continue
		case err == nil:
			began := time.Now()
			n, err := r.stream(ctx, s, c)
			switch {
			case ctx.Err() != nil:
			case r.Finite():
				return r.end(s, err)
			case errors.Is(err, errSilent), errors.Is(err, source.ErrElsewhere):
				continue // it was waited for long enough, and what comes while nothing is open is lost
			case n > 0:
				retry.Reset()
			}
			if r.src.Traits().Remote && n > 0 && time.Since(began) < shortLife {
				pause(ctx, shortPause)
				continue
			}
		case ctx.Err() == nil && !errors.Is(err, source.ErrSettling):
			r.status.failed(problem.Of(err))
		}
		pause(ctx, retry.NextBackOff())
	}
	r.status.ended(nil)
	return nil
}

// stream reads an open stream to its end, and reports why there is one unless the source is finite or ctx has ended.
func (r *Receiver) stream(ctx context.Context, s source.Stream, c Consumer) (n uint64, err error) {
	r.status.opened(s.Port())
	c.Opened()
	n, err = r.read(ctx, s, c)
	switch {
	case ctx.Err() != nil, r.Finite(), errors.Is(err, source.ErrElsewhere):
	case errors.Is(err, errSilent):
		r.status.failed(s.Silent())
	default:
		r.status.failed(s.Lost(err))
	}
	return n, err
}

// end reports how a finite source ended.
func (r *Receiver) end(s source.Stream, err error) error {
	p := s.Lost(err)
	r.status.ended(p)
	if p == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return p
}

// pause waits, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// read hands what s sends to c until s fails or ends, ctx ends, or a port that is not finite has been silent too long. It
// closes s. It returns how many bytes came, and why no more do.
func (r *Receiver) read(ctx context.Context, s source.Stream, c Consumer) (n uint64, err error) {
	defer closeWith(ctx, s)()

	in := source.Reader{Conn: s}
	quiet := &r.silence
	quiet.opened(time.Now())
	for {
		deadline := quiet.deadline()
		r.promise(deadline)
		k, err := in.Read(r.buf, deadline)
		if k > 0 {
			n += uint64(k)
			now := time.Now()
			quiet.end(s.Came(k, now))
			r.status.read(k, now)
			c.Data(r.buf[:k])
			if lineErr := s.Heard(r.buf[:k], now); lineErr != nil {
				err = lineErr
			}
			r.giveWay(k)
			quiet.due = now.Add(c.Rest())
			if s.Rest(quiet.rest(), now) {
				in.Forget()
			}
		}
		passed := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case k == 0 && err == nil:
			err = source.ErrNothing
		case err == nil || passed && k > 0:
			continue
		}
		if quiet.open {
			quiet.open = false
			c.Quiet()
			if lineErr := s.Quiet(time.Now()); lineErr != nil {
				err, passed = lineErr, false
			}
		} else if passed {
			err = r.waited(quiet, s)
		}
		if !passed || errors.Is(err, errSilent) {
			return n, err
		}
	}
}

// waited decides what a silence has come to: the end of the stream, or a report.
func (r *Receiver) waited(q *silence, s source.Stream) error {
	now := time.Now()
	if !q.reported && now.Sub(q.last) >= q.notice() {
		q.reported = true
		r.status.failed(s.Silent())
	}
	if now.Sub(q.last) >= q.limit() || q.reported && s.Elsewhere() {
		return errSilent
	}
	return nil
}

// promise reports that the loop will call again at a deadline; the zero one is no promise.
func (r *Receiver) promise(deadline time.Time) {
	if deadline.IsZero() {
		r.alive(0)
		return
	}
	r.alive(max(0, time.Until(deadline)) + aliveSlack)
}

// giveWay lets other goroutines run when a read of n bytes shows that more wait: a file, or a line that is read after a pause,
// would keep a single processor until the runtime takes it away, after 10 ms, in which queues of viewers overflow.
func (r *Receiver) giveWay(n int) {
	if n >= len(r.buf)/2 {
		runtime.Gosched()
	}
}

// closeWith closes s when ctx ends, which interrupts a blocked read, or when the function that it returns is called. When that
// has returned, s is closed and nothing runs any more.
func closeWith(ctx context.Context, s io.Closer) func() {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = s.Close() // the read fails, whatever this returns
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

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// session is a server with its viewers and a publisher.
type session struct {
	*serving
	folder      string
	viewers     []*role
	count       int // of viewers
	publisher   *publisher
	empty, idle float64 // memory without viewers, and with them before the first message, MB
}

const (
	// viewersEach is how many viewers one process plays: the files that it may open are bounded too.
	viewersEach = 5000
	// settleFor is how long a server gets to rest behind what was asked of it.
	settleFor = 300 * time.Millisecond
	// warmUp is how long is published before it counts: goroutines have grown their stacks, Python its dictionaries.
	warmUp = time.Second
	// lateFor is how long after the last message was sent the others are waited for.
	lateFor = 2 * time.Second
)

// openSession starts a server and lets viewers join.
func openSession(ctx context.Context, s server, viewers, cores int) (*session, error) {
	o := &session{count: viewers}
	if err := o.open(ctx, s, cores); err != nil {
		o.close()
		return nil, fmt.Errorf("%s, %d viewers: %w", s.title, viewers, err)
	}
	return o, nil
}

func (o *session) open(ctx context.Context, s server, cores int) (err error) {
	if o.folder, err = os.MkdirTemp("", "compare"); err != nil {
		return err
	}
	if o.serving, err = s.start(ctx, o.folder, cores); err != nil {
		return err
	}
	if o.empty, err = o.settled(ctx); err != nil {
		return err
	}
	if err := o.join(ctx); err != nil {
		return err
	}
	if o.idle, err = o.settled(ctx); err != nil {
		return err
	}
	to, err := o.publish(ctx)
	if err != nil {
		return err
	}
	o.publisher = &publisher{sink: to, run: fmt.Sprintf("%016x", rand.Uint64())}
	return nil
}

// join starts the processes that play viewers.
func (o *session) join(ctx context.Context) error {
	g, joined := errgroup.WithContext(ctx)
	for left := o.count; left > 0; left -= viewersEach {
		r, err := startRole("viewers")
		if err != nil {
			return err
		}
		o.viewers = append(o.viewers, r)
		g.Go(func() error {
			return r.ask(joined, order{Join: min(left, viewersEach), Addr: o.addr, Raw: o.raw}, &struct{}{})
		})
	}
	return g.Wait()
}

// settled lets the server rest and returns its memory.
func (o *session) settled(ctx context.Context) (float64, error) {
	if !sleepUntil(ctx, time.Now().Add(settleFor)) {
		return 0, ctx.Err()
	}
	return o.memory()
}

func (o *session) close() {
	if o.publisher != nil {
		o.publisher.sink.close()
	}
	for _, r := range o.viewers {
		r.end()
	}
	if o.serving != nil {
		o.end()
	}
	_ = os.RemoveAll(o.folder) // in the system's folder for such things
}

// delivered is what came of publishing for a time.
type delivered struct {
	Expected  int       `json:"expected"`
	Received  int       `json:"received"`
	PerSecond float64   `json:"deliveries_per_second"`
	CPU       float64   `json:"cpu_us_per_delivery"`
	Load      float64   `json:"cpu_share"` // of one processor
	Memory    float64   `json:"resident_mb"`
	Closed    int       `json:"viewers_closed"`
	Delays    histogram `json:"-"`
}

// whole says whether every viewer got every message.
func (d delivered) whole() bool { return d.Received >= d.Expected && d.Closed == 0 }

// p is a percentile of the delay in ms; late where that many did not come.
func (d delivered) p(percentile float64) (ms float64, ok bool) {
	delay, ok := d.Delays.percentile(percentile, d.Expected)
	return float64(delay) / float64(time.Millisecond), ok
}

// measure publishes rate messages a second for a time and reports what reached the viewers.
func (o *session) measure(ctx context.Context, rate float64, lasts time.Duration) (delivered, error) {
	var d delivered
	from := time.Now()
	if _, err := o.look(ctx, order{Measure: from}); err != nil {
		return d, err
	}
	before, err := o.used()
	if err != nil {
		return d, err
	}
	sent, err := o.publisher.publish(ctx, rate, lasts)
	if err != nil {
		return d, err
	}
	d.Expected = sent * o.count
	seen, err := o.await(ctx, d.Expected)
	if err != nil {
		return d, err
	}
	after, err := o.used()
	if err != nil {
		return d, err
	}
	d.Received, d.Closed, d.Delays = seen.Received, seen.Closed, seen.Delays
	took := time.Since(from).Seconds()
	d.Load = (after - before) / took
	d.PerSecond = float64(d.Received) / lasts.Seconds()
	if !d.whole() { // it was at work all the time, at first on what was sent before
		d.PerSecond = float64(seen.Arrived) / took
	}
	if seen.Arrived > 0 {
		d.CPU = (after - before) * 1e6 / float64(seen.Arrived)
	}
	d.Memory, err = o.memory()
	return d, err
}

// await asks the viewers until they have received so many messages, or lateFor is over.
func (o *session) await(ctx context.Context, expected int) (sight, error) {
	for end := time.Now().Add(lateFor); ; {
		seen, err := o.look(ctx, order{})
		if err != nil || seen.Received >= expected || time.Now().After(end) {
			return seen, err
		}
		if !sleepUntil(ctx, time.Now().Add(5*pollEvery)) {
			return seen, ctx.Err()
		}
	}
}

// look adds up what all viewers report.
func (o *session) look(ctx context.Context, question order) (sight, error) {
	all := sight{Delays: make(histogram)}
	for _, r := range o.viewers {
		var one sight
		if err := r.ask(ctx, question, &one); err != nil {
			return all, err
		}
		all.Received += one.Received
		all.Arrived += one.Arrived
		all.Closed += one.Closed
		all.Delays.merge(one.Delays)
	}
	return all, nil
}

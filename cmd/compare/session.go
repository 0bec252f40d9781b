package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// session is a server with its viewers and a publisher.
type session struct {
	*serving
	dir         string
	viewers     []*role
	count       int     // of viewers
	empty, idle float64 // memory without viewers, and with them before the first message, MB

	send  func(msg []byte) error
	leave func()
	run   string // in the messages
	seq   int
	wrote time.Time // when the last message was written
}

const (
	// viewersEach is how many viewers one process plays: the files that it may open are bounded too.
	viewersEach = 5000
	// settleFor is how long a server gets to rest after what was asked of it.
	settleFor = 300 * time.Millisecond
	// warmUp is how long is published before it counts: goroutines have grown their stacks, Python its dictionaries.
	warmUp = time.Second
	// lateFor is how long after the last message was sent the others are waited for.
	lateFor = 2 * time.Second
)

// openSession starts a server and lets viewers join.
func openSession(ctx context.Context, s server, viewers, cores int) (*session, error) {
	o := &session{count: viewers, run: fmt.Sprintf("%016x", rand.Uint64())}
	if err := o.open(ctx, s, cores); err != nil {
		o.close()
		return nil, fmt.Errorf("%s, %d viewers: %w", s.title, viewers, err)
	}
	return o, nil
}

func (o *session) open(ctx context.Context, s server, cores int) (err error) {
	if o.dir, err = os.MkdirTemp("", "compare"); err != nil {
		return err
	}
	if o.serving, err = s.start(ctx, o.dir, cores); err != nil {
		return err
	}
	if o.empty, err = o.settled(ctx); err != nil {
		return err
	}
	g, joining := errgroup.WithContext(ctx)
	addresses := append([]string{o.addr}, o.others...)
	for i, addr := range addresses {
		for left := (o.count + i) / len(addresses); left > 0; left -= viewersEach {
			r, err := startRole("viewers")
			if err != nil {
				return err
			}
			o.viewers = append(o.viewers, r)
			g.Go(func() error {
				return r.call(joining, "Join", Join{Count: min(left, viewersEach), Addr: addr, Raw: o.raw}, &struct{}{})
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if o.idle, err = o.settled(ctx); err != nil {
		return err
	}
	o.send, o.leave, err = o.publisher(ctx)
	return err
}

// settled lets the server rest and returns its memory.
func (o *session) settled(ctx context.Context) (float64, error) {
	if !sleepUntil(ctx, time.Now().Add(settleFor)) {
		return 0, ctx.Err()
	}
	return memory(resident, o.programs...)
}

func (o *session) close() {
	if o.leave != nil {
		o.leave()
	}
	for _, r := range o.viewers {
		r.end()
	}
	if o.serving != nil {
		o.end()
	}
	_ = os.RemoveAll(o.dir) // in the system's directory for temporary files
}

// publish sends rate messages a second from now on for a time, and returns how many. Each is a fix like the daemon's, of
// 330 bytes, that carries when it was sent; one that had to wait for the one before counts from when it was due.
func (o *session) publish(ctx context.Context, rate float64, lasts time.Duration) (sent int, err error) {
	from := time.Now()
	for ; ; sent++ {
		due := from.Add(time.Duration(float64(sent) / rate * float64(time.Second)))
		if due.Sub(from) >= lasts {
			return sent, nil
		}
		if !sleepUntil(ctx, due) {
			return sent, ctx.Err()
		}
		at := time.Now()
		if o.wrote.After(due) {
			at = due
		}
		o.seq++
		msg := fmt.Appendf(nil, `{"class":"TPV","device_id":"%s","sent":%d,"run":"%s","seq":%d,"mode":3,"status":1,"time":"%s",`+
			`"lat":51.50336350,"lon":-0.12762480,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"speed":13.89,"track":84.40,"climb":0.1,`+
			`"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.2,"epv":25.3,"uSat":9,"nSat":14}`,
			device, at.UnixNano(), o.run, o.seq, at.UTC().Format(stampLayout))
		if err := o.send(msg); err != nil {
			return sent, fmt.Errorf("publish: %w", err)
		}
		o.wrote = time.Now()
	}
}

// delivered is what came of publishing for a time.
type delivered struct {
	Expected  int      `json:"expected"`
	Received  int      `json:"received"`
	PerSecond float64  `json:"deliveries_per_second"`
	CPU       float64  `json:"cpu_us_per_delivery"`
	Load      float64  `json:"cpu_share"` // of one CPU
	Memory    float64  `json:"resident_mb"`
	Closed    int      `json:"viewers_closed"`
	Median    *float64 `json:"median_ms,omitempty"` // absent where half of the messages did not come
	P99       *float64 `json:"p99_ms,omitempty"`
}

// whole reports whether every viewer got every message.
func (d delivered) whole() bool { return d.Received >= d.Expected && d.Closed == 0 }

// measure publishes rate messages a second for a time and reports what reached the viewers.
func (o *session) measure(ctx context.Context, rate float64, lasts time.Duration) (d delivered, err error) {
	from := time.Now()
	for _, r := range o.viewers {
		if err := r.call(ctx, "Measure", from, &struct{}{}); err != nil {
			return d, err
		}
	}
	before, err := cpuTime(o.programs...)
	if err != nil {
		return d, err
	}
	sent, err := o.publish(ctx, rate, lasts)
	if err != nil {
		return d, err
	}
	d.Expected = sent * o.count
	seen, err := o.await(ctx, d.Expected)
	if err != nil {
		return d, err
	}
	after, err := cpuTime(o.programs...)
	if err != nil {
		return d, err
	}
	d.Received, d.Closed = seen.Received, seen.Closed
	took := time.Since(from).Seconds()
	d.Load = (after - before).Seconds() / took
	d.PerSecond = float64(d.Received) / lasts.Seconds()
	if !d.whole() { // it was at work all the time, at first on what was sent before
		d.PerSecond = float64(seen.Arrived) / took
	}
	d.CPU = float64((after - before).Nanoseconds()) / 1e3 / float64(max(1, seen.Arrived))
	if err := o.delays(ctx, &d); err != nil {
		return d, err
	}
	d.Memory, err = memory(resident, o.programs...)
	return d, err
}

// await asks the viewers until they have received so many messages, or lateFor is over, and adds up what they report.
func (o *session) await(ctx context.Context, expected int) (all Sight, err error) {
	for end := time.Now().Add(lateFor); ; {
		all = Sight{}
		for _, r := range o.viewers {
			var one Sight
			if err := r.call(ctx, "Look", struct{}{}, &one); err != nil {
				return all, err
			}
			all.Received += one.Received
			all.Arrived += one.Arrived
			all.Closed += one.Closed
		}
		if all.Received >= expected || time.Now().After(end) {
			return all, nil
		}
		if !sleepUntil(ctx, time.Now().Add(5*pollEvery)) {
			return all, ctx.Err()
		}
	}
}

// delays completes d with the percentiles over all messages that were due: one that did not come is later than all others.
func (o *session) delays(ctx context.Context, d *delivered) error {
	var all []uint32 // µs
	for _, r := range o.viewers {
		var some []uint32
		if err := r.call(ctx, "Delays", struct{}{}, &some); err != nil {
			return err
		}
		all = append(all, some...)
	}
	slices.Sort(all)
	at := func(p float64) *float64 {
		rank := int(p * float64(d.Expected))
		if rank >= len(all) {
			return nil
		}
		ms := float64(all[rank]) / 1000
		return &ms
	}
	d.Median, d.P99 = at(0.5), at(0.99)
	return nil
}

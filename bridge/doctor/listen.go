package doctor

import (
	"context"
	"strings"
	"sync"
	"time"

	"gpsbridge/bridge"
	"gpsbridge/bridge/config"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/kinds"
	"gpsbridge/nmea"
)

// How long a receiver is listened to.
const (
	lookEvery = 50 * time.Millisecond
	// listenMost bounds the whole: finding a port and its speed takes some seconds a candidate, silence is reported after 10.
	listenMost = 25 * time.Second
	// fixWait is how long a fix is waited for once sentences come: some epochs of a receiver that sends one a second, or one
	// of a receiver that was set to 5 s.
	fixWait = 6 * time.Second
	// quietWait is how long a receiver may be quiet: some are set to send every 10 s.
	quietWait = 12 * time.Second
	// skyWait is how long the satellites are waited for once there is a fix: receivers list them each second, or less often.
	skyWait = 2 * time.Second
	// speedWait is how long the speed is looked for: going through all of them takes some 5 s, and on a loaded machine the
	// right one may be missed once.
	speedWait = 15 * time.Second
	// noiseWait is how long bytes may come without a sentence among them.
	noiseWait = 8 * time.Second
)

// observeReceiver asks the daemon about a receiver, or listens to it.
func observeReceiver(ctx context.Context, d *daemon, c config.Receiver) (observed, error) {
	if _, beside := d.receiver(c); beside {
		o := d.watch(ctx, c)
		if at := d.fixTime(ctx, o.DeviceID); o.fixed() && o.Active && !at.IsZero() && !strings.HasPrefix(o.Source, "file:") {
			o.clock = at.Add(time.Duration(*o.FixAge * float64(time.Second)))
		}
		return o, nil
	}
	return listen(ctx, c)
}

// probe is the consumer of a receiver that is only listened to.
type probe struct {
	mu        sync.Mutex
	scanner   nmea.Scanner
	assembler *nmea.Assembler
	last      nmea.Fix
	fixAt     time.Time
	nSat      *float64
	signals   *int
}

func (h *probe) Data(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.scanner.Scan(p, h.assembler.Push)
}

func (h *probe) Quiet() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.assembler.Flush()
}

// Rest lets nothing wait: what comes is to be judged at once.
func (h *probe) Rest() time.Duration { return 0 }

func (h *probe) Opened() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.assembler.Reset()
}

// Fix is called by the assembler; mu is held.
func (h *probe) Fix(f *nmea.Fix) {
	h.last = *f
	if f.Mode >= nmea.Mode2D {
		h.fixAt = time.Now()
	}
}

// Sky is called by the assembler; mu is held.
func (h *probe) Sky(s *nmea.Sky) {
	n := float64(s.NSat)
	h.nSat = &n
	h.signals = new(pipeline.Signals(s))
}

// observed adds what came over the line to the state of the port.
func (h *probe) observed(st receiver.Status) observed {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := observed{clock: h.last.Time}
	sc := h.scanner.Stats()
	o.Status, o.Mode, o.NSat, o.Antenna = st, h.last.Mode, h.nSat, h.assembler.Stats().Antenna
	o.Sentences, o.BadChecksum, o.NoChecksum = sc.Sentences, sc.BadChecksum, sc.NoChecksum
	o.Signals = h.signals
	if h.last.NSat.Set {
		o.NSat = &h.last.NSat.V
	}
	if h.last.USat.Set {
		o.USat = &h.last.USat.V
	}
	if !h.fixAt.IsZero() {
		age := time.Since(h.fixAt).Seconds()
		o.FixAge = &age
	}
	return o
}

// listen opens a receiver's source, listens until it can be judged, and closes it.
func listen(ctx context.Context, c config.Receiver) (observed, error) {
	src, err := kinds.Parse(c.Source)
	if err != nil {
		return observed{}, err
	}
	r := receiver.New(src, receiver.Config{Source: c.Source, Silence: time.Duration(c.Silence)})
	h := &probe{assembler: nil}
	h.scanner.AllowNoChecksum = c.AllowNoChecksum
	h.assembler = nmea.NewAssembler(h, nmea.Options{Floor: bridge.BuiltAfter(), System: bridge.SystemTime})
	ctx, cancel := context.WithTimeout(ctx, listenMost)
	var running sync.WaitGroup
	running.Go(func() {
		defer cancel()
		_ = r.Run(ctx, h) // the error is in its status
	})
	seeking := isSerial(c.Source) && !strings.Contains(c.Source, "baud=")
	o := h.until(ctx, r, seeking)
	cancel()
	running.Wait()
	if r.Finite() {
		o.clock = time.Time{} // a recording's
	}
	return o, nil
}

// until waits until the receiver can be judged. seeking: the speed of its line is being looked for.
func (h *probe) until(ctx context.Context, r *receiver.Receiver, seeking bool) observed {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	began := time.Now()
	var bytes, sentences time.Time // since when they come
	for {
		o := h.observed(r.Status())
		now := time.Now()
		if o.Bytes > 0 && bytes.IsZero() {
			bytes = now
		}
		if o.Sentences > 0 && sentences.IsZero() {
			sentences = now
		}
		switch {
		case o.State == receiver.Waiting && (!seeking || linkOf(o.Problem) != "baud" || now.Sub(began) > speedWait),
			o.State == receiver.Silent && now.Sub(began) > quietWait,
			o.fixed() && (o.NSat != nil || now.Sub(sentences) > skyWait),
			!sentences.IsZero() && now.Sub(sentences) > fixWait,
			sentences.IsZero() && !bytes.IsZero() && now.Sub(bytes) > noiseWait && !seeking:
			return o
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return h.observed(r.Status())
		}
	}
}

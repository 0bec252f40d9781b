package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gpsbridge/bridge"
	"gpsbridge/bridge/receiver"
	"gpsbridge/nmea"
)

// How long a receiver is listened to.
const (
	lookEvery = 50 * time.Millisecond
	// listenMost bounds the whole: finding a port and its speed takes some seconds a candidate, silence is told after 10.
	listenMost = 25 * time.Second
	// fixWait is how long a fix is waited for once sentences come: some epochs of a receiver that sends one a second, or one
	// of a receiver that was set to 5 s.
	fixWait = 6 * time.Second
	// noiseWait is how long bytes may come without a sentence among them.
	noiseWait = 8 * time.Second
)

// observed is what is known of a receiver, from the daemon or from listening here.
type observed struct {
	bridge.ReceiverStatus
	clock time.Time // the receiver's, zero while it is not known
	mute  bool      // it lists satellites from its almanac and hears none of them
}

// fixed says whether a position comes.
func (o observed) fixed() bool { return !o.Stale() && o.Mode >= nmea.Mode2D }

// receiver judges one receiver, from its port to its fix.
func (e *examination) receiver(ctx context.Context, c bridge.ReceiverConfig, suffix string) {
	if c.Source == "-" && e.status == nil {
		e.add(Link{Name: "port" + suffix, State: Skipped, Seen: "standard input: only the daemon reads it"})
		return
	}
	o, err := e.observe(ctx, c)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		e.broken("port"+suffix, err.Error(), ": ")
		return
	}
	if !o.clock.IsZero() && o.clock.After(e.time) {
		e.time, e.timeAt = o.clock, time.Now()
	}
	broken, why := e.port(o, suffix)
	e.line(o, suffix, broken, why)
}

// line judges what comes over an open port. Broken is the link that why, the receiver's own sentence, belongs to.
func (e *examination) line(o observed, suffix, broken, why string) {
	reached := !slices.Contains(portLinks, broken)
	for _, name := range lineLinks {
		l := Link{Name: name + suffix}
		switch {
		case !reached:
			e.blocked(name+suffix, broken+suffix)
			continue
		case broken == name:
			l.says(Broken, why)
			reached = false
		case broken != "":
			l.State, l.Seen = OK, holds(name, o)
		default:
			judge[name](&l, o)
			if l.State == Broken {
				broken, reached = name, false
			}
		}
		e.add(l)
	}
}

// holds is what is seen of a link when the receiver itself says that a later one is broken.
func holds(name string, o observed) string {
	if name == "baud" && o.Baud > 0 {
		return strconv.Itoa(o.Baud)
	}
	return "they come"
}

// judge holds how each link of the line is judged while all before it hold.
var judge = map[string]func(*Link, observed){
	"bytes": judgeBytes, "baud": judgeBaud, "sentences": judgeSentences, "satellites": judgeSatellites, "fix": judgeFix,
}

// says has a link say a sentence of package receiver.
func (l *Link) says(s State, sentence string) {
	seen, mend := part(sentence, ": ")
	l.State, l.Seen, l.Mend, l.mark = s, seen, mend, ": "
}

func judgeBytes(l *Link, o observed) {
	if o.LastByteAge == nil {
		l.says(Broken, fmt.Sprintf("%s has sent nothing yet: check the receiver's power and cable", cmp.Or(o.Port, o.Source)))
		return
	}
	l.State, l.Seen = OK, fmt.Sprintf("%d, the last %.1f s ago", o.Bytes, *o.LastByteAge)
}

func judgeBaud(l *Link, o observed) {
	switch {
	case !isSerial(o.Source):
		l.State, l.Seen = Skipped, "not a serial port"
	case o.Sentences > 0 && o.Hint != "":
		l.says(Warning, o.Hint)
	case o.Sentences == 0 && linkOf(o.Hint) == "baud":
		l.says(Broken, o.Hint)
	default:
		l.State, l.Seen = OK, strconv.Itoa(o.Baud)
	}
}

// manyDamaged is the share of damaged sentences from which the cable is to be looked at. Some are lost whenever a port is
// opened.
const manyDamaged = 0.05

func judgeSentences(l *Link, o observed) {
	all := o.Sentences + o.BadChecksum
	switch {
	case o.Sentences == 0 && o.Hint != "":
		l.says(Broken, o.Hint)
	case o.Sentences == 0:
		l.says(Broken, fmt.Sprintf("%s sends %d bytes and no NMEA sentence: see that it is a receiver, and that it speaks NMEA 0183",
			cmp.Or(o.Port, o.Source), o.Bytes))
	case float64(o.BadChecksum) > manyDamaged*float64(all) && o.BadChecksum > 1:
		l.says(Warning, fmt.Sprintf("%d of %d sentences are damaged: check the cable, and that nobody else reads the port", o.BadChecksum, all))
	default:
		l.State, l.Seen = OK, fmt.Sprintf("%d good, %d damaged", o.Sentences, o.BadChecksum)
	}
}

func judgeSatellites(l *Link, o observed) {
	switch {
	case o.NSat == nil && o.fixed():
		l.State, l.Seen = Skipped, "the receiver does not say"
	case o.NSat == nil || *o.NSat == 0 || o.mute:
		seen := "none in view"
		if o.mute {
			seen = fmt.Sprintf("%.0f should be in view, no signal from any", *o.NSat)
		}
		if a := strings.ToUpper(o.Antenna); a == "OPEN" || a == "SHORT" {
			seen += ", antenna " + a
		}
		l.State, l.Seen, l.Mend = Broken, seen, "check the antenna's plug, and give it a free view of the sky"
	default:
		l.State, l.Seen = OK, fmt.Sprintf("%.0f in view", *o.NSat)
		if o.USat != nil {
			l.Seen += fmt.Sprintf(", %.0f used", *o.USat)
		}
	}
}

func judgeFix(l *Link, o observed) {
	if !o.fixed() {
		l.State, l.Seen = Broken, "none"
		l.Mend = "give the antenna a free view of the sky; the first fix of a cold receiver takes a minute, with poor view several"
		return
	}
	l.State, l.Seen = OK, fmt.Sprintf("%v, %.1f s old", o.Mode, *o.FixAge)
}

// observe asks the daemon about a receiver, or listens to it.
func (e *examination) observe(ctx context.Context, c bridge.ReceiverConfig) (observed, error) {
	if _, beside := e.daemonReceiver(c); beside {
		return e.watchDaemon(ctx, c), nil
	}
	return listen(ctx, c)
}

// daemonReceiver is what the daemon says of the receiver of a source.
func (e *examination) daemonReceiver(c bridge.ReceiverConfig) (bridge.ReceiverStatus, bool) {
	if e.status == nil || len(e.status.Receivers) == 0 {
		return bridge.ReceiverStatus{}, false
	}
	for _, r := range e.status.Receivers {
		if r.Source == c.Source {
			return r, true
		}
	}
	return e.status.Receivers[0], len(e.status.Receivers) == 1 // another configuration: the daemon's receiver counts
}

// watchDaemon asks until what matters is seen to come now, and not only since the daemon's start.
func (e *examination) watchDaemon(ctx context.Context, c bridge.ReceiverConfig) observed {
	first, _ := e.daemonReceiver(c)
	tick := time.NewTicker(5 * lookEvery)
	defer tick.Stop()
	for began := time.Now(); ; {
		e.ask(ctx)
		o := observed{}
		o.ReceiverStatus, _ = e.daemonReceiver(c)
		grown := o.Sentences > first.Sentences
		if grown && o.fixed() || o.State == receiver.Waiting || o.State == receiver.Silent || time.Since(began) > fixWait {
			if !grown {
				o.Sentences = 0 // none now
			}
			return o
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return o
		}
	}
}

// ear is the consumer of a receiver that is only listened to.
type ear struct {
	mu        sync.Mutex
	scanner   nmea.Scanner
	assembler *nmea.Assembler
	last      nmea.Fix
	fixAt     time.Time
	nSat      *float64
	mute      bool
}

func (h *ear) Data(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.scanner.Scan(p, h.assembler.Push)
}

func (h *ear) Quiet() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.assembler.Flush()
}

func (h *ear) Opened() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.assembler.Reset()
}

// Fix is called by the assembler; mu is held.
func (h *ear) Fix(f *nmea.Fix) {
	h.last = *f
	if f.Mode >= nmea.Mode2D {
		h.fixAt = time.Now()
	}
}

// Sky is called by the assembler; mu is held.
func (h *ear) Sky(s *nmea.Sky) {
	n := float64(s.NSat)
	h.nSat = &n
	h.mute = n > 0 && !slices.ContainsFunc(s.Satellites, func(one nmea.Satellite) bool { return one.SS.Set && one.SS.V > 0 })
}

// hears adds what was heard to what the port itself says.
func (h *ear) hears(st receiver.Status) observed {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := observed{clock: h.last.Time, mute: h.mute}
	sc := h.scanner.Stats()
	o.Status, o.Mode, o.NSat, o.Antenna = st, h.last.Mode, h.nSat, h.assembler.Stats().Antenna
	o.Sentences, o.BadChecksum = sc.Sentences, sc.BadChecksum
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
func listen(ctx context.Context, c bridge.ReceiverConfig) (observed, error) {
	r, err := receiver.New(receiver.Config{Source: c.Source, Silence: time.Duration(c.Silence)})
	if err != nil {
		return observed{}, err
	}
	h := &ear{assembler: nil}
	h.scanner.AllowNoChecksum = c.AllowNoChecksum
	h.assembler = nmea.NewAssembler(h, nmea.Options{Floor: bridge.BuiltAfter()})
	ctx, cancel := context.WithTimeout(ctx, listenMost)
	var running sync.WaitGroup
	running.Go(func() {
		defer cancel()
		_ = r.Run(ctx, h) // its status says it
	})
	o := h.until(ctx, r)
	cancel()
	running.Wait()
	if r.Finite() {
		o.clock = time.Time{} // a recording's
	}
	return o, nil
}

// until looks at the receiver until it can be judged.
func (h *ear) until(ctx context.Context, r *receiver.Receiver) observed {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	began := time.Now()
	var bytes, sentences time.Time // since when they come
	for {
		o := h.hears(r.Status())
		now := time.Now()
		if o.Bytes > 0 && bytes.IsZero() {
			bytes = now
		}
		if o.Sentences > 0 && sentences.IsZero() {
			sentences = now
		}
		switch {
		case o.State == receiver.Waiting,
			o.State == receiver.Silent && now.Sub(began) > fixWait,
			o.fixed() && (o.NSat != nil || now.Sub(sentences) > fixWait/3),
			!sentences.IsZero() && now.Sub(sentences) > fixWait,
			sentences.IsZero() && !bytes.IsZero() && now.Sub(bytes) > noiseWait:
			return o
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return h.hears(r.Status())
		}
	}
}

package bridge

import (
	"context"
	"sync"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/nmea"
)

// intake is what the bytes of one receiver go through: scanned, assembled, handed to the feed of the device ID. All of it
// is plain calls on the goroutine of Run.
type intake struct {
	receiver *receiver.Receiver
	feed     *feed
	index    int // among the receivers of the feed
	taps     taps

	mu        sync.Mutex // held while bytes are worked on, and while the status looks
	scanner   nmea.Scanner
	types     types
	rhythm    rhythm
	assembler *nmea.Assembler
	epochs    uint64
	last      nmea.Fix  // the newest epoch
	epochAt   time.Time // when that came
	fixAt     time.Time // when the last epoch with a position came
	clockTime time.Time // the receiver's time in the last fix that had one
	clockSet  time.Time // and when that came
}

var (
	_ receiver.Consumer = (*intake)(nil)
	_ receiver.Rester   = (*intake)(nil)
	_ nmea.Handler      = (*intake)(nil)
)

// Run reads the receiver until ctx ends or a finite source has ended.
func (in *intake) Run(ctx context.Context) error {
	err := in.taps.run(ctx, func() error { return in.receiver.Run(ctx, in) })
	in.Opened() // what is open stays without a sequel
	return err
}

// Data takes bytes as they came.
func (in *intake) Data(p []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.scanner.Scan(p, in.sentence)
	in.types.tick(time.Now())
	in.taps.data(p)
}

func (in *intake) sentence(s []byte) {
	in.types.sentence(s)
	in.assembler.Push(s)
}

// Rest lets the receiver alone until shortly before the next fix, unless somebody takes its bytes as they come.
func (in *intake) Rest() time.Duration {
	if in.taps.live() {
		return 0
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.rhythm.rest(time.Now())
}

// Quiet closes the open epoch.
func (in *intake) Quiet() {
	in.mu.Lock()
	defer in.mu.Unlock()
	before := in.epochs
	in.assembler.Flush()
	if in.epochs > before {
		in.rhythm = rhythm{} // who rests notices a silence late
	}
}

// Opened closes the open epoch and begins anew: the port may be another receiver's.
func (in *intake) Opened() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.taps.opened()
	in.assembler.Reset()
}

// Fix is called by the assembler once an epoch; mu is held.
func (in *intake) Fix(f *nmea.Fix) {
	now := time.Now()
	in.rhythm.fix(f.Time, now)
	in.epochs++
	in.last, in.epochAt = *f, now
	if f.Mode >= nmea.Mode2D {
		in.fixAt = now
		if !f.Time.IsZero() {
			in.clockTime, in.clockSet = f.Time, now
		}
	}
	in.feed.fix(in.index, f, now)
}

// Sky is called by the assembler once a cycle; mu is held.
func (in *intake) Sky(s *nmea.Sky) { in.feed.sky(in.index, s) }

// clock is the receiver's time, carried on from its last fix; zero before the first.
func (in *intake) clock(now time.Time) time.Time {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.clockSet.IsZero() {
		return time.Time{}
	}
	return in.clockTime.Add(now.Sub(in.clockSet))
}

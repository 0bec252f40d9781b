// Package pipeline is the way of a receiver's bytes to the messages that the spool and the relay get. It knows neither configuration
// files nor HTTP. README.md has the picture.
package pipeline

import (
	"context"
	"sync"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/record"
	"gpsbridge/bridge/receiver/share"
	"gpsbridge/nmea"
)

// Intake is what the bytes of one receiver go through: scanned, assembled, handed to the feed of the device ID. All of it
// is plain calls on the goroutine of Run.
type Intake struct {
	receiver *receiver.Receiver
	feed     *Feed
	index    int // among the receivers of the feed
	taps     taps

	mu        sync.Mutex // held while bytes are worked on, and while the status looks
	scanner   nmea.Scanner
	types     types
	rhythm    rhythm
	assembler *nmea.Assembler
	dataAt    time.Time // when bytes came last
	epochs    uint64
	last      nmea.Fix  // the newest epoch
	signals   *int      // of the newest list of satellites
	epochAt   time.Time // when that came
	fixAt     time.Time // when the last epoch with a position came
	clockTime time.Time // the receiver's time in the last fix that had one
	clockSet  time.Time // and when that came
}

var (
	_ receiver.Consumer = (*Intake)(nil)
	_ nmea.Handler      = (*Intake)(nil)
)

// IntakeConfig is what an intake needs beside its receiver and its feed.
type IntakeConfig struct {
	Source          string       // of the receiver, its name in status and log
	Calendar        nmea.Options // what may be assumed of dates
	AllowNoChecksum bool
	Viewers         func(p []byte) // gets the bytes as they come; nil for none
	Record          record.Config  // no Path: nothing is recorded
	Share           share.Config   // no Listen: nothing is shared
}

// NewIntake joins a receiver to a feed. The feed must not be in use yet.
func NewIntake(rec *receiver.Receiver, fd *Feed, c IntakeConfig) *Intake {
	in := &Intake{receiver: rec, feed: fd, index: fd.add(c.Source)}
	in.taps.viewers, in.taps.record, in.taps.share = c.Viewers, c.Record, c.Share
	in.scanner.AllowNoChecksum = c.AllowNoChecksum
	in.assembler = nmea.NewAssembler(in, c.Calendar)
	return in
}

// Run reads the receiver until ctx ends or a finite source has ended.
func (in *Intake) Run(ctx context.Context) error {
	err := in.taps.run(ctx, func() error { return in.receiver.Run(ctx, in) })
	in.Opened() // nothing follows what is open
	return err
}

// Data handles bytes as they came.
func (in *Intake) Data(p []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dataAt = time.Now()
	in.scanner.Scan(p, in.assembler.Push)
	if in.types.over(in.dataAt) {
		in.types.next(in.dataAt, in.assembler.Stats().Types)
	}
	in.taps.data(p)
}

// Rest is how long the receiver need not be read: until the next fix is due, unless a tap needs its bytes as they come.
func (in *Intake) Rest() time.Duration {
	if in.taps.live() {
		return 0
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.rhythm.rest(time.Now())
}

// Quiet closes the open epoch.
func (in *Intake) Quiet() {
	in.mu.Lock()
	defer in.mu.Unlock()
	before := in.epochs
	in.assembler.Flush()
	if in.epochs > before {
		in.rhythm = rhythm{} // during a rest a silence is noticed late
	}
}

// sameSource is how soon after its last bytes a source that is opened again is the same receiver: a server that
// closes the connection after each epoch, and may send that epoch again.
const sameSource = 5 * time.Second

// Opened closes the open epoch. Unless bytes came within sameSource, what follows may be another receiver's.
func (in *Intake) Opened() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.taps.opened()
	if !in.dataAt.IsZero() && time.Since(in.dataAt) < sameSource {
		in.assembler.Flush()
		return
	}
	in.assembler.Reset()
}

// Fix is called by the assembler once an epoch; mu is held.
func (in *Intake) Fix(f *nmea.Fix) {
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
func (in *Intake) Sky(s *nmea.Sky) {
	in.signals = new(Signals(s))
	in.feed.sky(in.index, s)
}

// Clock is the receiver's time now, counted on from its last fix; zero before the first, and for a recording, which has the
// time at which it was made.
func (in *Intake) Clock(now time.Time) time.Time {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.clockSet.IsZero() || in.receiver.Finite() {
		return time.Time{}
	}
	return in.clockTime.Add(now.Sub(in.clockSet))
}

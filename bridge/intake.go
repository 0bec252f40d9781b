package bridge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/nmea"
)

// intake is what the bytes of one receiver go through: scanned, assembled, encoded once, appended to the spool,
// published to the viewers. All of it is plain calls on the goroutine of Run.
type intake struct {
	receiver *receiver.Receiver
	deviceID string
	keep     func(msg []byte) (pos uint64, err error) // the spool's Append
	keepSky  bool                                     // satellites too
	show     func(device, class string, msg []byte)   // the relay's Publish
	log      *slog.Logger

	mu        sync.Mutex // held while bytes are worked on, and while the status looks
	scanner   nmea.Scanner
	rhythm    rhythm
	left      bool // a fix, with the last Data
	assembler *nmea.Assembler
	messages  *messages
	report    reporter
	epochs    uint64
	last      nmea.Fix  // the newest epoch
	fixAt     time.Time // when the last epoch with a position came
	clockTime time.Time // the receiver's time in the last fix that had one
	clockSet  time.Time // and when that came
	refused   uint64    // messages that the spool did not take
}

var (
	_ receiver.Consumer = (*intake)(nil)
	_ receiver.Rester   = (*intake)(nil)
	_ nmea.Handler      = (*intake)(nil)
)

// Run reads the receiver until ctx ends or a finite source has ended.
func (in *intake) Run(ctx context.Context) error {
	err := in.receiver.Run(ctx, in)
	in.Opened() // what is open stays without a sequel
	return err
}

// Data takes bytes as they came.
func (in *intake) Data(p []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.left = false
	in.scanner.Scan(p, in.assembler.Push)
}

// Rest lets the receiver alone behind a fix until shortly before the next.
func (in *intake) Rest() time.Duration {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.left {
		return 0
	}
	return in.rhythm.rest()
}

// Quiet closes the open epoch.
func (in *intake) Quiet() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.assembler.Flush()
}

// Opened closes the open epoch and begins anew: the port may be another receiver's.
func (in *intake) Opened() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.assembler.Reset()
}

// Fix is called by the assembler once an epoch; mu is held.
func (in *intake) Fix(f *nmea.Fix) {
	in.rhythm.fix(time.Now())
	in.left = true
	in.last = *f
	if f.Mode >= nmea.Mode2D {
		in.fixAt = time.Now()
		if !f.Time.IsZero() {
			in.clockTime, in.clockSet = f.Time, in.fixAt
		}
	}
	in.epochs++
	if !in.report.wants(f, time.Now()) {
		in.show(in.deviceID, "TPV", in.messages.unreported(f))
		return
	}
	msg := in.messages.fix(f)
	in.spool(msg)
	in.show(in.deviceID, "TPV", msg)
}

// Sky is called by the assembler once a cycle; mu is held.
func (in *intake) Sky(s *nmea.Sky) {
	msg := in.messages.sky(s)
	if in.keepSky {
		in.spool(msg)
	}
	in.show(in.deviceID, "SKY", msg)
}

// spool keeps a message until the servers have it. A spool that does not take it is said once.
func (in *intake) spool(msg []byte) {
	if _, err := in.keep(msg); err != nil {
		if in.refused++; in.refused == 1 {
			in.log.Error("message not kept", "err", err)
		}
	}
}

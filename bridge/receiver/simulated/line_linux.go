package simulated

import (
	"cmp"
	"context"

	"gpsbridge/bridge/receiver/serial"
	"gpsbridge/bridge/receiver/sim"
	"gpsbridge/bridge/receiver/source"
)

// plainBaud is the speed that a pseudo-terminal is set to where the line is without limit: it takes any.
const plainBaud = 9600

// open opens the receiver's end of the line, as any other port.
func (s simulated) open(ctx context.Context, r *sim.Receiver, h source.Host) (source.Stream, error) {
	return serial.At(r.Path(), cmp.Or(s.config.Baud, plainBaud)).Open(ctx, h)
}

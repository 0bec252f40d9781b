package serial

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/receiver/sim"
)

// wire is a serial line on which a test sends what it likes at the line's speed. A reader at another speed gets what a UART
// makes of it.
type wire struct {
	*line
	baud atomic.Int64
	uart sim.UART
}

func newWire(t *testing.T, baud int) *wire {
	w := &wire{line: newLine(t)}
	w.baud.Store(int64(baud))
	return w
}

// reader is the speed that the reader has set.
func (w *wire) reader() int {
	speed := 0
	if conn, err := w.slave.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) {
			if mode, err := unix.IoctlGetTermios(int(fd), unix.TCGETS2); err == nil {
				speed = int(mode.Ispeed)
			}
		})
	}
	return speed
}

// send sends a burst in pieces of 10 ms, until ctx ends.
func (w *wire) send(ctx context.Context, burst []byte) {
	baud := int(w.baud.Load())
	size, began := max(baud/1000, 1), time.Now()
	for sent := 0; sent < len(burst) && ctx.Err() == nil; {
		piece := burst[sent:min(sent+size, len(burst))]
		sent += len(piece)
		time.Sleep(time.Until(began.Add(time.Duration(sent) * 10 * time.Second / time.Duration(baud))))
		_, _ = w.master.Write(w.uart.Receive(nil, piece, baud, w.reader(), sent == len(burst)))
	}
}

// every sends what next returns at a period, until the test ends. A burst that takes longer delays the next.
func (w *wire) every(t *testing.T, period time.Duration, next func(i int) []byte) {
	ctx, done := t.Context(), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(period)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			w.send(ctx, next(i))
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() { <-done })
}

package sim

import "math"

// UART is the receiving half of a serial port, at the level of bits: what it makes of bytes that were sent at another speed
// than it listens at. As a 16550 does, it waits for a falling edge, samples each bit in its middle, delivers what it has
// sampled even when the stop bit is missing (a framing error) and then takes the low stop bit for the next start bit. A line
// that is low for a whole byte is a break, delivered as a 0, and ended by the next high.
//
// The zero value listens to an idle line.
type UART struct {
	FramingErrors, Breaks int // met so far

	bits   []bool  // sent and not received yet, true is high; bits[0] is before at
	at     float64 // where the receiver is in bits, in bits of the sender
	start  bool    // a start bit begins at at, seen or taken for one
	reader int     // speed of the last Receive
	busy   bool    // nothing was idle since the bytes of the last Receive
}

const (
	frameBits = 10 // start, 8 data, stop
	// clockError is by how much the sender's clock is fast: crystals are better, the RC oscillators of cheap receivers are not.
	clockError = 1.007
	// joins is where in a byte a receiver comes in that has changed its speed while bytes come.
	joins = 3.7
)

// Receive appends to dst what a UART at reader baud makes of bytes that were sent without a pause at sender baud. idle
// means that the line is idle after them.
func (u *UART) Receive(dst, sent []byte, sender, reader int, idle bool) []byte {
	if sender <= 0 || reader <= 0 {
		return dst
	}
	if u.reader != reader {
		if u.busy {
			u.at, u.start = float64(len(u.bits))+joins, false
		}
		u.reader = reader
	}
	if len(u.bits) == 0 {
		u.bits = append(u.bits, true)
		u.at = max(u.at, 1)
	}
	for _, b := range sent {
		u.bits = append(u.bits, false)
		for i := range 8 {
			u.bits = append(u.bits, b>>i&1 == 1)
		}
		u.bits = append(u.bits, true)
	}
	u.busy = !idle
	step := float64(sender) / float64(reader) * clockError
	if idle {
		for range int(frameBits*step) + 2 {
			u.bits = append(u.bits, true)
		}
	}
	for u.find() && u.at+frameBits*step < float64(len(u.bits)) {
		dst = u.frame(dst, step)
	}
	u.forget()
	return dst
}

// find goes to the next start bit, if it is not at one.
func (u *UART) find() bool {
	if u.start {
		return true
	}
	for i := max(int(math.Ceil(u.at)), 1); i < len(u.bits); i++ {
		if u.bits[i-1] && !u.bits[i] {
			u.at, u.start = float64(i), true
			return true
		}
	}
	u.at = max(u.at, float64(len(u.bits)))
	return false
}

// frame samples a byte from its start bit on.
func (u *UART) frame(dst []byte, step float64) []byte {
	sample := func(bit int) bool { return u.bits[int(u.at+(float64(bit)+0.5)*step)] }
	u.start = false
	if sample(0) {
		u.at++ // too short to be a start bit
		return dst
	}
	b := byte(0)
	for i := range 8 {
		if sample(1 + i) {
			b |= 1 << i
		}
	}
	stop := sample(9)
	switch {
	case stop:
		u.at += (frameBits - 0.5) * step
	case b == 0:
		u.Breaks++
		u.at += (frameBits - 0.5) * step // find looks for a fall after the next high
	default:
		u.FramingErrors++
		u.at += (frameBits - 1) * step
		u.start = true
	}
	return append(dst, b)
}

// forget drops the bits that were received, but for the last.
func (u *UART) forget() {
	done := min(int(u.at)-1, len(u.bits)-1)
	if done <= 0 {
		return
	}
	u.bits = append(u.bits[:0], u.bits[done:]...)
	u.at -= float64(done)
}

package nmea

import "time"

// Handler takes what an Assembler makes. It is called on the goroutine that
// calls the Assembler, and the pointers are valid until it returns.
type Handler interface {
	Fix(*Fix)
	Sky(*Sky)
}

// Options set up an Assembler. The zero value is fine.
type Options struct {
	// Floor is a time that cannot be in the future, the build date of the
	// program. A receiver's date before it has suffered a GPS week rollover and
	// is moved by whole 1024 weeks. Zero leaves every date as it is, which is
	// right for old recordings.
	Floor time.Time
	// System is the system's time when it is known to be right, else zero. It
	// serves like Floor and is the better floor the later it is.
	System time.Time
}

// Assembler merges sentences into fixes.
type Assembler struct{ h Handler }

// NewAssembler returns an Assembler that calls h.
func NewAssembler(h Handler, o Options) *Assembler { return &Assembler{h: h} }

// Push takes one sentence as the Scanner yields it.
func (a *Assembler) Push(sentence []byte) {}

// Flush closes the open epoch: the line is quiet, or the input has ended.
func (a *Assembler) Flush() {}

// Reset closes the open epoch and forgets the learned cycle, because what
// follows does not continue what came before. The date is kept.
func (a *Assembler) Reset() {}

// Stats returns the counters.
func (a *Assembler) Stats() AssemblerStats { return AssemblerStats{} }

// AssemblerStats counts what an Assembler has met.
type AssemblerStats struct {
	Fixes uint64 `json:"fixes"`
	Skies uint64 `json:"skies"`
	// Rollovers is the number of times 1024 weeks were added to the receiver's
	// last date.
	Rollovers int `json:"rollovers"`
}

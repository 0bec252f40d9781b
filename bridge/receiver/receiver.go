package receiver

import (
	"context"
	"log/slog"
	"time"

	"gpsbridge/bridge/receiver/source"
)

// Consumer takes what a receiver sends. All calls come from the goroutine of Run, one after the other.
type Consumer interface {
	// Opened reports that a port was opened: what follows does not continue what came before.
	Opened()
	// Data takes the next bytes of the stream. p is valid until Data returns.
	Data(p []byte)
	// Rest is called after each Data and returns for how long what comes next may wait, as between two fixes; zero or less
	// where it may not. Nothing that comes meanwhile is lost, it is only late; and it is read with one wake-up of the process
	// instead of one for every few bytes.
	Rest() time.Duration
	// Quiet reports that the line has been silent for DefaultQuiet, since the end of a Rest at the earliest, or has ended: a burst that
	// was under way is complete. It is called once for each silence, and only after Data.
	Quiet()
}

const (
	// DefaultSilence: receivers send at least every second, a few are set to every 5 s. Ten seconds passes those, and a stale
	// port is still opened again before a person has walked to the vehicle.
	DefaultSilence = 10 * time.Second

	// DefaultQuiet is the gap that ends a burst. It has to be longer than any gap inside one: USB adapters hand bytes over in
	// packets, and one that waits for 64 of them at 4800 baud is silent for 64*10/4800 s = 133 ms; a latency timer (16 ms in
	// FTDI chips) and the receiver's own pauses (tens of ms) come on top. And it has to be shorter than the pause of a 1 Hz
	// receiver at 9600 baud, which sends 500 to 650 bytes and so is silent for 0.32 s or more. A line that is fuller than
	// that never falls quiet, and neither does one at 4 Hz or more: there the next epoch's time ends the one before it.
	DefaultQuiet = 250 * time.Millisecond
)

// Config is how to read. The zero value is complete.
type Config struct {
	// Source is the written form of the source, for status and log.
	Source string
	// Silence is how long an open port may send nothing before it is closed and opened again; a receiver that is seen to pause
	// for longer is given more. Default DefaultSilence. Files and standard input are left alone: they cannot be opened again
	// where they stopped.
	Silence time.Duration
	// State is a directory in which is kept which port and speed worked, to begin with at the next start. It is written when
	// that changes. Default: none, the memory ends with the process.
	State string
	// Alive, if set, is called by the loop of Run again and again, with the time within which it will call again unless it
	// hangs; 0 is no promise, as for a file, which may pause as long as it likes.
	Alive func(within time.Duration)
	// Log gets each change of state, once. Default: none.
	Log *slog.Logger
}

// Receiver reads one source. Make it with New, then call Run once.
type Receiver struct {
	src   source.Source
	alive func(within time.Duration)
	state string

	// owned by Run
	silence silence
	buf     []byte

	status tracker // locks itself
}

// New returns a Receiver that has opened nothing yet.
func New(src source.Source, c Config) *Receiver {
	if c.Silence <= 0 {
		c.Silence = DefaultSilence
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Alive == nil {
		c.Alive = func(time.Duration) {}
	}
	return &Receiver{
		src: src, alive: c.Alive, state: c.State,
		silence: silence{most: c.Silence, finite: src.Traits().Finite},
		// A read takes what has come so far, at most some hundred bytes from a serial line; a file fills it.
		buf: make([]byte, 4096),
		status: tracker{
			log:    c.Log,
			status: Status{Source: c.Source, State: Opening, Since: time.Now()},
		},
	}
}

// Finite reports whether the source comes to an end by itself: a file or standard input, a recording and not a receiver.
func (r *Receiver) Finite() bool { return r.src.Traits().Finite }

// Status returns what the receiver is doing. It may be called from any goroutine.
func (r *Receiver) Status() Status { return r.status.snapshot(time.Now()) }

// Run reads the source until ctx is cancelled or a finite source has ended, and returns nil for both. A finite source that
// fails in the middle is the one error. Everything else, a port that is missing, unplugged, refused or silent, is reported by
// Status and the log and tried again.
func (r *Receiver) Run(ctx context.Context, c Consumer) error { return r.run(ctx, c) }

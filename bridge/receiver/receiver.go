package receiver

import (
	"context"
	"log/slog"
	"time"
)

// Consumer takes what a receiver sends. All calls come from the goroutine of Run, one after the other. It may be a Rester.
type Consumer interface {
	// Data takes the next bytes of the stream. p is valid until Data returns.
	Data(p []byte)
	// Quiet says that the line has been silent for Config.Quiet, or has ended: a burst that was under way is complete. It is
	// called once for each silence, and only after Data.
	Quiet()
	// Opened says that a port was opened: what follows does not continue what came before.
	Opened()
}

// Defaults of Config.
const (
	// DefaultSource finds a receiver by itself.
	DefaultSource = "auto"

	// DefaultSilence: receivers send at least every second, a few are configured to every 5 s. Ten seconds passes those and
	// still mends a stale port before anybody has walked to the vehicle.
	DefaultSilence = 10 * time.Second

	// DefaultQuiet is the gap that ends a burst. It has to be longer than any gap inside one: USB adapters hand bytes over in
	// packets, and one that waits for 64 of them at 4800 baud is silent for 64*10/4800 s = 133 ms; a latency timer (16 ms in
	// FTDI chips) and the receiver's own pauses (tens of ms) come on top. And it has to be shorter than the pause of a 1 Hz
	// receiver at 9600 baud, which sends 500 to 650 bytes and so is silent for 0.32 s or more. A line that is fuller than
	// that never falls quiet, and neither does one at 4 Hz or more: there the next epoch's time ends the one before it.
	DefaultQuiet = 250 * time.Millisecond
)

// Config says what to read. The zero value is complete.
type Config struct {
	// Source is one of: "auto" or "", a path ("/dev/ttyUSB0", "/dev/serial/by-id/...", optional "?baud=9600", without it the
	// speed is found by listening), "tcp://host:port" (a server that sends NMEA), "udp://:port" or
	// "udp://group:port?interface=eth0" (listens), "gpsd://host:port" or "gpsd://host:port/dev/ttyUSB0",
	// "file:PATH?rate=1", "sim:?rate=1&baud=0&seed=1&tunnel=0", "-" (standard input).
	Source string
	// Silence is how long an open port may send nothing before it is closed and opened again. Default DefaultSilence. Files and
	// standard input are left alone: they cannot be opened again where they stopped.
	Silence time.Duration
	// Quiet is the silence that ends a burst. Default DefaultQuiet.
	Quiet time.Duration
	// State is a folder in which is kept which port and speed worked, to begin with at the next start. It is written when that
	// changes. Default: none, the memory ends with the process.
	State string
	// Turn, if set, is called by the loop of Run at each turn, with the time within which it will call it again unless it
	// hangs; 0 is no promise, as for a file, which may pause as long as it likes.
	Turn func(within time.Duration)
	// Log gets each change of state, once. Default: none.
	Log *slog.Logger
}

// Receiver reads one source. Make it with New, then call Run once.
type Receiver struct {
	// set by New
	src     opener
	turn    func(within time.Duration)
	silence time.Duration
	quiet   time.Duration
	retry   time.Duration // the first wait before a port that is gone is looked for

	// owned by Run
	buf []byte

	status tracker // locks itself
}

// New checks the configuration and returns a Receiver that has opened nothing yet. A source that is not one of those in
// Config, or an option that is unknown or out of range, is an error that names what is allowed.
func New(c Config) (*Receiver, error) {
	if c.Source == "" {
		c.Source = DefaultSource
	}
	src, err := parseSource(c.Source)
	if err != nil {
		return nil, err
	}
	return newReceiver(c, src), nil
}

func newReceiver(c Config, src opener) *Receiver {
	if c.Silence <= 0 {
		c.Silence = DefaultSilence
	}
	if c.Quiet <= 0 {
		c.Quiet = DefaultQuiet
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Turn == nil {
		c.Turn = func(time.Duration) {}
	}
	r := &Receiver{
		turn:    c.Turn,
		src:     src,
		silence: c.Silence,
		quiet:   c.Quiet,
		retry:   backoffMin,
		// A read takes what has come so far, at most some hundred bytes from a serial line; a file fills it.
		buf: make([]byte, 4096),
	}
	r.status.init(c.Source, c.Log)
	if s, ok := src.(settable); ok {
		s.use(setting{status: &r.status, memory: newMemory(c.State, c.Source, c.Log), silence: c.Silence, turn: c.Turn})
	}
	return r
}

// Run reads the source until ctx is cancelled or a finite source (file, standard input) has ended, and returns nil for
// both. A finite source that breaks off in the middle is the one error. Everything else, a port that is not there, is taken
// away, is refused or says nothing, is told by Status and the log and tried again.
func (r *Receiver) Run(ctx context.Context, c Consumer) error {
	return r.run(ctx, c)
}

// Finite says whether the source comes to an end by itself: a file or standard input, a recording and no receiver.
func (r *Receiver) Finite() bool { return r.src.finite() }

// Status says what the receiver is doing. It may be called from any goroutine.
func (r *Receiver) Status() Status {
	return r.status.snapshot(time.Now())
}

package source

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"gpsbridge/bridge/problem"
)

// Source is one kind of origin of bytes, as a configuration names it. It opens and never retries.
type Source interface {
	Traits() Traits
	// Open returns an open stream, or a *problem.Problem, or one of the errors below. It gives up when ctx ends.
	Open(ctx context.Context, h Host) (Stream, error)
}

// Traits are what is known of a source before it is open.
type Traits struct {
	// Finite sources have an end, and cannot be opened again where they stopped.
	Finite bool
	// Remote sources are opened again at random times, and less often: a connection costs the server and a modem something.
	Remote bool
}

// Errors of Open beside problems.
var (
	// ErrElsewhere: what can be opened has changed meanwhile, so Open is to be called again at once.
	ErrElsewhere = errors.New("another port may have the receiver")
	// ErrSettling may be below a problem that is likely to be gone at the next attempt, and not worth a report.
	ErrSettling = errors.New("the port has just appeared")
)

// ErrNothing: some drivers answer reads of an unplugged port without a byte and without an error, again and again.
var ErrNothing = errors.New("reads return nothing")

// Stream is an open source. All methods but Close are called by one goroutine. Close may be called by another one and more
// than once; it ends a blocked Read at once.
type Stream interface {
	Conn
	// Port is what is open, for the status: the path of a device or a file, or a URL.
	Port() string
	// Heard takes what was read, and Quiet notes the end of a burst. An error ends the stream.
	Heard(p []byte, now time.Time) error
	Quiet(now time.Time) error
	// Rest allows the next Read to return no earlier than a time, so that what comes until then does not wake the process. It reports
	// whether that Read rests, which it does for as long as nothing is lost.
	Rest(until, now time.Time) bool
	// Came is when the last of n bytes came that were read now, at the earliest: now, unless they waited in a rest.
	Came(n int, now time.Time) time.Time
	// Elsewhere reports whether another port may have the receiver. It is asked about once a second while nothing comes.
	Elsewhere() bool
	// Silent is the problem of an open stream that sends nothing.
	Silent() *problem.Problem
	// Lost is the problem that err is, which ended the stream; nil where nothing is wrong.
	Lost(err error) *problem.Problem
}

// Conn is what bytes are read from. Read returns an error matching os.ErrDeadlineExceeded when the deadline passes.
// SetReadDeadline may return os.ErrNoDeadline where a read never blocks for long.
type Conn interface {
	io.ReadCloser
	SetReadDeadline(time.Time) error
}

// Base is the rest of a Stream for sources that need none of it. Its value is the port.
type Base string

func (b Base) Port() string                      { return string(b) }
func (Base) Heard(p []byte, now time.Time) error { return nil }
func (Base) Quiet(now time.Time) error           { return nil }
func (Base) Rest(until, now time.Time) bool      { return false }
func (Base) Came(n int, now time.Time) time.Time { return now }
func (Base) Elsewhere() bool                     { return false }

// Host is what the receiver gives to a source that it opens.
type Host struct {
	Reporter
	// Silence is how long an open port may send nothing before it is opened again.
	Silence time.Duration
	// State is a directory for what a source remembers over restarts, "" for none.
	State string
	// Alive is called by an Open that takes long, with the time within which it calls again.
	Alive func(within time.Duration)
	Log   *slog.Logger
}

// Reporter shows what a source finds out. Its methods may be called by the goroutine of Open and of the stream's reader.
type Reporter interface {
	// Problem shows why nothing can be read yet, nil for no reason so far.
	Problem(*problem.Problem)
	// Line changes what is shown of the line.
	Line(change func(*Line))
	// Warning shows what is wrong with a source although it is read, nil for nothing.
	Warning(*problem.Problem)
}

// Line is what is known of a serial line that is open, or was last.
type Line struct {
	Baud     int    `json:"baud,omitempty"`     // bits a second; while the speed is searched, the one that is tried
	Name     string `json:"name,omitempty"`     // what the port's hardware calls itself
	Protocol string `json:"protocol,omitempty"` // NMEA, or the binary one that it sends; empty while unknown
	// LineErrors are the driver's counts since the port was opened, absent where it keeps none.
	LineErrors
	// LineUse is the share of what the line can carry that the receiver sends, 0 to 1, absent while it is unknown and for a
	// pseudo-terminal, which has no such bound.
	LineUse *float64 `json:"line_use,omitempty"`
}

// LineErrors are what a UART has met. All are there, or none: many drivers, and no network connection, count them.
type LineErrors struct {
	FramingErrors *uint64 `json:"framing_errors,omitempty"` // bytes without a stop bit: a wrong speed, or a bad cable
	Overruns      *uint64 `json:"overruns,omitempty"`       // bytes lost because the machine was too slow
	ParityErrors  *uint64 `json:"parity_errors,omitempty"`
	Breaks        *uint64 `json:"breaks,omitempty"` // times that the line was low for longer than a byte
}

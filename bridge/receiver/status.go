package receiver

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

// State is what a receiver is doing.
type State string

// The states of a receiver.
const (
	Waiting State = "waiting" // nothing is open; it is tried again and again
	Opening State = "opening" // being opened, or open and no byte has come yet
	Reading State = "reading" // bytes come
	Silent  State = "silent"  // open, or being opened again, and no byte has come for 2 s, or longer than between its bursts
	Ended   State = "ended"   // a finite source was read to its end, or Run has returned
)

// stopped is the detail of a receiver that was told to end.
const stopped = "stopped"

// Status is a picture of a Receiver at one moment.
type Status struct {
	Source string `json:"source"` // as configured
	State  State  `json:"state"`
	// Detail is one line: why the state is what it is, and the mend. Empty while all is well.
	Detail string `json:"detail,omitempty"`
	// Port is what is open, or was last: the path of the device or file.
	Port  string    `json:"port,omitempty"`
	Since time.Time `json:"since"` // of the state and its detail
	Bytes uint64    `json:"bytes"` // read since the start, from all ports
	// LastByteAge is the time since the last byte in seconds, absent before the first one.
	LastByteAge *float64 `json:"last_byte_age,omitempty"`
	Opens       uint64   `json:"opens"` // how often a port was opened

	// Of a serial port that is open, or was last.
	Baud     int    `json:"baud,omitempty"`     // bits a second
	Name     string `json:"name,omitempty"`     // what the port's hardware calls itself
	Protocol string `json:"protocol,omitempty"` // NMEA, or the binary one that it speaks: UBX, SiRF; empty while unknown
	// LineErrors are the driver's counts since the port was opened, absent where it keeps none.
	LineErrors
	// LineUse is the share of what the line can carry that the receiver sends, 0 to 1, absent while it is unknown and for a
	// pseudo-terminal, which has no such bound.
	LineUse *float64 `json:"line_use,omitempty"`
	// Hint is one line: what is wrong with the line, and the mend. Empty while it is healthy.
	Hint string `json:"hint,omitempty"`
}

// LineErrors are what a UART has met. All are there, or none: many drivers, and no network connection, count them.
type LineErrors struct {
	FramingErrors *uint64 `json:"framing_errors,omitempty"` // bytes without a stop bit: a wrong speed, or a bad cable
	Overruns      *uint64 `json:"overruns,omitempty"`       // bytes lost because the machine was too slow
	ParityErrors  *uint64 `json:"parity_errors,omitempty"`
	Breaks        *uint64 `json:"breaks,omitempty"` // times that the line was low for longer than a byte
}

// tracker holds the status for other goroutines and logs its changes.
type tracker struct {
	log *slog.Logger

	mu       sync.Mutex
	status   Status
	lastByte time.Time
	// said is what was last logged, so that what is tried again and again is said once.
	said struct {
		state        State
		detail, hint string
		gone         bool // that the port went away, of which it is a part that it does not exist then
	}
}

func (t *tracker) init(source string, log *slog.Logger) {
	t.log = log
	t.status = Status{Source: source, State: Opening, Since: time.Now()}
}

func (t *tracker) snapshot(now time.Time) Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.status
	if !t.lastByte.IsZero() {
		age := now.Sub(t.lastByte).Seconds()
		s.LastByteAge = &age
	}
	return s
}

// opened counts an opened port. A receiver that was opened because it was silent stays "silent" until it says something.
func (t *tracker) opened(port string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.Opens++
	t.status.Port = port
	t.status.Baud, t.status.Name, t.status.Protocol, t.status.LineErrors = 0, "", "", LineErrors{}
	if t.status.State == Waiting {
		t.set(Opening, "")
	}
}

// read counts n bytes.
func (t *tracker) read(n int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.Bytes += uint64(n)
	t.lastByte = now
	if t.status.State != Reading {
		t.set(Reading, "")
	}
}

// become changes the state.
func (t *tracker) become(state State, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set(state, detail)
}

// hunting shows what is wrong with a port that was opened and has not spoken yet; nil is that it says something again.
func (t *tracker) hunting(why *trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if why == nil {
		t.set(Opening, "")
		return
	}
	if why.protocol != "" {
		t.status.Protocol, t.status.Baud = why.protocol, why.baud
	}
	t.set(why.state, why.text)
}

// refused shows why a source could not be opened.
func (t *tracker) refused(err error) {
	var why *trouble
	if errors.As(err, &why) {
		t.hunting(why)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var missing missingError
	if t.said.gone && errors.As(err, &missing) {
		t.move(Waiting, err.Error())
		return
	}
	t.set(Waiting, err.Error())
	var gone goneError
	t.said.gone = errors.As(err, &gone)
}

// change changes what is known of the line, and logs a hint when it is another than the last.
func (t *tracker) change(do func(*Status), hint string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	do(&t.status)
	t.status.Hint = hint
	if hint == t.said.hint {
		return
	}
	t.said.hint = hint
	if hint == "" {
		t.log.Info("receiver line healthy", "source", t.status.Source, "port", t.status.Port)
		return
	}
	t.log.Warn("receiver line in trouble", "source", t.status.Source, "port", t.status.Port, "hint", hint)
}

// move changes state and detail, and says whether they were others. The caller holds mu.
func (t *tracker) move(state State, detail string) bool {
	if t.status.State == state && t.status.Detail == detail {
		return false
	}
	t.status.State, t.status.Detail, t.status.Since = state, detail, time.Now()
	if state == Waiting {
		t.status.Hint, t.status.LineUse = "", nil // of a line that is not open
	}
	return true
}

// set changes state and detail, and logs the change unless it was the last thing said. "opening" is a passage of
// milliseconds and not worth a line. The caller holds mu.
func (t *tracker) set(state State, detail string) {
	if !t.move(state, detail) {
		return
	}
	if state == Opening || t.said.state == state && t.said.detail == detail {
		return
	}
	t.said.state, t.said.detail, t.said.gone = state, detail, false
	attrs := []any{"source", t.status.Source}
	if t.status.Port != "" {
		attrs = append(attrs, "port", t.status.Port)
	}
	if detail != "" {
		attrs = append(attrs, "detail", detail)
	}
	if state == Waiting || state == Silent || state == Ended && detail != "" && detail != stopped {
		t.log.Warn("receiver "+string(state), attrs...)
		return
	}
	t.log.Info("receiver "+string(state), attrs...)
}

package receiver

import (
	"log/slog"
	"sync"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
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

// Status is a picture of a Receiver at one moment.
type Status struct {
	Source string `json:"source"` // as configured
	State  State  `json:"state"`
	// Problem is why the state is what it is, nil while all is well. Its codes are those of package source.
	Problem *problem.Problem `json:"problem,omitempty"`
	// Port is what is open, or was last: the path of the device or file.
	Port  string    `json:"port,omitempty"`
	Since time.Time `json:"since"` // of the state and its problem
	Bytes uint64    `json:"bytes"` // read since the start, from all ports
	// LastByteAge is the time since the last byte in seconds, absent before the first one.
	LastByteAge *float64 `json:"last_byte_age,omitempty"`
	Opens       uint64   `json:"opens"` // how often a port was opened

	source.Line
	// Warning is what is wrong with the line although it is read, nil while it is healthy.
	Warning *problem.Problem `json:"warning,omitempty"`
}

// tracker holds the status for other goroutines and logs its changes.
type tracker struct {
	log *slog.Logger

	mu       sync.Mutex
	status   Status
	lastByte time.Time
	problems problem.Changes
	warnings problem.Changes
	logged   *problem.Problem // the last problem that was logged, nil for none or its end
	greeted  bool             // that bytes come was logged
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

// opened counts an opened port. A receiver that was opened because it was silent stays "silent" until it sends something.
func (t *tracker) opened(port string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.Opens++
	t.status.Port = port
	if t.status.State == Waiting {
		t.set(Opening, nil)
	}
}

// read counts n bytes.
func (t *tracker) read(n int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.Bytes += uint64(n)
	t.lastByte = now
	if t.status.State != Reading || t.logged != nil || !t.greeted {
		t.set(Reading, nil)
		t.report(now)
	}
}

// failed shows why there is nothing to read.
func (t *tracker) failed(p *problem.Problem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	missing := p.Code == source.PortMissing || p.Code == source.NoPort
	if missing && t.status.Problem != nil && t.status.Problem.Code == source.PortLost {
		return // that a port which went away does not exist is not another problem
	}
	state := Waiting
	if p.Code == source.Silent || p.Code == source.DebugPort {
		state = Silent
	}
	t.set(state, p)
	t.report(time.Now())
}

// Problem is of source.Reporter.
func (t *tracker) Problem(p *problem.Problem) {
	if p != nil {
		t.failed(p)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set(Opening, nil)
}

// Line is of source.Reporter.
func (t *tracker) Line(change func(*source.Line)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.status.Line)
}

// ended is the last state, with a problem where a finite source ended otherwise than it should.
func (t *tracker) ended(p *problem.Problem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set(Ended, p)
	if p != nil {
		t.report(time.Now())
		return
	}
	t.log.Info("receiver ended", t.attrs()...)
}

// Warning is of source.Reporter.
func (t *tracker) Warning(p *problem.Problem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.Warning = p
	worth, _ := t.warnings.Report(p, time.Now())
	switch {
	case !worth:
	case p == nil:
		t.log.Info("receiver line healthy", t.attrs()...)
	default:
		t.log.Warn("receiver line in trouble", t.attrs("problem", p)...)
	}
}

// set changes state and problem. The caller holds mu.
func (t *tracker) set(state State, p *problem.Problem) {
	if t.status.State == state && t.status.Problem.Same(p) {
		return
	}
	t.status.State, t.status.Problem, t.status.Since = state, p, time.Now()
	if state == Waiting {
		t.status.Warning, t.status.LineUse = nil, nil // of a line that is not open
	}
}

// report logs the state if it is new. The caller holds mu.
func (t *tracker) report(now time.Time) {
	p := t.status.Problem
	worth, _ := t.problems.Report(p, now)
	if p == nil && !t.greeted {
		worth, t.greeted = true, true
	}
	if !worth {
		return
	}
	t.logged = p
	if p == nil {
		t.log.Info("receiver "+string(t.status.State), t.attrs()...)
		return
	}
	t.log.Warn("receiver "+string(t.status.State), t.attrs("problem", p)...)
}

// attrs are what each line of the log has. The caller holds mu.
func (t *tracker) attrs(more ...any) []any {
	attrs := []any{"source", t.status.Source}
	if t.status.Port != "" {
		attrs = append(attrs, "port", t.status.Port)
	}
	return append(attrs, more...)
}

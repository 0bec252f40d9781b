// Package receivertest runs receivers in tests of the packages below bridge/receiver.
package receivertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/source"
)

// waitMost is how long what is to come is waited for; a test of 25 epochs takes half a minute on an idle machine.
const waitMost = 2 * time.Minute

// Event is a call to a Consumer.
type Event struct {
	At   time.Duration // since the recorder was made
	What string        // "opened", "quiet", or the data
}

// Recorder is a Consumer that keeps what it gets.
type Recorder struct {
	RestFor time.Duration // what Rest returns

	began  time.Time
	mu     sync.Mutex
	events []Event
	data   strings.Builder
	log    strings.Builder
	more   chan struct{} // gets a value with each event, when there is room
}

// NewRecorder returns one that counts times from now on.
func NewRecorder() *Recorder {
	return &Recorder{began: time.Now(), more: make(chan struct{}, 1)}
}

func (r *Recorder) add(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, Event{time.Since(r.began), what})
	r.poke()
}

// poke lets Wait look again.
func (r *Recorder) poke() {
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// Write takes a line of the log: a change of state.
func (r *Recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.poke()
	return r.log.Write(p)
}

// Logged reports whether a problem was logged. A status may show it for a moment only.
func (r *Recorder) Logged(problem string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.log.String(), fmt.Sprintf(" problem=%q", problem))
}

func (r *Recorder) Opened()             { r.add("opened") }
func (r *Recorder) Quiet()              { r.add("quiet") }
func (r *Recorder) Rest() time.Duration { return r.RestFor }
func (r *Recorder) Data(p []byte) {
	r.mu.Lock()
	r.data.Write(p)
	r.mu.Unlock()
	r.add(string(p))
}

// All is the data so far.
func (r *Recorder) All() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.data.String()
}

// Events are the calls so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}

// What is Events without their times.
func (r *Recorder) What() []string {
	var all []string
	for _, e := range r.Events() {
		all = append(all, e.What)
	}
	return all
}

// Wait waits until the data fulfil a condition.
func (r *Recorder) Wait(t *testing.T, what string, enough func(data string) bool) {
	t.Helper()
	timeout := time.After(waitMost)
	for {
		data := r.All()
		if enough(data) {
			return
		}
		select {
		case <-r.more:
		case <-time.After(10 * time.Millisecond): // a condition of a status
		case <-timeout:
			t.Fatalf("no %s within %v in %d bytes that end in %q", what, waitMost, len(data), data[max(0, len(data)-100):])
		}
	}
}

// WaitStatus waits until a status fulfils a condition, and returns it.
func WaitStatus(t *testing.T, r *receiver.Receiver, what string, enough func(receiver.Status) bool) receiver.Status {
	t.Helper()
	for deadline := time.Now().Add(waitMost); ; time.Sleep(5 * time.Millisecond) {
		s := r.Status()
		if enough(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v: %+v", what, waitMost, s)
		}
	}
}

// Start runs a Receiver. The function that it returns ends it.
func Start(t *testing.T, src source.Source, c receiver.Config) (*receiver.Receiver, *Recorder, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	rec, done := NewRecorder(), make(chan error, 1)
	c.Log = slog.New(slog.NewTextHandler(rec, nil))
	r := receiver.New(src, c)
	go func() { done <- r.Run(ctx, rec) }()
	return r, rec, func() {
		t.Helper()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(waitMost):
			t.Fatal("Run did not return when its context had ended")
		}
	}
}

// Running is a Receiver in a synctest bubble.
type Running struct {
	*receiver.Receiver
	Rec    *Recorder
	Err    chan error
	Cancel context.CancelFunc
}

// Run runs a Receiver in a synctest bubble.
func Run(t *testing.T, src source.Source, c receiver.Config) Running {
	ctx, cancel := context.WithCancel(t.Context())
	r := Running{Receiver: receiver.New(src, c), Rec: NewRecorder(), Cancel: cancel, Err: make(chan error, 1)}
	go func() { r.Err <- r.Receiver.Run(ctx, r.Rec) }()
	return r
}

// Stop cancels, and wants Run to return nil at once.
func (r Running) Stop(t *testing.T) {
	t.Helper()
	began := time.Now()
	r.Cancel()
	if err := <-r.Err; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > 0 {
		t.Errorf("Run took %v to return", took)
	}
}

// FakeSource is a source made of a function, which gets the number of the attempt, from 0.
type FakeSource struct {
	Kind  source.Traits
	Try   func(n int) (source.Conn, error)
	opens int
}

func (f *FakeSource) Traits() source.Traits { return f.Kind }

func (f *FakeSource) Open(context.Context, source.Host) (source.Stream, error) {
	f.opens++
	c, err := f.Try(f.opens - 1)
	if err != nil {
		return nil, err
	}
	return fakeStream{c, FakePort, f.Kind.Finite}, nil
}

// FakePort is the port of a FakeSource.
const FakePort source.Base = "/dev/fake"

type fakeStream struct {
	source.Conn
	source.Base
	finite bool
}

func (s fakeStream) Silent() *problem.Problem { return source.SilentPort(s.Port()) }
func (s fakeStream) Lost(err error) *problem.Problem {
	switch {
	case !s.finite:
		return source.LostPort(s.Port(), err)
	case errors.Is(err, io.EOF):
		return nil
	}
	return &problem.Problem{Code: source.FileFailed, Cause: fmt.Sprintf("read %s: %v", s.Port(), err), Err: err}
}

// ErrFake is an error for Try.
var ErrFake = errors.New("the fake port is not there")

// Piped makes a source of pipes; each open sends the other end.
func Piped() (*FakeSource, <-chan net.Conn) {
	others := make(chan net.Conn, 100)
	return &FakeSource{Try: func(int) (source.Conn, error) {
		mine, other := net.Pipe()
		others <- other
		return mine, nil
	}}, others
}

// Log collects the lines of a log, without their times.
type Log struct {
	mu    sync.Mutex
	lines []string
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.TrimSpace(string(p)))
	return len(p), nil
}

// Lines are those so far.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// Logger writes to l.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// Text is a problem in one line, "" for none.
func Text(p *problem.Problem) string {
	if p == nil {
		return ""
	}
	return p.Error()
}

// Write writes s.
func Write(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Error(err)
	}
}

// Has is a condition for Wait.
func Has(want string) func(string) bool {
	return func(data string) bool { return strings.Contains(data, want) }
}

// Sentence makes a sentence of what is between $ and *.
func Sentence(format string, args ...any) string {
	body := fmt.Sprintf(format, args...)
	sum := byte(0)
	for _, c := range []byte(body) {
		sum ^= c
	}
	return fmt.Sprintf("$%s*%02X\r\n", body, sum)
}

// RMC is a sentence of a time of day, such as "120000.00".
func RMC(clock string) string {
	return Sentence("GPRMC,%s,A,5130.202,N,00007.657,W,0.5,84.4,231126,,,A", clock)
}

// Epoch is one epoch of a receiver, at a second after nine in the morning, with a fix or without.
func Epoch(second int, fix bool) []byte {
	status := "V,,,,,,"
	if fix {
		status = "A,5130.0000,N,00007.5000,W,27.0,84.4"
	}
	return []byte(Sentence("GPRMC,0900%02d.00,%s,231126,,,A", second, status))
}

// Report keeps what a source reports.
type Report struct {
	mu      sync.Mutex
	line    source.Line
	problem *problem.Problem
	warning *problem.Problem
}

// NewHost returns a Host for a source that a test opens itself, and what the source reports to it.
func NewHost() (source.Host, *Report) {
	r := &Report{}
	return source.Host{Reporter: r, Silence: receiver.DefaultSilence, Alive: func(time.Duration) {}, Log: slog.New(slog.DiscardHandler)}, r
}

func (r *Report) Problem(p *problem.Problem)     { r.mu.Lock(); defer r.mu.Unlock(); r.problem = p }
func (r *Report) Warning(p *problem.Problem)     { r.mu.Lock(); defer r.mu.Unlock(); r.warning = p }
func (r *Report) Line(change func(*source.Line)) { r.mu.Lock(); defer r.mu.Unlock(); change(&r.line) }

// Status is what was reported last.
func (r *Report) Status() receiver.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return receiver.Status{Line: r.line, Problem: r.problem, Warning: r.warning}
}

package receiver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gpsbridge/bridge/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// event is a call to a Consumer.
type event struct {
	At   time.Duration // since the recorder was made
	What string        // "opened", "quiet", or the data
}

// recorder is a Consumer that keeps what it is told. It is read when Run has returned, or through wait.
type recorder struct {
	began time.Time

	mu     sync.Mutex
	events []event
	data   strings.Builder
	more   chan struct{} // gets a value with each event, when there is room
}

func newRecorder() *recorder {
	return &recorder{began: time.Now(), more: make(chan struct{}, 1)}
}

func (r *recorder) add(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event{time.Since(r.began), what})
	r.poke()
}

// poke lets wait look again.
func (r *recorder) poke() {
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// Write takes a line of the log: a change of state.
func (r *recorder) Write(p []byte) (int, error) {
	r.poke()
	return len(p), nil
}

func (r *recorder) Opened() { r.add("opened") }
func (r *recorder) Quiet()  { r.add("quiet") }
func (r *recorder) Data(p []byte) {
	r.mu.Lock()
	r.data.Write(p)
	r.mu.Unlock()
	r.add(string(p))
}

// wait waits until the data fulfil a condition.
func (r *recorder) wait(t *testing.T, what string, enough func(data string) bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		data := r.data.String()
		r.mu.Unlock()
		if enough(data) {
			return
		}
		select {
		case <-r.more:
		case <-timeout:
			t.Fatalf("no %s within 20 s in %d bytes that end in %q", what, len(data), data[max(0, len(data)-100):])
		}
	}
}

func (r *recorder) what() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, e := range r.events {
		all = append(all, e.What)
	}
	return all
}

// fakeSource is a source made of a function, which gets the number of the attempt, from 0.
type fakeSource struct {
	opens  int
	try    func(n int) (conn, error)
	ending bool
}

func (f *fakeSource) finite() bool { return f.ending }

func (f *fakeSource) open(context.Context) (stream, error) {
	f.opens++
	c, err := f.try(f.opens - 1)
	return stream{conn: c, port: "/dev/fake"}, err
}

// piped makes a source of pipes; each open sends the other end.
func piped() (*fakeSource, <-chan net.Conn) {
	others := make(chan net.Conn, 100)
	return &fakeSource{try: func(int) (conn, error) {
		mine, other := net.Pipe()
		others <- other
		return mine, nil
	}}, others
}

var errFake = errors.New("the fake port is not there")

// logged collects the lines of a log.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.TrimSpace(string(p)))
	return len(p), nil
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// text is a problem in one line, "" for none.
func text(p *problem.Problem) string {
	if p == nil {
		return ""
	}
	return p.Error()
}

package receiver_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"

	"github.com/google/go-cmp/cmp"
)

// restStream rests as long as it may, and notes for how long. What it reads after a rest may have come since its begin.
type restStream struct {
	net.Conn
	source.Base
	rests       []time.Duration
	from, until time.Time
	shut        chan struct{}
}

func (s *restStream) Close() error                    { close(s.shut); return s.Conn.Close() }
func (s *restStream) Silent() *problem.Problem        { return source.SilentPort(s.Port()) }
func (s *restStream) Lost(err error) *problem.Problem { return source.LostPort(s.Port(), err) }

func (s *restStream) Rest(until, now time.Time) bool {
	if !until.After(now) {
		return false
	}
	s.rests = append(s.rests, until.Sub(now))
	s.from, s.until = now, until
	return true
}

func (s *restStream) Came(_ int, now time.Time) time.Time {
	if now.After(s.until) {
		return now
	}
	return s.from
}

func (s *restStream) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Until(s.until)):
	case <-s.shut:
	}
	return s.Conn.Read(p)
}

// resting is a source of one restStream.
type resting struct{ stream *restStream }

func (resting) Traits() source.Traits                                      { return source.Traits{} }
func (s resting) Open(context.Context, source.Host) (source.Stream, error) { return s.stream, nil }

// inRest runs a receiver whose consumer wants rests, for test to write to its line.
func inRest(t *testing.T, rest time.Duration, test func(t *testing.T, r *receiver.Receiver, line *restStream, other net.Conn, rec *receivertest.Recorder)) {
	synctest.Test(t, func(t *testing.T) {
		mine, other := net.Pipe()
		line, rec := &restStream{Conn: mine, Base: "/dev/fake", shut: make(chan struct{})}, receivertest.NewRecorder()
		rec.RestFor = rest
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		r := receiver.New(resting{line}, receiver.Config{})
		go func() { done <- r.Run(ctx, rec) }()
		synctest.Wait()
		test(t, r, line, other, rec)
		began := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(began) != 0 {
			t.Errorf("Run: %v after %v", err, time.Since(began))
		}
	})
}

// TestRest: what comes while the next fix is expected is read when that is due, and a quiet line is of no interest before.
func TestRest(t *testing.T) {
	const ms = time.Millisecond
	for _, rest := range []time.Duration{50 * ms, 700 * ms} {
		inRest(t, rest, func(t *testing.T, _ *receiver.Receiver, line *restStream, other net.Conn, rec *receivertest.Recorder) {
			receivertest.Write(t, other, "a")
			receivertest.Write(t, other, "b") // in the rest
			time.Sleep(rest + 2*time.Second)
			synctest.Wait()
			want := []receivertest.Event{{At: 0, What: "opened"}, {At: 0, What: "a"}, {At: rest, What: "b"}, {At: 2*rest + receiver.DefaultQuiet, What: "quiet"}}
			if diff := cmp.Diff(want, rec.Events()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]time.Duration{rest, rest}, line.rests); diff != "" {
				t.Errorf("rests (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoRest: without an expected fix there is none, and the end of a burst is noticed after DefaultQuiet.
func TestNoRest(t *testing.T) {
	inRest(t, -time.Second, func(t *testing.T, _ *receiver.Receiver, line *restStream, other net.Conn, rec *receivertest.Recorder) {
		receivertest.Write(t, other, "a")
		time.Sleep(time.Second)
		want := []receivertest.Event{{At: 0, What: "opened"}, {At: 0, What: "a"}, {At: receiver.DefaultQuiet, What: "quiet"}}
		if diff := cmp.Diff(want, rec.Events()); diff != "" || line.rests != nil {
			t.Errorf("rests %v, (-want +got):\n%s", line.rests, diff)
		}
	})
}

// TestSilenceInRest: a receiver that stops is shown as silent as long after its last byte as ever, however far the fix is that was
// expected, and although nothing was read meanwhile.
func TestSilenceInRest(t *testing.T) {
	const notice = 1900 * time.Millisecond
	inRest(t, time.Second, func(t *testing.T, r *receiver.Receiver, _ *restStream, other net.Conn, _ *receivertest.Recorder) {
		receivertest.Write(t, other, "a")
		receivertest.Write(t, other, "b") // read a second later
		for _, want := range []struct {
			after time.Duration
			state receiver.State
		}{{notice - time.Second - 1, receiver.Reading}, {1, receiver.Silent}} {
			time.Sleep(want.after)
			synctest.Wait()
			if got := r.Status().State; got != want.state {
				t.Errorf("after another %v: %s, want %s", want.after, got, want.state)
			}
		}
	})
}

// TestCancelInRest: it ends at once, and what was under way is complete.
func TestCancelInRest(t *testing.T) {
	inRest(t, time.Hour, func(t *testing.T, _ *receiver.Receiver, _ *restStream, other net.Conn, rec *receivertest.Recorder) {
		receivertest.Write(t, other, "a")
		synctest.Wait()
		t.Cleanup(func() {
			if diff := cmp.Diff([]string{"opened", "a", "quiet"}, rec.What()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	})
}

package receiver_test

import (
	"context"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"

	"github.com/google/go-cmp/cmp"
)

// restStream notes its rests.
type restStream struct {
	net.Conn
	source.Base
	most  time.Duration
	rests []time.Duration
	shut  chan struct{}
}

func (s *restStream) MostRest() time.Duration         { return s.most }
func (s *restStream) Close() error                    { close(s.shut); return s.Conn.Close() }
func (s *restStream) Silent() *problem.Problem        { return source.SilentPort(s.Port()) }
func (s *restStream) Lost(err error) *problem.Problem { return source.LostPort(s.Port(), err) }
func (s *restStream) Rest(until time.Time) error {
	s.rests = append(s.rests, time.Until(until))
	if err := s.Conn.SetReadDeadline(until); err != nil {
		return err
	}
	select {
	case <-time.After(time.Until(until)):
		return nil
	case <-s.shut:
		return os.ErrClosed
	}
}

// resting is a source of one restStream.
type resting struct{ stream *restStream }

func (resting) Traits() source.Traits                                      { return source.Traits{} }
func (s resting) Open(context.Context, source.Host) (source.Stream, error) { return s.stream, nil }

// inRest runs a receiver whose consumer wants rests, for test to write to its line.
func inRest(t *testing.T, rest, most time.Duration, test func(t *testing.T, line *restStream, other net.Conn, rec *receivertest.Recorder)) {
	synctest.Test(t, func(t *testing.T) {
		mine, other := net.Pipe()
		line, rec := &restStream{Conn: mine, Base: "/dev/fake", most: most, shut: make(chan struct{})}, receivertest.NewRecorder()
		rec.RestFor = rest
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- receiver.New(resting{line}, receiver.Config{}).Run(ctx, rec) }()
		synctest.Wait()
		test(t, line, other, rec)
		began := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(began) != 0 {
			t.Errorf("Run: %v after %v", err, time.Since(began))
		}
	})
}

// TestRest: how long it is, that what comes in it is read behind it, and that silence is counted from there.
func TestRest(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name             string
		wants, most, got time.Duration
	}{
		{"as wanted", 50 * ms, time.Second, 50 * ms},
		{"not worth it", 5 * ms, time.Second, 0},
		{"none", 0, time.Second, 0},
		{"as the line allows", 80 * ms, 30 * ms, 30 * ms},
		{"at most", time.Hour, time.Hour, 200 * ms},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inRest(t, test.wants, test.most, func(t *testing.T, line *restStream, other net.Conn, rec *receivertest.Recorder) {
				receivertest.Write(t, other, "a")
				receivertest.Write(t, other, "b") // in the rest
				time.Sleep(time.Second)
				synctest.Wait()
				want := []receivertest.Event{{At: 0, What: "opened"}, {At: 0, What: "a"}, {At: test.got, What: "b"}, {At: test.got + receiver.DefaultQuiet, What: "quiet"}}
				if diff := cmp.Diff(want, rec.Events()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				var rests []time.Duration
				if test.got > 0 {
					rests = []time.Duration{test.got, test.got}
				}
				if diff := cmp.Diff(rests, line.rests); diff != "" {
					t.Errorf("rests (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestRestLeavesRoomForTheQuiet: of a receiver that pauses for 320 ms the end of each burst is seen.
func TestRestLeavesRoomForTheQuiet(t *testing.T) {
	const ms = time.Millisecond
	inRest(t, time.Hour, time.Hour, func(t *testing.T, line *restStream, other net.Conn, rec *receivertest.Recorder) {
		receivertest.Write(t, other, "a")
		time.Sleep(320 * ms)
		receivertest.Write(t, other, "b")
		receivertest.Write(t, other, "c") // in the rest, so the pause seems to begin when that is over
		time.Sleep(260 * ms)
		receivertest.Write(t, other, "d")
		synctest.Wait()
		want := []receivertest.Event{{At: 0, What: "opened"}, {At: 0, What: "a"}, {At: 250 * ms, What: "quiet"}, {At: 320 * ms, What: "b"},
			{At: 380 * ms, What: "c"}, {At: 630 * ms, What: "quiet"}, {At: 640 * ms, What: "d"}}
		if diff := cmp.Diff(want, rec.Events()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestRestOfAFastLine: a line that fills half the kernel's buffer in a rest is faster than it says, and gets no other.
func TestRestOfAFastLine(t *testing.T) {
	inRest(t, 50*time.Millisecond, time.Second, func(t *testing.T, line *restStream, other net.Conn, _ *receivertest.Recorder) {
		for range 3 {
			receivertest.Write(t, other, string(make([]byte, 2048)))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if len(line.rests) != 1 {
			t.Errorf("%d rests, want one", len(line.rests))
		}
	})
}

// TestCancelInRest: it ends at once, and what was under way is complete.
func TestCancelInRest(t *testing.T) {
	inRest(t, time.Hour, time.Hour, func(t *testing.T, line *restStream, other net.Conn, rec *receivertest.Recorder) {
		receivertest.Write(t, other, "a")
		synctest.Wait()
		t.Cleanup(func() {
			if diff := cmp.Diff([]string{"opened", "a", "quiet"}, rec.What()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	})
}

package receiver

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/receiver/source"

	"github.com/google/go-cmp/cmp"
)

// running is a Receiver in a synctest bubble.
type running struct {
	*Receiver
	rec    *recorder
	cancel context.CancelFunc
	err    chan error
}

func run(t *testing.T, c Config, src opener) running {
	ctx, cancel := context.WithCancel(t.Context())
	r := running{Receiver: newReceiver(c, src), rec: newRecorder(), cancel: cancel, err: make(chan error, 1)}
	go func() { r.err <- r.Run(ctx, r.rec) }()
	return r
}

// stop cancels, and wants Run to return nil at once.
func (r running) stop(t *testing.T) {
	t.Helper()
	began := time.Now()
	r.cancel()
	if err := <-r.err; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > 0 {
		t.Errorf("Run took %v to return", took)
	}
}

func write(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Error(err)
	}
}

func TestQuietOncePerSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := piped()
		r := run(t, Config{}, src)
		other := <-others
		for range 2 { // two bursts a second, each in pieces with pauses that are shorter than Quiet
			write(t, other, "a")
			time.Sleep(200 * time.Millisecond)
			write(t, other, "b")
			time.Sleep(800 * time.Millisecond)
		}
		r.stop(t)
		ms := time.Millisecond
		want := []event{{0, "opened"}, {0, "a"}, {200 * ms, "b"}, {450 * ms, "quiet"}, {1000 * ms, "a"}, {1200 * ms, "b"}, {1450 * ms, "quiet"}}
		if diff := cmp.Diff(want, r.rec.events); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestBurstIsEnded: what is under way when the port goes, or Run is told to stop, is complete too.
func TestBurstIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := piped()
		r := run(t, Config{}, src)
		first := <-others
		write(t, first, "a")
		_ = first.Close()
		second := <-others
		write(t, second, "b")
		synctest.Wait()
		r.stop(t)
		if diff := cmp.Diff([]string{"opened", "a", "quiet", "opened", "b", "quiet"}, r.rec.what()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestSilentPortIsReopened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := piped()
		log := &logged{}
		r := run(t, Config{Source: "fake", Log: log.logger()}, src)
		first := <-others
		write(t, first, "a")
		synctest.Wait()
		began := time.Now()
		second := <-others // nothing is sent: it is opened again
		if waited := time.Since(began); waited != DefaultSilence+backoffMin {
			t.Errorf("reopened after %v", waited)
		}
		if _, err := first.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the silent port was left open: %v", err)
		}
		synctest.Wait()
		s := r.Status()
		want := "/dev/fake sends nothing: check the receiver's power and cable"
		if s.State != Silent || text(s.Problem) != want || s.Opens != 2 || s.LastByteAge == nil || *s.LastByteAge != 10.5 {
			t.Errorf("status of a silent port: %+v", s)
		}
		third := <-others // still silent: again, and nothing new to say
		_ = second
		write(t, third, "b")
		synctest.Wait()
		if s := r.Status(); s.State != Reading || text(s.Problem) != "" || s.Bytes != 2 {
			t.Errorf("status of a port that speaks again: %+v", s)
		}
		r.stop(t)
		wantLog := []string{
			`level=INFO msg="receiver reading" source=fake port=/dev/fake`,
			`level=WARN msg="receiver silent" source=fake port=/dev/fake problem="` + want + `"`,
			`level=INFO msg="receiver reading" source=fake port=/dev/fake`,
			`level=INFO msg="receiver ended" source=fake port=/dev/fake`,
		}
		if diff := cmp.Diff(wantLog, log.lines); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// TestBackoff: a port that is not there is looked for ever more slowly, but never so that plugging it in is noticed after
// more than two seconds; and said once.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logged{}
		var at []time.Duration
		began := time.Now()
		src := &fakeSource{try: func(int) (conn, error) {
			at = append(at, time.Since(began))
			return nil, errFake
		}}
		r := run(t, Config{Source: "fake", Log: log.logger()}, src)
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := r.Status(); s.State != Waiting || text(s.Problem) != errFake.Error() || s.Opens != 0 || s.LastByteAge != nil || s.Since.Sub(began) != 0 {
			t.Errorf("status: %+v", s)
		}
		r.stop(t)
		ms := time.Millisecond
		if diff := cmp.Diff([]time.Duration{0, 500 * ms, 1500 * ms, 3000 * ms, 4500 * ms}, at[:5]); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if n := len(at); n < 2000 || n > 2500 {
			t.Errorf("%d attempts in an hour", n)
		}
		want := []string{
			`level=WARN msg="receiver waiting" source=fake problem="the fake port is not there"`,
			`level=INFO msg="receiver ended" source=fake`,
		}
		if diff := cmp.Diff(want, log.lines); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// deadConn is an unplugged port whose reads return nothing, or fail, at once and for ever.
type deadConn struct {
	net.Conn
	reads *int
	err   error
}

func (d deadConn) Read([]byte) (int, error)        { *d.reads++; return 0, d.err }
func (d deadConn) SetReadDeadline(time.Time) error { return nil }
func (d deadConn) Close() error                    { return nil }

func TestDeadPortDoesNotSpin(t *testing.T) {
	for _, err := range []error{nil, io.EOF, errors.New("input/output error")} {
		synctest.Test(t, func(t *testing.T) {
			reads := 0
			src := &fakeSource{try: func(int) (conn, error) { return deadConn{reads: &reads, err: err}, nil }}
			log := &logged{}
			r := run(t, Config{Log: log.logger()}, src)
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(log.lines) != 1 {
				t.Errorf("what stays the same is said %d times", len(log.lines))
			}
			if s := r.Status(); s.State != Opening && s.State != Waiting {
				t.Errorf("status: %+v", s)
			}
			r.stop(t)
			if reads < 10 || reads > 50 {
				t.Errorf("reads that return %v: %d in a minute", err, reads)
			}
		})
	}
}

// TestBackoffStartsAgain: a port that gave bytes and is pulled out is looked for quickly again.
func TestBackoffStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := piped()
		open := src.try
		src.try = func(n int) (conn, error) {
			if n < 5 {
				return nil, errFake
			}
			return open(n)
		}
		r := run(t, Config{}, src)
		other := <-others
		for range 3 {
			write(t, other, "a")
			synctest.Wait()
			began := time.Now()
			_ = other.Close()
			synctest.Wait()
			want := "/dev/fake went away (hung up): plug the receiver in again"
			if s := r.Status(); s.State != Waiting || text(s.Problem) != want {
				t.Errorf("status: %+v", s)
			}
			other = <-others
			if waited := time.Since(began); waited != backoffMin {
				t.Errorf("reopened after %v", waited)
			}
		}
		r.stop(t)
	})
}

// TestUnpluggedIsSaidOnce: that a port does not exist is no news after it went away, but is after anything else.
func TestUnpluggedIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := piped()
		open, missing := src.try, explain("/dev/fake", os.ErrNotExist)
		src.try = func(n int) (conn, error) {
			switch n {
			case 0, 4:
				return open(n)
			case 8:
				return nil, errFake
			}
			return nil, missing
		}
		log := &logged{}
		r := run(t, Config{Source: "fake", Log: log.logger()}, src)
		for range 2 {
			other := <-others
			write(t, other, "a")
			synctest.Wait()
			_ = other.Close()
			time.Sleep(backoffMin)
			synctest.Wait()
			if s := r.Status(); s.State != Waiting || s.Problem.Code != source.PortLost {
				t.Errorf("status: %+v", s)
			}
		}
		time.Sleep(time.Minute)
		r.stop(t)
		const (
			reading = `level=INFO msg="receiver reading" source=fake port=/dev/fake`
			waiting = `level=WARN msg="receiver waiting" source=fake port=/dev/fake problem="`
			gone    = waiting + `/dev/fake went away (hung up): plug the receiver in again"`
		)
		want := []string{
			reading, gone, reading, waiting + errFake.Error() + `"`, waiting + missing.Error() + `"`,
			`level=INFO msg="receiver ended" source=fake port=/dev/fake`,
		}
		if diff := cmp.Diff(want, log.lines); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestFiniteSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := piped()
		src.ending = true
		r := run(t, Config{}, src)
		other := <-others
		sentence := rmc("120000")
		write(t, other, sentence[:5])
		time.Sleep(time.Hour) // it may pause as long as it likes
		write(t, other, sentence[5:])
		_ = other.Close()
		if err := <-r.err; err != nil {
			t.Errorf("Run: %v", err)
		}
		if diff := cmp.Diff([]string{"opened", sentence[:5], "quiet", sentence[5:], "quiet"}, r.rec.what()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if s := r.Status(); s.State != Ended || text(s.Problem) != "" || s.Bytes != uint64(len(sentence)) {
			t.Errorf("status: %+v", s)
		}
		r.cancel()
	})
}

func TestFiniteSourceBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		src := &fakeSource{ending: true, try: func(int) (conn, error) {
			return deadConn{reads: &reads, err: errors.New("input/output error")}, nil
		}}
		r := run(t, Config{}, src)
		if err := <-r.err; err == nil || err.Error() != "read /dev/fake: input/output error" {
			t.Errorf("Run: %v", err)
		}
		if s := r.Status(); s.State != Ended || text(s.Problem) != "read /dev/fake: input/output error" {
			t.Errorf("status: %+v", s)
		}
		r.cancel()
	})
}

// TestCancel ends Run at once wherever it is: before the start, in a read, in the backoff.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		src, others := piped()
		if err := newReceiver(Config{}, src).Run(ctx, newRecorder()); err != nil || len(others) > 0 {
			t.Errorf("Run with an ended context: %v, %d opened", err, len(others))
		}
		r := run(t, Config{}, src)
		<-others
		synctest.Wait()
		r.stop(t)
		r = run(t, Config{}, &fakeSource{try: func(int) (conn, error) { return nil, errFake }})
		time.Sleep(2 * time.Second)
		r.stop(t)
		if s := r.Status(); s.State != Ended {
			t.Errorf("status: %+v", s)
		}
	})
}

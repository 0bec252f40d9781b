package receiver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"

	"github.com/google/go-cmp/cmp"
)

func TestQuietOncePerSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := receivertest.Piped()
		r := receivertest.Run(t, src, receiver.Config{})
		other := <-others
		for range 2 { // two bursts a second, each in pieces with pauses that are shorter than Quiet
			receivertest.Write(t, other, "a")
			time.Sleep(200 * time.Millisecond)
			receivertest.Write(t, other, "b")
			time.Sleep(800 * time.Millisecond)
		}
		r.Stop(t)
		ms := time.Millisecond
		want := []receivertest.Event{{At: 0, What: "opened"}, {At: 0, What: "a"}, {At: 200 * ms, What: "b"}, {At: 450 * ms, What: "quiet"}, {At: 1000 * ms, What: "a"}, {At: 1200 * ms, What: "b"}, {At: 1450 * ms, What: "quiet"}}
		if diff := cmp.Diff(want, r.Rec.Events()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestBurstIsEnded: what is under way when the port goes, or Run is stopped, is complete too.
func TestBurstIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := receivertest.Piped()
		r := receivertest.Run(t, src, receiver.Config{})
		first := <-others
		receivertest.Write(t, first, "a")
		_ = first.Close()
		second := <-others
		receivertest.Write(t, second, "b")
		synctest.Wait()
		r.Stop(t)
		if diff := cmp.Diff([]string{"opened", "a", "quiet", "opened", "b", "quiet"}, r.Rec.What()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestSilentPortIsReopened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := receivertest.Piped()
		log := &receivertest.Log{}
		r := receivertest.Run(t, src, receiver.Config{Source: "fake", Log: log.Logger()})
		first := <-others
		receivertest.Write(t, first, "a")
		synctest.Wait()
		began := time.Now()
		second := <-others // nothing is sent: it is opened again
		if waited := time.Since(began); waited != receiver.DefaultSilence {
			t.Errorf("reopened after %v", waited)
		}
		if _, err := first.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the silent port was left open: %v", err)
		}
		synctest.Wait()
		s := r.Status()
		want := "/dev/fake sends nothing: check the receiver's power and cable"
		if s.State != receiver.Silent || receivertest.Text(s.Problem) != want || s.Opens != 2 || s.LastByteAge == nil || *s.LastByteAge != 10 {
			t.Errorf("status of a silent port: %+v", s)
		}
		third := <-others // still silent: again, and nothing new to say
		_ = second
		receivertest.Write(t, third, "b")
		synctest.Wait()
		if s := r.Status(); s.State != receiver.Reading || receivertest.Text(s.Problem) != "" || s.Bytes != 2 {
			t.Errorf("status of a port that speaks again: %+v", s)
		}
		r.Stop(t)
		wantLog := []string{
			`level=INFO msg="receiver reading" source=fake port=/dev/fake`,
			`level=WARN msg="receiver silent" source=fake port=/dev/fake problem="` + want + `"`,
			`level=INFO msg="receiver reading" source=fake port=/dev/fake`,
			`level=INFO msg="receiver ended" source=fake port=/dev/fake`,
		}
		if diff := cmp.Diff(wantLog, log.Lines()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// TestBackoff: a port that is not there is looked for ever more slowly, but never so that plugging it in is noticed after
// more than two seconds; and said once.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &receivertest.Log{}
		var at []time.Duration
		began := time.Now()
		src := &receivertest.FakeSource{Try: func(int) (source.Conn, error) {
			at = append(at, time.Since(began))
			return nil, receivertest.ErrFake
		}}
		r := receivertest.Run(t, src, receiver.Config{Source: "fake", Log: log.Logger()})
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := r.Status(); s.State != receiver.Waiting || receivertest.Text(s.Problem) != receivertest.ErrFake.Error() || s.Opens != 0 || s.LastByteAge != nil || s.Since.Sub(began) != 0 {
			t.Errorf("status: %+v", s)
		}
		r.Stop(t)
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
		if diff := cmp.Diff(want, log.Lines()); diff != "" {
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
			src := &receivertest.FakeSource{Try: func(int) (source.Conn, error) { return deadConn{reads: &reads, err: err}, nil }}
			log := &receivertest.Log{}
			r := receivertest.Run(t, src, receiver.Config{Log: log.Logger()})
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(log.Lines()) != 1 {
				t.Errorf("what stays the same is said %d times", len(log.Lines()))
			}
			if s := r.Status(); s.State != receiver.Opening && s.State != receiver.Waiting {
				t.Errorf("status: %+v", s)
			}
			r.Stop(t)
			if reads < 10 || reads > 50 {
				t.Errorf("reads that return %v: %d in a minute", err, reads)
			}
		})
	}
}

// TestBackoffStartsAgain: a port that gave bytes and is pulled out is looked for quickly again.
func TestBackoffStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := receivertest.Piped()
		open := src.Try
		src.Try = func(n int) (source.Conn, error) {
			if n < 5 {
				return nil, receivertest.ErrFake
			}
			return open(n)
		}
		r := receivertest.Run(t, src, receiver.Config{})
		other := <-others
		for range 3 {
			receivertest.Write(t, other, "a")
			synctest.Wait()
			began := time.Now()
			_ = other.Close()
			synctest.Wait()
			want := "/dev/fake went away (hung up): plug the receiver in again"
			if s := r.Status(); s.State != receiver.Waiting || receivertest.Text(s.Problem) != want {
				t.Errorf("status: %+v", s)
			}
			other = <-others
			if waited := time.Since(began); waited != 500*time.Millisecond {
				t.Errorf("reopened after %v", waited)
			}
		}
		r.Stop(t)
	})
}

// TestUnpluggedIsSaidOnce: that a port does not exist is no news after it went away, but is after anything else.
func TestUnpluggedIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := receivertest.Piped()
		open, missing := src.Try, &problem.Problem{Code: source.PortMissing, Cause: "/dev/fake does not exist"}
		src.Try = func(n int) (source.Conn, error) {
			switch n {
			case 0, 4:
				return open(n)
			case 8:
				return nil, receivertest.ErrFake
			}
			return nil, missing
		}
		log := &receivertest.Log{}
		r := receivertest.Run(t, src, receiver.Config{Source: "fake", Log: log.Logger()})
		for range 2 {
			other := <-others
			receivertest.Write(t, other, "a")
			synctest.Wait()
			_ = other.Close()
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
			if s := r.Status(); s.State != receiver.Waiting || s.Problem.Code != source.PortLost {
				t.Errorf("status: %+v", s)
			}
		}
		time.Sleep(time.Minute)
		r.Stop(t)
		const (
			reading = `level=INFO msg="receiver reading" source=fake port=/dev/fake`
			waiting = `level=WARN msg="receiver waiting" source=fake port=/dev/fake problem="`
			gone    = waiting + `/dev/fake went away (hung up): plug the receiver in again"`
		)
		want := []string{
			reading, gone, reading, waiting + receivertest.ErrFake.Error() + `"`, waiting + missing.Error() + `"`,
			`level=INFO msg="receiver ended" source=fake port=/dev/fake`,
		}
		if diff := cmp.Diff(want, log.Lines()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestFiniteSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, others := receivertest.Piped()
		src.Kind.Finite = true
		r := receivertest.Run(t, src, receiver.Config{})
		other := <-others
		sentence := receivertest.RMC("120000")
		receivertest.Write(t, other, sentence[:5])
		time.Sleep(time.Hour) // it may pause as long as it likes
		receivertest.Write(t, other, sentence[5:])
		_ = other.Close()
		if err := <-r.Err; err != nil {
			t.Errorf("Run: %v", err)
		}
		if diff := cmp.Diff([]string{"opened", sentence[:5], "quiet", sentence[5:], "quiet"}, r.Rec.What()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if s := r.Status(); s.State != receiver.Ended || receivertest.Text(s.Problem) != "" || s.Bytes != uint64(len(sentence)) {
			t.Errorf("status: %+v", s)
		}
		r.Cancel()
	})
}

func TestFiniteSourceBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		src := &receivertest.FakeSource{Kind: source.Traits{Finite: true}, Try: func(int) (source.Conn, error) {
			return deadConn{reads: &reads, err: errors.New("input/output error")}, nil
		}}
		r := receivertest.Run(t, src, receiver.Config{})
		if err := <-r.Err; err == nil || err.Error() != "read /dev/fake: input/output error" {
			t.Errorf("Run: %v", err)
		}
		if s := r.Status(); s.State != receiver.Ended || receivertest.Text(s.Problem) != "read /dev/fake: input/output error" {
			t.Errorf("status: %+v", s)
		}
		r.Cancel()
	})
}

// TestCancel ends Run at once wherever it is: before the start, in a read, in the backoff.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		src, others := receivertest.Piped()
		if err := receiver.New(src, receiver.Config{}).Run(ctx, receivertest.NewRecorder()); err != nil || len(others) > 0 {
			t.Errorf("Run with an ended context: %v, %d opened", err, len(others))
		}
		r := receivertest.Run(t, src, receiver.Config{})
		<-others
		synctest.Wait()
		r.Stop(t)
		r = receivertest.Run(t, &receivertest.FakeSource{Try: func(int) (source.Conn, error) { return nil, receivertest.ErrFake }}, receiver.Config{})
		time.Sleep(2 * time.Second)
		r.Stop(t)
		if s := r.Status(); s.State != receiver.Ended {
			t.Errorf("status: %+v", s)
		}
	})
}

// TestRemoteBackoff: a server that is gone is asked ever more rarely, not together with other clients, and at least once in 5 s.
func TestRemoteBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		fake := &receivertest.FakeSource{Kind: source.Traits{Remote: true}, Try: func(int) (source.Conn, error) {
			at = append(at, time.Now())
			return nil, receivertest.ErrFake
		}}
		r := receivertest.Run(t, fake, receiver.Config{})
		time.Sleep(10 * time.Minute)
		r.Stop(t)
		even := 0
		for i := 1; i < len(at); i++ {
			gap := at[i].Sub(at[i-1])
			if gap > 5*time.Second || gap < 250*time.Millisecond || i > 5 && gap < 1500*time.Millisecond {
				t.Errorf("attempt %d after %v", i, gap)
			}
			if gap%(100*time.Millisecond) == 0 {
				even++
			}
		}
		if len(at) < 120 || even > len(at)/10 {
			t.Errorf("%d attempts, %d after a round time", len(at), even)
		}
	})
}

// TestSlowReceivers: one that sends every 10 s or more is read without a loss, and its port is left open once its pace is known.
func TestSlowReceivers(t *testing.T) {
	for _, period := range []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			src, others := receivertest.Piped()
			r := receivertest.Run(t, src, receiver.Config{})
			other := <-others
			const bursts = 20
			opens := uint64(0)
			for i := range bursts {
				for len(others) > 0 {
					other = <-others
				}
				receivertest.Write(t, other, "burst ")
				if i == 2 {
					opens = r.Status().Opens
				}
				time.Sleep(period + time.Millisecond)
			}
			if got := strings.Count(r.Rec.All(), "burst "); got != bursts {
				t.Errorf("every %v: %d of %d bursts came", period, got, bursts)
			}
			if got := r.Status().Opens; got != opens {
				t.Errorf("every %v: opened %d times after its pace was known", period, got-opens)
			}
			r.Stop(t)
		})
	}
}

// TestServerThatClosesAfterEachBurst is asked once a second, and logged once.
func TestServerThatClosesAfterEachBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opens, log := 0, &receivertest.Log{}
		src := &receivertest.FakeSource{Kind: source.Traits{Remote: true}, Try: func(int) (source.Conn, error) {
			opens++
			mine, other := net.Pipe()
			go func() { receivertest.Write(t, other, "burst"); _ = other.Close() }()
			return mine, nil
		}}
		r := receivertest.Run(t, src, receiver.Config{Log: log.Logger()})
		time.Sleep(12*time.Second - time.Millisecond)
		synctest.Wait()
		if opens < 11 || opens > 12 {
			t.Errorf("opened %d times in 12 s", opens)
		}
		if lines := log.Lines(); len(lines) > 3 {
			t.Errorf("logged %d lines: %q", len(lines), lines)
		}
		r.Stop(t)
	})
}

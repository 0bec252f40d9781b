package doctor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/kinds"
	"gpsbridge/nmea"
)

// TestWatchDaemon: what counts is what comes now, and how long that is waited for.
func TestWatchDaemon(t *testing.T) {
	const lasting = time.Minute
	for _, test := range []struct {
		name      string
		state     receiver.State
		silent    time.Duration                  // since the state is what it is
		sentences func(time.Duration) uint64     // that the daemon has counted
		fixed     func(since time.Duration) bool // a fix comes
		took      time.Duration                  // at the most
		want      uint64
	}{
		{"well", receiver.Reading, lasting, func(d time.Duration) uint64 { return 100 + uint64(d/time.Second) }, func(time.Duration) bool { return true }, 3 * time.Second, 101},
		{"fix after a while", receiver.Reading, lasting, func(d time.Duration) uint64 { return 100 + uint64(d/time.Second) },
			func(d time.Duration) bool { return d > 4*time.Second }, 5 * time.Second, 104},
		{"none any more", receiver.Reading, lasting, func(time.Duration) uint64 { return 100 }, func(time.Duration) bool { return false }, quietWait + time.Second, 0},
		{"gone", receiver.Waiting, lasting, func(time.Duration) uint64 { return 100 }, func(time.Duration) bool { return false }, 0, 0},
		{"silent for long", receiver.Silent, lasting, func(time.Duration) uint64 { return 100 }, func(time.Duration) bool { return false }, 0, 0},
		{"silent for a moment", receiver.Silent, 0, func(time.Duration) uint64 { return 100 }, func(time.Duration) bool { return false }, quietWait + time.Second, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ask := func(context.Context) (*observe.Status, error) {
					so := time.Since(began)
					r := pipeline.ReceiverStatus{Sentences: test.sentences(so), NSat: new(9.0)}
					r.State, r.Since = test.state, began.Add(-test.silent)
					if test.fixed(so) {
						r.Mode, r.FixAge = nmea.Mode3D, new(0.1)
					}
					return &observe.Status{Now: time.Now(), Receivers: []pipeline.ReceiverStatus{r}}, nil
				}
				d := &daemon{find: ask}
				d.status, _ = ask(t.Context())
				o := d.watch(t.Context(), config.Receiver{Config: receiver.Config{Source: kinds.Default}})
				if took := time.Since(began); o.Sentences != test.want || took > test.took {
					t.Errorf("%d sentences after %v, want %d within %v", o.Sentences, took, test.want, test.took)
				}
			})
		})
	}
}

// TestDaemonReceiver: which of the daemon's receivers a configuration means.
func TestDaemonReceiver(t *testing.T) {
	one := pipeline.ReceiverStatus{}
	one.Source, one.Port = "auto", "/dev/ttyUSB0"
	two := pipeline.ReceiverStatus{}
	two.Source = "tcp://h:1"
	for _, test := range []struct {
		daemon []pipeline.ReceiverStatus
		source string
		want   string // source of the daemon's; "" for none
	}{
		{[]pipeline.ReceiverStatus{one, two}, "tcp://h:1", "tcp://h:1"},
		{[]pipeline.ReceiverStatus{one, two}, "/dev/ttyUSB0?baud=9600", "auto"},
		{[]pipeline.ReceiverStatus{two}, "auto", "tcp://h:1"},
		{[]pipeline.ReceiverStatus{two}, "/dev/ttyUSB0", ""},
		{nil, "auto", ""},
	} {
		d := &daemon{status: &observe.Status{Receivers: test.daemon}}
		if r, beside := d.receiver(config.Receiver{Config: receiver.Config{Source: test.source}}); r.Source != test.want || beside != (test.want != "") {
			t.Errorf("%s means the daemon's %q, want %q", test.source, r.Source, test.want)
		}
	}
}

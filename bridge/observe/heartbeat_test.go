package observe

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/uplink"
)

func TestALoopThatHangsIsNoProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		var beats Beats
		p := NewProgress(&beats, func() Status { return Status{} }, slog.New(slog.NewTextHandler(&log, nil)))
		beats.Add("never begun")
		turning, hanging := beats.Add("turning"), beats.Add("hanging")
		start := time.Now()
		hanging(10 * time.Second)
		for range 25 {
			turning(time.Second)
			if !p.Made() {
				t.Fatalf("no progress after %v: %s", time.Since(start), log.String())
			}
			time.Sleep(time.Second) // the bubble's clock
		}
		time.Sleep(6 * time.Second)
		turning(time.Second)
		for range 2 { // said once
			if p.Made() {
				t.Error("a loop that promised to be back within 10 s hangs for 21 s, and it counts as progress")
			}
		}
		if text := log.String(); strings.Count(text, "no progress") != 1 || !strings.Contains(text, "hanging hangs for 21s") || strings.Contains(text, "turning hangs") {
			t.Errorf("log %s", text)
		}
		hanging(time.Second)
		if !p.Made() {
			t.Error("it turns again, and that counts as none")
		}
	})
}

func TestAnUplinkThatSendsNothingIsNoProgress(t *testing.T) {
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	status := func(state uplink.State, behind, sent uint64, outstanding int) Status {
		return Status{Uplinks: []UplinkStatus{{Status: uplink.Status{Name: "a", State: state, Behind: behind, Sent: sent, Outstanding: outstanding}}}}
	}
	for name, test := range map[string]struct {
		st    Status
		stuck bool
	}{
		"nothing waits":    {status(uplink.Connected, 0, 7, 0), false},
		"no server":        {status(uplink.Waiting, 9, 7, 0), false},
		"waits for echoes": {status(uplink.Connected, 9, 7, 8), false},
		"stuck":            {status(uplink.Connected, 9, 7, 0), true},
	} {
		p := NewProgress(&Beats{}, nil, nil)
		for s := 0; s <= 150; s += 10 {
			err := p.sending(test.st, start.Add(time.Duration(s)*time.Second))
			if want := test.stuck && s > 130; (err != nil) != want && s != 130 {
				t.Errorf("%s: after %d s %v", name, s, err)
			}
		}
		if test.stuck && p.sending(status(uplink.Connected, 9, 8, 0), start.Add(time.Hour)) != nil {
			t.Errorf("%s: it has sent one, and counts as stuck", name)
		}
	}
}

package pipeline

import (
	"testing"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
)

func TestReceiversTimeGoesOn(t *testing.T) {
	rec := receiver.New(&receivertest.FakeSource{}, receiver.Config{})
	in := Intake{receiver: rec}
	now := time.Now()
	if got := in.Clock(now); !got.IsZero() {
		t.Errorf("before the first fix %v, want none", got)
	}
	fix := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	in.clockTime, in.clockSet = fix, now
	if got, want := in.Clock(now.Add(time.Hour)), fix.Add(time.Hour); !got.Equal(want) {
		t.Errorf("an hour after the last fix %v, want %v", got, want)
	}
}

package pipeline

import (
	"testing"
	"testing/synctest"
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

// TestEpochOfAnotherConnection: a server that closes the connection after each epoch and sends it again to the next one is the
// same receiver, and its epoch is one; after a while it may be another.
func TestEpochOfAnotherConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fd := NewFeed(FeedConfig{DeviceID: "van_7", Keep: func([]byte) (uint64, error) { return 0, nil }, Show: func(string, string, []byte) {}})
		in := NewIntake(nil, fd, IntakeConfig{})
		for i := range 20 {
			in.Opened()
			in.Data(receivertest.Epoch(i/2, true))
			in.Quiet()
			time.Sleep(500 * time.Millisecond)
		}
		if in.epochs != 10 {
			t.Errorf("%d epochs of 10 times", in.epochs)
		}
		time.Sleep(sameSource)
		in.Opened()
		in.Data(receivertest.Epoch(9, true))
		in.Quiet()
		if in.epochs != 11 {
			t.Errorf("the same time much later: %d epochs, want 11", in.epochs)
		}
	})
}

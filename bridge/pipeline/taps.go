package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/record"
	"gpsbridge/bridge/receiver/share"
)

// shareRetry paces the attempts at an address that another program holds.
const shareRetry = 10 * time.Second

// taps get a receiver's bytes as they come, beside the scanner: viewers that ask, a recording, other programs. None of them
// makes the receiver wait, and tracking goes on when one fails.
type taps struct {
	viewers func(p []byte) // nil without a relay

	record   record.Config // no Path: nothing is recorded
	recorder atomic.Pointer[record.Writer]

	share  share.Config // no Listen: nothing is shared
	shared atomic.Pointer[share.Server]
}

func (t *taps) data(p []byte) {
	if t.viewers != nil {
		t.viewers(p)
	}
	if w := t.recorder.Load(); w != nil {
		w.Data(p)
	}
	if s := t.shared.Load(); s != nil {
		s.Data(p)
	}
}

// live reports whether the time of arrival matters: to other programs, and to a recording that is to be played as it was.
func (t *taps) live() bool {
	s := t.shared.Load()
	return t.recorder.Load() != nil || s != nil && s.Status().Clients > 0
}

// opened marks that what follows does not continue what came before.
func (t *taps) opened() {
	if w := t.recorder.Load(); w != nil {
		w.Note("port opened")
	}
	if s := t.shared.Load(); s != nil {
		s.Opened()
	}
}

// run keeps the taps while read reads the receiver, and closes them after it.
func (t *taps) run(ctx context.Context, read func() error) error {
	if t.record.Path != "" {
		w, err := record.Create(t.record)
		if err != nil {
			t.record.Log.Error("nothing is recorded, tracking goes on: correct receiver.record", "err", err)
		} else {
			t.recorder.Store(w)
			defer func() {
				if err := w.Close(); err != nil {
					t.record.Log.Error("the end of the recording is lost", "err", err)
				}
			}()
		}
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if t.share.Listen != "" {
		serving.Go(func() { t.serve(ctx) })
	}
	return read()
}

// serve gives the bytes to other programs. An address that cannot be had is logged and tried again, and so is one that fails later.
func (t *taps) serve(ctx context.Context) {
	var changes problem.Changes
	for {
		s, err := share.Listen(t.share)
		if err == nil {
			t.share.Log.Info("sharing the receiver's sentences", "address", s.Addr().String())
			t.shared.Store(s)
			if err = s.Serve(ctx); ctx.Err() != nil {
				return
			}
		}
		if worth, _ := changes.Report(problem.Of(err), time.Now()); worth && err != nil {
			t.share.Log.Error("the receiver's sentences are not shared, tracking goes on", "err", problem.Of(err).In("receiver"))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(shareRetry):
		}
	}
}

// status is that of the recording and of the sharing, nil where there is none.
func (t *taps) status() (*record.Status, *share.Status) {
	var recorded *record.Status
	var shared *share.Status
	if w := t.recorder.Load(); w != nil {
		st := w.Status()
		recorded = &st
	}
	if s := t.shared.Load(); s != nil {
		st := s.Status()
		shared = &st
	}
	return recorded, shared
}

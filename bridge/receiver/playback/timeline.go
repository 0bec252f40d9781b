package playback

import (
	"io"
	"os"
	"sync"
	"time"
)

// timeline is the part of a conn that delivers what it has when its time has come.
type timeline struct {
	closed chan struct{}
	close  func() error

	// owned by the reader
	deadline time.Time
	due      time.Time // of what is to be delivered next; zero is at once
}

func newTimeline(c io.Closer) timeline {
	closed := make(chan struct{})
	return timeline{closed: closed, close: sync.OnceValue(func() error {
		close(closed)
		return c.Close()
	})}
}

func (t *timeline) Close() error { return t.close() }

func (t *timeline) SetReadDeadline(deadline time.Time) error {
	t.deadline = deadline
	return nil
}

// wait waits until due, the deadline or the end.
func (t *timeline) wait() error {
	until, err := t.due, error(nil)
	if !t.deadline.IsZero() && t.deadline.Before(until) {
		until, err = t.deadline, os.ErrDeadlineExceeded
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-t.closed:
		return os.ErrClosed
	case <-timer.C:
		return err
	}
}

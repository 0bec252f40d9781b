package playback

import (
	"errors"
	"io"
	"time"

	"gpsbridge/bridge/receiver/record"
)

// replay delivers a recording as the receiver sent it: the same pieces, after the same pauses.
type replay struct {
	timeline
	in   *record.Reader
	rate float64 // times real time; 0: as fast as it is taken

	// owned by the reader
	began bool
	last  time.Duration // of the piece that is due next
	left  []byte        // of that piece
}

func newReplay(f io.ReadCloser, rate float64) *replay {
	return &replay{timeline: newTimeline(f), in: record.NewReader(f), rate: rate}
}

func (r *replay) Read(b []byte) (int, error) {
	if len(r.left) == 0 {
		at, data, err := r.in.Next()
		if err != nil {
			return 0, err
		}
		r.left = data
		r.schedule(at, time.Now())
	}
	if r.rate > 0 {
		if err := r.wait(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.left)
	r.left = r.left[n:]
	return n, nil
}

// schedule moves due to what came at a time of the recording. Steps are added up, so that no error grows.
func (r *replay) schedule(at time.Duration, now time.Time) {
	if !r.began || r.rate == 0 {
		r.due, r.began, r.last = now, true, at
		return
	}
	r.due = r.due.Add(scaled(at-r.last, r.rate))
	r.last = at
	if now.Sub(r.due) > maxPause {
		r.due = now // the machine slept: do not race through what it missed
	}
}

// scaled is a step at a rate. What is longer than centuries is as good as that.
func scaled(step time.Duration, rate float64) time.Duration {
	return time.Duration(min(float64(step)/rate, 1<<62))
}

// isRecording looks whether a file begins as a recording, and goes back to its beginning. What cannot be read is none.
func isRecording(f io.ReadSeeker) bool {
	head := make([]byte, 32)
	n, err := io.ReadFull(f, head)
	if n > 0 || err == nil {
		_, seekErr := f.Seek(0, io.SeekStart)
		err = errors.Join(seekErr, ignoreShort(err))
	}
	return err == nil && record.Recorded(head[:n])
}

func ignoreShort(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

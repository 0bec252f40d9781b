package playback

import (
	"bufio"
	"io"
	"os"
	"sync"
	"time"

	"gpsbridge/bridge/receiver/record"
	"gpsbridge/nmea"
)

// maxPause bounds what a gap in a log, the hours between two trips, costs in real time.
const maxPause = 10 * time.Second

// player delivers a log byte for byte, each piece when its time has come.
type player struct {
	pieces pieces
	rate   float64 // times real time; 0: as fast as it is taken
	closed chan struct{}
	close  func() error

	// owned by the reader
	deadline time.Time
	due      time.Time // of the piece
	left     []byte    // of it
}

// pieces are the parts of a log. next returns one and how much later it came than the one before. At the end it is empty, with an
// error. A piece is valid until the next call.
type pieces interface {
	next() (piece []byte, step time.Duration, err error)
}

func newPlayer(file io.Closer, p pieces, rate float64) *player {
	closed := make(chan struct{})
	return &player{pieces: p, rate: rate, closed: closed, close: sync.OnceValue(func() error {
		close(closed)
		return file.Close()
	})}
}

func (p *player) Close() error { return p.close() }

func (p *player) SetReadDeadline(deadline time.Time) error {
	p.deadline = deadline
	return nil
}

func (p *player) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		piece, step, err := p.pieces.next()
		if len(piece) == 0 {
			return 0, err
		}
		p.left = piece
		p.schedule(step, time.Now())
	}
	if err := p.wait(); err != nil {
		return 0, err
	}
	n := copy(b, p.left)
	p.left = p.left[n:]
	return n, nil
}

// schedule moves due. Steps are added up, so that no error grows.
func (p *player) schedule(step time.Duration, now time.Time) {
	if p.rate > 0 {
		p.due = p.due.Add(time.Duration(min(float64(step)/p.rate, 1<<62))) // what is longer than centuries is as good as that
	}
	if now.Sub(p.due) > maxPause {
		p.due = now // the first, or the machine slept: do not race through what it missed
	}
}

// wait waits until due, the deadline or the end.
func (p *player) wait() error {
	until, err := p.due, error(nil)
	if !p.deadline.IsZero() && p.deadline.Before(until) {
		until, err = p.deadline, os.ErrDeadlineExceeded
	}
	if p.rate == 0 {
		return nil
	}
	select {
	case <-p.closed:
		return os.ErrClosed
	case <-time.After(time.Until(until)):
		return err
	}
}

// recording is a log of package record: the pieces in which the receiver sent it.
type recording struct {
	in   *record.Reader
	last time.Duration
}

func (r *recording) next() ([]byte, time.Duration, error) {
	at, piece, err := r.in.Next()
	step := at - r.last
	r.last = at
	return piece, step, err
}

// textLog is any other log, in lines. A line without a time of its own goes with the one before it: after a timed sentence come, in
// most receivers, what else belongs to its epoch.
type textLog struct {
	in      *bufio.Reader
	most    time.Duration // the longest step
	scanner nmea.Scanner
	timed   bool
	last    time.Duration // time of day of the last timed sentence
}

func newTextLog(r io.Reader, rate float64) *textLog {
	return &textLog{in: bufio.NewReader(nmea.NewReader(r)), most: time.Duration(rate * float64(maxPause))}
}

// next returns a line, or as much of a very long one as the buffer holds; all that the buffer holds where time plays no part.
func (l *textLog) next() (line []byte, step time.Duration, err error) {
	if l.most == 0 {
		_, err = l.in.Peek(1)
		line, _ = l.in.Peek(l.in.Buffered())
		_, _ = l.in.Discard(len(line))
		return line, 0, err
	}
	line, err = l.in.ReadSlice('\n')
	l.scanner.Scan(line, func(sentence []byte) {
		if t, ok := nmea.TimeOfDay(sentence); ok {
			step += l.step(t)
		}
	})
	return line, step, err
}

// step goes to a time of day. A clock that goes back, in logs that were put together, costs no time.
func (l *textLog) step(t time.Duration) time.Duration {
	const day = 24 * time.Hour
	step := t - l.last
	if step < -day/2 {
		step += day // past midnight
	}
	if !l.timed {
		step = 0
	}
	l.timed, l.last = true, t
	return min(max(step, 0), l.most)
}

package playback

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
	"gpsbridge/nmea"
)

// logFile is a recorded log: a recording of package record is played exactly as the receiver sent it, any other log at the
// pace of the times in its sentences.
type logFile struct {
	path string
	rate float64 // times real time; 0: as fast as it is taken
}

// maxRate is more than any machine plays; beyond it "as fast as possible" is meant.
const maxRate = 1e6

// NewFile is the source "file:PATH?rate=".
func NewFile(path string, o *source.Options) (source.Source, error) {
	f := logFile{path: path, rate: 1}
	if text, given := o.Text("rate"); given {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || !(rate >= 0 && rate <= maxRate) { // NaN is neither
			return nil, source.Invalid("use 1 for real time, 10 for ten times as fast, 0 for as fast as possible", "option rate=%s", text)
		}
		f.rate = rate
	}
	if path == "" {
		return nil, source.Invalid(`use "file:PATH"`, "no path")
	}
	return f, nil
}

func (logFile) Traits() source.Traits { return source.Traits{Finite: true} }

func (f logFile) Open(context.Context, source.Host) (source.Stream, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	file, err := os.Open(f.path)
	if err != nil {
		return nil, f.failed(err)
	}
	if isRecording(file) {
		return newStream(newReplay(file, f.rate), f.path), nil
	}
	if f.rate == 0 {
		return newStream(onceCloser{Conn: logText{file, nmea.NewReader(file)}, close: sync.OnceValue(file.Close)}, f.path), nil
	}
	return newStream(newPaced(file, f.rate), f.path), nil
}

// check refuses what can be opened and is not a log: an open of a pipe waits for its writer, and cannot be given up.
func (f logFile) check() error {
	info, err := os.Stat(f.path)
	p := &problem.Problem{Code: source.NotALog}
	switch {
	case errors.Is(err, os.ErrNotExist):
		p.Code, p.Cause, p.Fix = source.FileMissing, f.path+" does not exist", "name a recorded log with --device file:PATH"
	case err != nil:
		return f.failed(err)
	case info.IsDir():
		p.Cause, p.Fix = f.path+" is a directory", "name a recorded log in it, such as file:"+filepath.Join(f.path, "LOG.nmea")
	case info.Mode()&os.ModeNamedPipe != 0:
		p.Cause, p.Fix = f.path+" is a pipe", "read it as standard input, with --device - <"+f.path
	case !info.Mode().IsRegular():
		p.Cause, p.Fix = f.path+" is a device and not a file", "name it with --device "+f.path
	default:
		return nil
	}
	return p
}

func (f logFile) failed(err error) *problem.Problem {
	return &problem.Problem{Code: source.FileFailed, Cause: fmt.Sprintf("open %s: %v", f.path, source.Cause(err)), Err: err}
}

// onceCloser is a Conn that may be closed twice.
type onceCloser struct {
	source.Conn
	close func() error
}

func (c onceCloser) Close() error { return c.close() }

// logText is a file whose text is read, in whatever way it was saved.
type logText struct {
	source.Conn
	reader io.Reader
}

func (t logText) Read(p []byte) (int, error) { return t.reader.Read(p) }

// maxPause bounds what a gap in a log, the hours between two trips, costs in real time.
const maxPause = 10 * time.Second

// paced delivers a log byte for byte, each line when its time has come. A line without a time of its own goes with the one
// before it: after a timed sentence come, in most receivers, what else belongs to its epoch.
type paced struct {
	timeline // due is zero until the first timed sentence

	// owned by the reader
	in      *bufio.Reader
	rate    float64
	scanner nmea.Scanner
	line    []byte        // what is left of the line that is being delivered
	readErr error         // what ended the log, to be returned after its last line
	last    time.Duration // time of day at due
}

func newPaced(r io.ReadCloser, rate float64) *paced {
	return &paced{timeline: newTimeline(r), in: bufio.NewReader(nmea.NewReader(r)), rate: rate}
}

func (p *paced) Read(b []byte) (int, error) {
	if len(p.line) == 0 && p.readErr == nil {
		p.next()
	}
	if len(p.line) == 0 {
		return 0, p.readErr
	}
	if err := p.wait(); err != nil {
		return 0, err
	}
	n := copy(b, p.line)
	p.line = p.line[n:]
	return n, nil
}

// next reads a line, or as much of a very long one as the buffer holds, and decides when it is due.
func (p *paced) next() {
	p.line, p.readErr = p.in.ReadSlice('\n')
	if errors.Is(p.readErr, bufio.ErrBufferFull) {
		p.readErr = nil
	}
	p.scanner.Scan(p.line, func(sentence []byte) {
		if t, ok := nmea.TimeOfDay(sentence); ok {
			p.schedule(t, time.Now())
		}
	})
}

// schedule moves due to the time of day t. Steps are added up, so that no error grows.
func (p *paced) schedule(t time.Duration, now time.Time) {
	const day = 24 * time.Hour
	if p.due.IsZero() {
		p.due, p.last = now, t
		return
	}
	step := t - p.last
	if step < -day/2 {
		step += day // past midnight
	}
	p.last = t
	// A clock that goes back, in logs that were put together, costs no time.
	p.due = p.due.Add(min(scaled(max(step, 0), p.rate), maxPause))
	if now.Sub(p.due) > maxPause {
		p.due = now // the machine slept: do not race through what it missed
	}
}

package playback

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/record"
	"gpsbridge/bridge/receiver/source"
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
	return newStream(newPlayer(file, piecesOf(file, f.rate), f.rate), f.path), nil
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

// piecesOf are the pieces of an open log. What cannot be read fails later.
func piecesOf(file *os.File, rate float64) pieces {
	if record.Recorded(file) {
		return &recording{in: record.NewReader(file)}
	}
	return newTextLog(file, rate)
}

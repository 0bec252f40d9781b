package playback

import (
	"errors"
	"fmt"
	"io"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/protocol"
	"gpsbridge/bridge/receiver/source"
)

// stream is an open source that has an end. It listens until it has heard a sentence, so that a log without any does not end
// as if all were well.
type stream struct {
	source.Conn
	source.Base
	recogniser *protocol.Recogniser // nil once a sentence has come
	bytes      uint64
}

func newStream(c source.Conn, name string) *stream {
	return &stream{Conn: c, Base: source.Base(name), recogniser: protocol.New()}
}

func (s *stream) Heard(p []byte, _ time.Time) error {
	if s.recogniser == nil {
		return nil
	}
	s.bytes += uint64(len(p))
	s.recogniser.Scan(p)
	if s.recogniser.All() > 0 { // those without a checksum too: the consumer decides whether it uses them
		s.recogniser = nil
	}
	return nil
}

// Silent is never asked for: a source with an end may pause.
func (s *stream) Silent() *problem.Problem { return source.SilentPort(s.Port()) }

// Lost is what is wrong with a source that has ended.
func (s *stream) Lost(err error) *problem.Problem {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &problem.Problem{Code: source.FileFailed, Cause: s.Port() + " ends in the middle, it was read up to there", Fix: "copy the file again", Err: err}
	case !errors.Is(err, io.EOF):
		return &problem.Problem{Code: source.FileFailed, Cause: fmt.Sprintf("read %s: %v", s.Port(), source.Cause(err)), Err: err}
	case s.recogniser == nil:
		return nil
	case s.bytes == 0:
		return &problem.Problem{Code: source.Empty, Cause: "no NMEA sentence in " + s.Port() + ", it is empty", Fix: "use what a receiver sent"}
	case s.recogniser.Frames > 0:
		return &problem.Problem{Code: source.NoSentenceInLog, Cause: fmt.Sprintf("no NMEA sentence in %s, it holds %s, a binary protocol", s.Port(), s.recogniser.Binary),
			Fix: "switch the receiver's NMEA output on and record again"}
	}
	return &problem.Problem{Code: source.NoSentenceInLog, Cause: "no NMEA sentence in " + s.Port(), Fix: "use what a receiver sent, as NMEA 0183 and at the right speed"}
}

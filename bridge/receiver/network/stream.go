// Package network reads receivers through a network: servers of NMEA 0183 over TCP, datagrams, and gpsd.
package network

import (
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/protocol"
	"gpsbridge/bridge/receiver/source"
)

// stream is a connection that is being read. Until it has brought a sentence of a GPS receiver it is looked at, to name what
// comes in its place.
type stream struct {
	source.Conn
	source.Base
	host       source.Host
	recogniser *protocol.Recogniser // nil once such a sentence has come
	began      time.Time            // the first bytes came
	warned     bool
}

// contentWait is after how long what comes in place of a GPS receiver's sentences is named: some epochs.
const contentWait = 5 * time.Second

func newStream(c source.Conn, name string, h source.Host) stream {
	return stream{Conn: c, Base: source.Base(name), host: h, recogniser: protocol.New()}
}

func (s *stream) Heard(p []byte, now time.Time) error {
	if s.recogniser == nil {
		return nil
	}
	if s.began.IsZero() {
		s.began = now
	}
	s.recogniser.Scan(p)
	switch {
	case s.recogniser.Positions > 0:
		s.recogniser = nil
		if s.warned {
			s.host.Warning(nil)
		}
	case now.Sub(s.began) >= contentWait:
		s.warned = true
		s.host.Warning(s.content())
	}
	return nil
}

// content is what is wrong with all that came, nil for nothing that has a name.
func (s *stream) content() *problem.Problem {
	if s.recogniser == nil {
		return nil
	}
	return s.recogniser.Problem(s.Port(), "")
}

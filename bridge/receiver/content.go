package receiver

import (
	"fmt"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// content listens to a source that has an end until it has heard a sentence, so that one without any does not end as if all
// were well. It belongs to the reader. A nil content listens to nothing.
type content struct {
	speech *speech
	bytes  uint64 // until the first sentence
}

func (c *content) hear(p []byte) {
	if c == nil || c.spoken() {
		return
	}
	c.bytes += uint64(len(p))
	c.speech.hear(p)
}

// spoken counts sentences without a checksum too: whether they are wanted is the consumer's to say.
func (c *content) spoken() bool { return c.speech.sentences+c.speech.unchecked > 0 }

// problem is what is wrong with a source that has come to its end, nil for nothing.
func (c *content) problem(port string) *problem.Problem {
	if c == nil || c.spoken() {
		return nil
	}
	p := &problem.Problem{Code: source.NoSentenceInLog, Cause: "no NMEA sentence in " + port, Fix: "use what a receiver sent, as NMEA 0183 and at the right speed"}
	switch {
	case c.bytes == 0:
		p.Code, p.Cause, p.Fix = source.Empty, p.Cause+", it is empty", "use what a receiver sent"
	case c.speech.frames > 0:
		p.Cause, p.Fix = fmt.Sprintf("%s, it holds %s, a binary protocol", p.Cause, c.speech.binary), "switch the receiver's NMEA output on and record again"
	}
	return p
}

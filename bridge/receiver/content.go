package receiver

import "fmt"

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

// trouble is one line that says what was wrong with a source that has come to its end, and the mend; "" is nothing.
func (c *content) trouble(port string) string {
	switch {
	case c == nil || c.spoken():
		return ""
	case c.bytes == 0:
		return fmt.Sprintf("no NMEA sentence in %s: it is empty, give it what a receiver sent", port)
	case c.speech.frames > 0:
		return fmt.Sprintf("no NMEA sentence in %s: it holds %s, a binary protocol: switch the receiver's NMEA output on and record again", port, c.speech.binary)
	}
	return fmt.Sprintf("no NMEA sentence in %s: give it what a receiver sent, as NMEA 0183 and at the right speed", port)
}

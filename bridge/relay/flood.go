package relay

import (
	"errors"
	"time"
)

// What a viewer may send, in bytes: it has nothing to say but pongs, and a page
// that was written for another server may send a line now and then. The burst is
// 16 of the largest messages.
const (
	viewerBurst = 64 << 10
	viewerRate  = 4 << 10 // a second
)

var errFlood = errors.New("viewers only listen, and this one sends too much")

// intake bounds what is read from a viewer, whatever it is: messages, pings, or
// fragments of no length, which no bound of messages sees. Owned by who reads.
type intake struct {
	left float64
	at   time.Time
}

// take counts n bytes that came.
func (i *intake) take(n int, now time.Time) error {
	if i.at.IsZero() {
		i.left = viewerBurst
	} else {
		i.left = min(viewerBurst, i.left+now.Sub(i.at).Seconds()*viewerRate)
	}
	i.at = now
	if i.left -= float64(n); i.left < 0 {
		return errFlood
	}
	return nil
}

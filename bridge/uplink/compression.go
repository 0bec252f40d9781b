package uplink

import (
	"time"

	"gpsbridge/bridge/deflate"
	"gpsbridge/bridge/problem"
)

// Compress states whether messages are compressed.
type Compress string

// The values of Compress.
const (
	// CompressAuto offers permessage-deflate to the server, which decides.
	CompressAuto Compress = "auto"
	CompressOff  Compress = "off"
)

// ParseCompress reads the name of a value; an empty name is CompressAuto.
func ParseCompress(s string) (Compress, error) {
	switch c := Compress(s); c {
	case "":
		return CompressAuto, nil
	case CompressAuto, CompressOff:
		return c, nil
	}
	return "", &problem.Problem{Code: BadCompress, Key: "compress", Cause: "\"" + s + "\" is not known", Fix: "choose auto or off"}
}

// plainFor is how long compression is not offered after a connection with it broke: a proxy that breaks it costs a connection an hour
// at most, and a server that only failed at that moment does not cost the owner of the tracker the data of a day.
const plainFor = time.Hour

// compression decides whether the next connection offers compression. What breaks on compressed frames (a proxy that changes or checks
// frames, a server with a fault of its own) looks like a server that breaks the connection on a record. So the first connection that
// breaks before anything was acknowledged is followed by one without compression; the second in a row where compression has
// worked, because servers restart. If the one without breaks too, compression was not the cause, and is offered again. It has no
// lock and no clock.
type compression struct {
	until   time.Time        // not offered; zero: it is offered
	why     *problem.Problem // not offered
	cleared time.Time        // until then it is not the cause: a connection broke without it as well
	worked  bool             // something was acknowledged with it
	breaks  int              // in a row with it, on the first frames
}

// withoutUntil is what an earlier uplink has found. A clock that was set back meanwhile does not make it last longer.
func withoutUntil(until, now time.Time) (c compression) {
	if now.Before(until) {
		c.without(earliest(until, now.Add(plainFor)), "connections have broken with compression", nil)
	}
	return c
}

// without has compression not be offered until then.
func (c *compression) without(until time.Time, cause string, err error) {
	c.until = until
	c.why = &problem.Problem{Code: CompressionBroke, Key: "compress", Cause: cause + ": messages go without it for an hour",
		Fix: `if this repeats, set compress = "off"`, Err: err}
}

// offered reports whether the next connection offers compression.
func (c *compression) offered(now time.Time) bool {
	if c.until.IsZero() || now.Before(c.until) {
		return c.until.IsZero()
	}
	*c = compression{}
	return true
}

// works takes an acknowledgement on a compressed connection.
func (c *compression) works() { c.worked, c.breaks = true, 0 }

// failed takes the end of a connection that was compressed, or on which compression was offered, and reports whether compression
// may be the cause: then it is not offered. early is that it broke on its first frames, before anything was acknowledged.
func (c *compression) failed(err error, early bool, now time.Time) bool {
	code := problem.CodeOf(err)
	broken := code == deflate.BadAnswer || code == deflate.BadData || code == deflate.TooMuch // it is the cause
	if early && breaksFrames(code) {
		c.breaks++
		broken = broken || now.After(c.cleared) && (!c.worked || c.breaks > 1)
	}
	if !broken {
		return false
	}
	c.without(now.Add(plainFor), "the connection broke with compression ("+reason(err)+")", err)
	return true
}

// breaksFrames reports whether the end of a connection may be the answer to its first frames: it names no other reason.
func breaksFrames(code problem.Code) bool {
	return blameOf(code) != blameNone && code != ClosedPolicy || code == ReadFailed || code == Unresponsive || code == NoEcho
}

// plainFailed takes the end of a connection on which compression was not offered for that, and reports whether that clears it.
func (c *compression) plainFailed(err error, early bool, now time.Time) bool {
	if !early || !breaksFrames(problem.CodeOf(err)) {
		return false
	}
	*c = compression{cleared: now.Add(plainFor)}
	return true
}

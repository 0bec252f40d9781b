package pipeline

import (
	"time"

	"gpsbridge/nmea"
)

// typesWindow is the time over which a rate is measured: ten sentences of a receiver that sends one a second.
const typesWindow = 10 * time.Second

// SentenceType counts the sentences of one talker and type.
type SentenceType struct {
	Count uint64  `json:"count"`
	Rate  float64 `json:"rate"` // a second, over the last 10 to 20 seconds
}

// types measures how often each type of sentence comes. The zero value is ready.
type types struct {
	begun map[string]SentenceType // when the window began, with the rates of the one before
	since time.Time               // when that was
	full  bool                    // there was one before
}

// over reports whether the window is.
func (t *types) over(now time.Time) bool { return now.Sub(t.since) >= typesWindow }

// next begins another window. One that lasted much longer was a silence, after which the rates start again.
func (t *types) next(now time.Time, counts map[string]nmea.TypeStats) {
	t.begun = t.status(now, counts)
	t.full, t.since = now.Sub(t.since) < 2*typesWindow, now
}

// status returns the rates of the window before. Before the first one is over it gives those in it so far, and so it does when
// nothing comes that would begin another.
func (t *types) status(now time.Time, counts map[string]nmea.TypeStats) map[string]SentenceType {
	all := make(map[string]SentenceType, len(counts))
	since := now.Sub(t.since)
	for name, n := range counts {
		before := t.begun[name]
		of := SentenceType{n.Good + n.Refused + n.Unsupported, before.Rate}
		if t.over(now) || !t.full && since >= time.Second {
			of.Rate = float64(of.Count-before.Count) / since.Seconds()
		}
		all[name] = of
	}
	return all
}

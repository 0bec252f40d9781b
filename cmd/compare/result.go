package main

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
)

// outcome is what came of one scenario.
type outcome struct {
	Scenario  string   `json:"scenario"`
	About     string   `json:"about"`
	LeftOut   string   `json:"left_out,omitempty"` // why it was not run
	Epochs    int      `json:"epochs"`
	Sentences int      `json:"sentences"`
	Programs  []result `json:"programs,omitempty"`
}

// result is one program's figures. Delays are absent where nobody waits for a single fix.
type result struct {
	Program string `json:"program"`
	// FixesPerEpoch counts the messages with a position that reached the client.
	FixesPerEpoch float64 `json:"fixes_per_epoch"`
	// EpochsWithout counts the epochs of which none did.
	EpochsWithout int `json:"epochs_without_fix"`
	// FirstByte is the delay from the first byte of the epoch on the line to the first message with its position.
	FirstByte *span `json:"from_first_byte_ms,omitempty"`
	// LastByte is the same from the last byte of the last sentence that adds to the fix: see positionKinds.
	LastByte *span `json:"from_last_position_byte_ms,omitempty"`
	// ReportsAt is the sentence at which the program reports, in most epochs: its type, and which of several.
	ReportsAt string `json:"reports_at,omitempty"`
	// Reaction is the delay from the last byte of that sentence: the program's own, without any waiting by choice.
	Reaction *span `json:"reaction_ms,omitempty"`
	// Rate is how many sentences a second the program took when it got them as fast as it could.
	Rate float64 `json:"sentences_per_second,omitempty"`
	// CPU is milliseconds of processor time for a thousand sentences.
	CPU float64 `json:"cpu_ms_per_1000_sentences"`
	// Memory is what was resident at the end, 1e6 bytes.
	Memory float64 `json:"resident_mb"`
}

// span is median and 99th percentile, ms.
type span struct {
	Median float64 `json:"median"`
	P99    float64 `json:"p99"`
}

// fix is a message with a position.
type fix struct {
	at   time.Time
	time string
}

// fixes decodes arrivals and leaves out those without a position.
func fixes(all []arrival) []fix {
	var list []fix
	for _, a := range all {
		var m struct {
			Mode int    `json:"mode"`
			Time string `json:"time"`
		}
		// What cannot be decoded is no fix, and is missing in the count.
		if err := json.Unmarshal(a.msg, &m); err == nil && m.Mode >= 2 {
			list = append(list, fix{a.at, m.Time})
		}
	}
	return list
}

// measure compares what arrived with what was sent: log is of epochs, one for one.
func measure(epochs []epoch, log []sent, list []fix) result {
	came := make(map[string]int)        // messages of an epoch
	first := make(map[string]time.Time) // and when the first one came
	for _, f := range list {
		if came[f.time]++; came[f.time] == 1 {
			first[f.time] = f.at
		}
	}
	count, without := 0, 0
	for _, e := range epochs {
		count += came[e.time]
		if came[e.time] == 0 {
			without++
		}
	}
	r := result{FixesPerEpoch: float64(count) / float64(len(epochs)), EpochsWithout: without}
	reports := reportsAt(epochs, log, first)
	r.ReportsAt = reports.String()
	var fromFirst, fromLast, reaction []time.Duration
	for i, e := range epochs {
		at, ok := first[e.time]
		if !ok {
			continue
		}
		fromFirst = append(fromFirst, at.Sub(log[i].first))
		if k := e.last(positionKinds...); k >= 0 {
			fromLast = append(fromLast, at.Sub(log[i].ends[k]))
		}
		if k := slices.Index(e.places(), reports); k >= 0 {
			reaction = append(reaction, at.Sub(log[i].ends[k]))
		}
	}
	r.FirstByte, r.LastByte, r.Reaction = newSpan(fromFirst), newSpan(fromLast), newSpan(reaction)
	return r
}

// place is a sentence's in an epoch: the nth, from 1, of its kind.
type place struct {
	kind string
	nth  int
}

func (p place) String() string {
	if p.nth <= 1 {
		return p.kind
	}
	return p.kind + " " + strconv.Itoa(p.nth)
}

// places are those of the sentences of e.
func (e epoch) places() []place {
	seen := make(map[string]int)
	list := make([]place, len(e.kinds))
	for i, k := range e.kinds {
		seen[k]++
		list[i] = place{k, seen[k]}
	}
	return list
}

// reportsAt is the place of the sentence behind which most first messages came.
func reportsAt(epochs []epoch, log []sent, first map[string]time.Time) place {
	votes := make(map[place]int)
	var best place
	for i, e := range epochs {
		at, ok := first[e.time]
		if !ok {
			continue
		}
		places := e.places()
		for k := len(places) - 1; k >= 0; k-- {
			if log[i].ends[k].After(at) {
				continue
			}
			if votes[places[k]]++; votes[places[k]] > votes[best] {
				best = places[k]
			}
			break
		}
	}
	return best
}

// newSpan is nil for no delays.
func newSpan(all []time.Duration) *span {
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	// The nearest rank: of fewer than a hundred the greatest.
	rank := int(math.Ceil(0.99*float64(len(all)))) - 1
	return &span{Median: ms(all[len(all)/2]), P99: ms(all[rank])}
}

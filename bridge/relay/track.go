package relay

import (
	"bytes"
	"slices"
	"time"

	"gpsbridge/bridge/track"
)

// writeTrack writes the fixes of a device as a track.
func writeTrack(f track.Format, device string, messages []*message) ([]byte, error) {
	var b bytes.Buffer
	w := track.NewWriter(&b, f, device)
	for _, p := range inOrder(messages) {
		if err := w.Add(p); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// inOrder puts fixes in the order of their own time, because a backlog comes after what is newer, and leaves repeats out. A fix
// without a time stays after the one that came before it.
func inOrder(messages []*message) []track.Point {
	type ordered struct {
		track.Point
		at time.Time
	}
	all := make([]ordered, 0, len(messages))
	var last time.Time
	for _, m := range messages {
		p, err := track.Parse(m.data)
		if err != nil {
			continue // JSON, but not a fix
		}
		if !p.Time.IsZero() {
			last = p.Time
		}
		all = append(all, ordered{p, last})
	}
	slices.SortStableFunc(all, func(a, b ordered) int { return a.at.Compare(b.at) })
	all = slices.CompactFunc(all, func(a, b ordered) bool { return a.Seq != 0 && a.Run == b.Run && a.Seq == b.Seq })
	points := make([]track.Point, len(all))
	for i, p := range all {
		points[i] = p.Point
	}
	return points
}

package relay

import (
	"bytes"
	"io"
	"slices"
	"time"

	"gpsbridge/bridge/track"
)

// trackMemory is what a track takes while it is written, in bytes: its order, and the longest line with what is not sent yet.
func trackMemory(messages []*message) int { return 64*len(messages) + 1<<20 }

// trackCost is how many requests a track counts for: reading 100 fixes is as much work as one.
func trackCost(messages []*message) int { return min(requestBurst/2, len(messages)/100) }

// writeTrack writes the fixes of a device as a track, a piece at a time: the reader may be slow.
func writeTrack(to io.Writer, f track.Format, device string, messages []*message) error {
	var b bytes.Buffer
	w := track.NewWriter(&b, f, device)
	for _, m := range messages {
		p, _ := track.Parse(m.data) // it had no error before
		err := w.Add(p)
		if b.Len() > 16<<10 && err == nil {
			_, err = b.WriteTo(to)
		}
		if err != nil {
			return err
		}
	}
	err := w.Close()
	if err == nil {
		_, err = b.WriteTo(to)
	}
	return err
}

// inOrder puts fixes in the order of their own time, because a backlog comes after what is newer, and leaves repeats out. A fix
// without a time stays after the one that came before it.
func inOrder(messages []*message) []*message {
	type ordered struct {
		*message
		at  time.Time
		key uint64
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
		all = append(all, ordered{m, last, header{Run: p.Run, Seq: p.Seq}.key()})
	}
	slices.SortStableFunc(all, func(a, b ordered) int { return a.at.Compare(b.at) })
	all = slices.CompactFunc(all, func(a, b ordered) bool { return a.key != 0 && a.key == b.key })
	for i, m := range all {
		messages[i] = m.message
	}
	return messages[:len(all)]
}

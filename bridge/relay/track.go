package relay

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"gpsbridge/bridge/track"
)

// serveTrack answers with the fixes that are kept of a device, or those of ?from= and ?to=, as a file.
func (r *Relay) serveTrack(kind, suffix string, format track.Format) answering {
	return func(w http.ResponseWriter, q *http.Request) error {
		from, to, err := period(q.URL.RawQuery)
		if err != nil {
			return err
		}
		device := q.PathValue("device_id")
		var day *track.Day
		if r.config.Track != nil {
			day = r.config.Track(device)
		}
		var history []*message
		fixes := day.Len()
		if fixes == 0 {
			g, err := r.fixed(q)
			if err != nil {
				return err
			}
			history = g.fixes()
			fixes = len(history)
		}
		if !r.remotes.allow(q.RemoteAddr, trackCost(fixes), time.Now()) {
			return errTooMany
		}
		release, err := r.reserve(trackMemory(history))
		defer release()
		if err != nil {
			return err
		}
		points := day.Points(from, to)
		if history != nil {
			r.tracks.Lock()
			points = within(inOrder(history), from, to)
			r.tracks.Unlock()
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": device + suffix}))
		if err := writeTrack(w, format, device, points); err != nil {
			r.log.Debug("track not written to its end", "device_id", device, "err", err)
			panic(http.ErrAbortHandler) // the client must not take it for whole
		}
		return nil
	}
}

// period reads ?from=TIME and ?to=TIME of RFC 3339: fixes from one time on, and before the other. One that is missing is zero.
func period(query string) (from, to time.Time, err error) {
	bad := func(format string, args ...any) error {
		return denied{http.StatusBadRequest, fmt.Sprintf(format, args...)}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return from, to, bad("the query %q cannot be read: write ?from=TIME&to=TIME", query)
	}
	times := map[string]*time.Time{"from": &from, "to": &to}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if times[name] == nil {
			return from, to, bad("parameter %q is unknown: use from and to", name)
		}
		if len(values[name]) > 1 {
			return from, to, bad("%s is there %d times: give it once", name, len(values[name]))
		}
		if *times[name], err = time.Parse(time.RFC3339, values[name][0]); err != nil {
			return from, to, bad("%s=%q is not a time: write it as 2026-11-23T09:00:00Z, or with an offset as 2026-11-23T10:00:00%%2B01:00", name, values[name][0])
		}
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, bad("from=%s is not before to=%s: exchange them", from.Format(time.RFC3339Nano), to.Format(time.RFC3339Nano))
	}
	return from, to, nil
}

// trackMemory is what a track takes while it is written, in bytes: its order, and the longest line with what is not sent yet.
func trackMemory(messages []*message) int { return 64*len(messages) + 1<<20 }

// trackCost is how many requests a track counts for: reading 100 fixes is as much work as one.
func trackCost(fixes int) int { return min(requestBurst/2, fixes/100) }

// within are the fixes of a period. Those without a time are in none.
func within(messages []*message, from, to time.Time) iter.Seq[track.Point] {
	all := from.IsZero() && to.IsZero()
	return func(yield func(track.Point) bool) {
		for _, m := range messages {
			p, _ := track.Parse(m.data) // it had no error before
			in := !p.Time.IsZero() && !p.Time.Before(from) && (to.IsZero() || p.Time.Before(to))
			if (all || in) && !yield(p) {
				return
			}
		}
	}
}

// writeTrack writes points as a track, a piece at a time: the reader may be slow.
func writeTrack(to io.Writer, f track.Format, device string, points iter.Seq[track.Point]) error {
	var b bytes.Buffer
	w := track.NewWriter(&b, f, device)
	for p := range points {
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

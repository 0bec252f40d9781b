package relay

import (
	"cmp"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"time"
)

// serveStatus answers with what the program says of itself.
func (r *Relay) serveStatus(w http.ResponseWriter, _ *http.Request) { writeJSON(w, r.status()) }

// device is what GET /api/v1/devices answers with of each.
type device struct {
	DeviceStatus
	Fix json.RawMessage `json:"fix,omitempty"` // the last TPV, as published
}

// serveDevices answers with every device of which something is known, by ID.
func (r *Relay) serveDevices(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	r.hub.mu.RLock()
	list := make([]device, 0, len(r.hub.groups))
	for _, g := range r.hub.groups {
		list = append(list, device{g.status(now), g.lastFix()})
	}
	r.hub.mu.RUnlock()
	slices.SortFunc(list, func(a, b device) int { return cmp.Compare(a.DeviceID, b.DeviceID) })
	writeJSON(w, map[string]any{"devices": list})
}

// serveDevice answers with one device.
func (r *Relay) serveDevice(w http.ResponseWriter, q *http.Request) {
	g := r.hub.lookup(q.PathValue("device_id"))
	if g == nil {
		writeError(w, http.StatusNotFound, fmt.Sprintf("nothing is known of device %q", q.PathValue("device_id")))
		return
	}
	writeJSON(w, device{g.status(time.Now()), g.lastFix()})
}

// serveFix answers with the last TPV of a device, byte for byte as published.
func (r *Relay) serveFix(w http.ResponseWriter, q *http.Request) {
	var fix []byte
	if g := r.hub.lookup(q.PathValue("device_id")); g != nil {
		fix = g.lastFix()
	}
	if fix == nil {
		noFix(w, q)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(fix)
}

// serveTrack answers with the fixes that are kept of a device, as a file.
func (r *Relay) serveTrack(kind, suffix string, format func(device string, track [][]point) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		name := q.PathValue("device_id")
		var kept []*message
		if g := r.hub.lookup(name); g != nil {
			kept = g.fixes()
		}
		if len(kept) == 0 {
			noFix(w, q)
			return
		}
		body, err := format(name, trackOf(kept))
		if err != nil {
			writeError(w, http.StatusInternalServerError, fmt.Sprintf("encode track: %v", err))
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": name + suffix}))
		w.Write(body)
	}
}

func noFix(w http.ResponseWriter, q *http.Request) {
	writeError(w, http.StatusNotFound, fmt.Sprintf("no fix of device %q yet", q.PathValue("device_id")))
}

// serveHealth is for supervisors, so it needs no token and says no more than a
// line. A relay in which something hangs does not answer.
func (r *Relay) serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.hub.pass()
	if r.config.Ready != nil {
		if err := r.config.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		writeError(w, http.StatusInternalServerError, fmt.Sprintf("encode answer: %v", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

// writeError answers with {"error":...} in one line.
func writeError(w http.ResponseWriter, code int, text string) {
	body, _ := json.Marshal(map[string]string{"error": text}) // strings always encode
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(append(body, '\n'))
}

package relay

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/relay/api"
	"gpsbridge/bridge/relay/page"
	"gpsbridge/bridge/track"
)

var deviceID = regexp.MustCompile(`^[A-Za-z0-9_]{1,80}$`)

// ValidDeviceID reports whether an ID names a group: 1 to 80 ASCII letters, digits and underscores, which the route (\w+) of
// a Django server and the group names of its channel layer (ASCII, under 100 characters with a prefix) accept together.
func ValidDeviceID(id string) bool { return deviceID.MatchString(id) }

// upgrader has small buffers: messages are framed already and written past gorilla, and a viewer sends control frames only. They
// decide what an idle viewer costs.
var upgrader = websocket.Upgrader{
	HandshakeTimeout: 5 * time.Second,
	ReadBufferSize:   256,
	WriteBufferSize:  1024,
	WriteBufferPool:  new(sync.Pool),
	Subprotocols:     []string{subprotocol},
	CheckOrigin:      func(*http.Request) bool { return true }, // checked before, with a better answer
}

// handler is all that the relay serves.
func (r *Relay) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws/gps-tracking/{device_id}/{$}", r.serveGroup)
	// The first of the two keeps the mux from redirecting to the route with the slash, which no WebSocket client follows.
	mux.HandleFunc("GET /ws/gps-tracking/{device_id}", explainRoute)
	mux.HandleFunc("GET /ws/", explainRoute)
	for route, get := range map[string]func(device string) (kind string, body []byte, err error){
		"GET /api/v1/status":                  func(string) (string, []byte, error) { return asJSON(r.config.Status()) },
		"GET /api/v1/devices":                 r.devices,
		"GET /api/v1/devices/{device_id}":     r.device,
		"GET /api/v1/devices/{device_id}/fix": r.fix,
	} {
		mux.HandleFunc(route, r.guard(r.serveData(get)))
	}
	mux.HandleFunc("GET /api/v1/devices/{device_id}/track.geojson", r.guard(r.serveTrack("application/geo+json", ".geojson", track.GeoJSON)))
	mux.HandleFunc("GET /api/v1/devices/{device_id}/track.gpx", r.guard(r.serveTrack("application/gpx+xml", ".gpx", track.GPX)))
	mux.HandleFunc("/api/", explainAPI)
	mux.HandleFunc("GET /healthz", r.serveHealth)
	if r.config.Metrics != nil {
		mux.HandleFunc("GET /metrics", r.guard(r.config.Metrics.ServeHTTP))
	}
	if r.config.Basemap != "" {
		mux.HandleFunc("GET /basemap.pmtiles", r.guard(r.serveBasemap))
	}
	// The page, what was generated beside it, and the description of the API and of the messages, which is no secret.
	serveFiles(mux, page.Files(), "/static", nil)
	serveFiles(mux, page.Dist(), "/dist", nil)
	serveFiles(mux, api.Files, "/api/v1", http.Header{"Access-Control-Allow-Origin": {"*"}})
	return r.front(mux)
}

// safeHeader is what keeps a browser from going elsewhere, on every answer.
var safeHeader = http.Header{
	"Content-Security-Policy":      {"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"},
	"X-Content-Type-Options":       {"nosniff"},
	"Referrer-Policy":              {"no-referrer"},
	"Cross-Origin-Resource-Policy": {"same-origin"},
	"Cross-Origin-Opener-Policy":   {"same-origin"},
	"Permissions-Policy":           {"camera=(), geolocation=(), microphone=(), payment=(), serial=(), usb=()"},
}

// front answers clients that ask too often with 429, and refuses names that are not this machine's.
func (r *Relay) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		maps.Copy(w.Header(), safeHeader)
		if !r.remotes.allow(q.RemoteAddr, 1, time.Now()) {
			r.tooMany(w, q)
			return
		}
		if err := r.access.Load().checkHost(q); err != nil {
			r.hub.refuse(refusedOrigin, q.RemoteAddr)
			answerError(w, q, http.StatusForbidden, err.Error())
			return
		}
		next.ServeHTTP(w, q)
	})
}

// guard admits clients that may watch.
func (r *Relay) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		if _, ok := r.granted(w, q, q.PathValue("device_id")); !ok {
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		next(w, q)
	}
}

// granted returns what a client may do in the group of device, and answers those that may do nothing. Each token that was
// compared counts as a request of its address, so that guessing is no faster with several in one request.
func (r *Relay) granted(w http.ResponseWriter, q *http.Request, device string) (grant, bool) {
	g, compared, err := r.access.Load().grant(q, device)
	if compared > 0 && !r.remotes.allow(q.RemoteAddr, compared, time.Now()) {
		r.tooMany(w, q)
		return grant{}, false
	}
	if err != nil {
		r.hub.refuse(refusedToken, q.RemoteAddr)
		w.Header().Set("WWW-Authenticate", `Bearer realm="gpsbridge"`)
		answerError(w, q, http.StatusUnauthorized, err.Error())
		return grant{}, false
	}
	return g, true
}

func (r *Relay) tooMany(w http.ResponseWriter, q *http.Request) {
	r.hub.refuse(refusedRate, q.RemoteAddr)
	w.Header().Set("Retry-After", "5")
	answerError(w, q, http.StatusTooManyRequests, "too many requests from this address: ask again in a few seconds")
}

// answerError answers as the part of the relay that q asked does: the API with {"error":...} in one line, everything else
// with a line of text.
func answerError(w http.ResponseWriter, q *http.Request, code int, text string) {
	if !strings.HasPrefix(q.URL.Path, "/api/") {
		http.Error(w, text, code)
		return
	}
	body, _ := json.Marshal(map[string]string{"error": text}) // strings always encode
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(append(body, '\n'))
}

// explainAPI answers every other path and method below /api/.
func explainAPI(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		answerError(w, q, http.StatusMethodNotAllowed, "the API is for reading: use GET")
		return
	}
	answerError(w, q, http.StatusNotFound, "no such path; the API is /api/v1/status, /api/v1/devices, "+
		"/api/v1/devices/DEVICE_ID, and fix, track.geojson or track.gpx below it; /api/v1/openapi.json describes it")
}

// explainRoute answers every other path below /ws/.
func explainRoute(w http.ResponseWriter, q *http.Request) {
	hint := ""
	if p := q.URL.Path; p[len(p)-1] != '/' {
		hint = fmt.Sprintf(": the trailing slash is missing, try %q", p+"/")
	}
	http.Error(w, "no such group; the route is /ws/gps-tracking/DEVICE_ID/"+hint, http.StatusNotFound)
}

// serveGroup makes the client a member of the group of its device ID.
func (r *Relay) serveGroup(w http.ResponseWriter, q *http.Request) {
	device := q.PathValue("device_id")
	if !deviceID.MatchString(device) {
		http.Error(w, fmt.Sprintf("device ID %q is not valid: use 1 to 80 of A-Z a-z 0-9 _", device), http.StatusNotFound)
		return
	}
	if err := r.access.Load().checkOrigin(q); err != nil {
		r.hub.refuse(refusedOrigin, q.RemoteAddr)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	granted, ok := r.granted(w, q, device)
	if !ok {
		return
	}
	wish, err := readWishes(q, granted)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !websocket.IsWebSocketUpgrade(q) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket route: open it with ws:// or wss://", http.StatusUpgradeRequired)
		return
	}
	r.upgrade(w, q, device, wish)
}

// wishes is what a member asks for when it joins.
type wishes struct {
	grant     grant
	history   int // TPV of before
	sky, nmea bool
}

// readWishes reads ?history=N, ?sky=1 and ?nmea=1. A viewer gets the last fix in any case; a publisher, which waits for its
// own echoes, gets nothing older unless it asks.
func readWishes(q *http.Request, g grant) (wishes, error) {
	query := q.URL.Query()
	w := wishes{grant: g, sky: query.Get("sky") == "1", nmea: query.Get("nmea") == "1"}
	if g.role == watcher {
		w.history = 1
	}
	if text := query.Get("history"); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return wishes{}, fmt.Errorf("history=%q is not a number of fixes", text)
		}
		w.history = max(w.history, int(n))
	}
	return w, nil
}

// upgrade makes the client a member first and answers its handshake then, so that a connected client misses nothing, as on
// the Django server.
func (r *Relay) upgrade(w http.ResponseWriter, q *http.Request, device string, wish wishes) {
	v := newViewer(r.hub, q.RemoteAddr, wish)
	if err := r.hub.join(v, device, wish.history); err != nil {
		r.hub.refuse(refusedFull, q.RemoteAddr)
		w.Header().Set("Retry-After", "10")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	up := upgrader
	if v.publisher {
		up.ReadBufferSize = 4096
	}
	conn, err := up.Upgrade(wiring{w}, q, nil) // answers by itself on error
	if err != nil {
		v.group.leave(v)
		return
	}
	if err := r.hub.start(v, conn); err != nil {
		frame := websocket.FormatCloseMessage(websocket.CloseGoingAway, closeReason(err))
		conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(r.hub.limits.linger))
		conn.Close()
		v.group.leave(v)
		return
	}
	r.revoke(v) // the tokens may have changed since the request came
	r.log.Debug("joined", "device_id", device, "viewer", v.peer, "publisher", v.publisher)
}

// missing is the error of asking for what is not there.
type missing string

func (m missing) Error() string { return string(m) }

// serveData answers with what get returns for the device that the path names.
func (r *Relay) serveData(get func(device string) (kind string, body []byte, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		kind, body, err := get(q.PathValue("device_id"))
		if err != nil {
			code := http.StatusInternalServerError
			if errors.As(err, new(missing)) {
				code = http.StatusNotFound
			}
			answerError(w, q, code, err.Error())
			return
		}
		w.Header().Set("Content-Type", kind)
		r.answer(w, q, body)
	}
}

func asJSON(v any) (kind string, body []byte, err error) {
	body, err = json.Marshal(v)
	return "application/json", body, err
}

// device is one device in the answer of GET /api/v1/devices.
type device struct {
	DeviceStatus
	Fix json.RawMessage `json:"fix,omitempty"` // the last TPV, as published
}

// devices are all that are known, by ID.
func (r *Relay) devices(string) (kind string, body []byte, err error) {
	now := time.Now()
	list := []device{}
	for _, g := range r.hub.all() {
		list = append(list, device{g.status(now), g.lastFix()})
	}
	slices.SortFunc(list, func(a, b device) int { return cmp.Compare(a.DeviceID, b.DeviceID) })
	return asJSON(map[string]any{"devices": list})
}

func (r *Relay) device(name string) (kind string, body []byte, err error) {
	g := r.hub.lookup(name)
	if g == nil {
		return "", nil, missing(fmt.Sprintf("nothing is known of device %q", name))
	}
	return asJSON(device{g.status(time.Now()), g.lastFix()})
}

func noFix(name string) error { return missing(fmt.Sprintf("no fix of device %q yet", name)) }

// fix is the last TPV of a device, byte for byte as published.
func (r *Relay) fix(name string) (kind string, body []byte, err error) {
	if g := r.hub.lookup(name); g != nil {
		body = g.lastFix()
	}
	if body == nil {
		return "", nil, noFix(name)
	}
	return "application/json", body, nil
}

// serveTrack answers with the fixes that are kept of a device, as a file.
func (r *Relay) serveTrack(kind, suffix string, format track.Format) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		name := q.PathValue("device_id")
		var kept []*message
		if g := r.hub.lookup(name); g != nil {
			kept = g.fixes()
		}
		if len(kept) == 0 {
			answerError(w, q, http.StatusNotFound, noFix(name).Error())
			return
		}
		if !r.remotes.allow(q.RemoteAddr, trackCost(kept), time.Now()) {
			r.tooMany(w, q)
			return
		}
		release, ok := r.reserve(w, q, trackMemory(kept))
		defer release()
		if !ok {
			return
		}
		r.tracks.Lock()
		kept = inOrder(kept)
		r.tracks.Unlock()
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": name + suffix}))
		if err := writeTrack(w, format, name, kept); err != nil {
			r.log.Debug("track not written to its end", "device_id", name, "err", err)
			panic(http.ErrAbortHandler) // the client must not take it for whole
		}
	}
}

// serveHealth is for supervisors, so it needs no token. Why the program is not healthy names ports and servers, so that is
// only for clients that may watch. A relay in which something hangs does not answer.
func (r *Relay) serveHealth(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.hub.pass()
	if r.config.Ready != nil {
		if err := r.config.Ready(); err != nil {
			text := "not healthy: ask with a token for the reason"
			if g, compared, wrong := r.access.Load().grant(q, ""); wrong == nil && g.role >= watcher && r.remotes.allow(q.RemoteAddr, compared, time.Now()) {
				text = err.Error()
			}
			http.Error(w, text, http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

// largeAnswer is what the kernel's buffer of a socket takes for a client that does not read, in bytes.
const largeAnswer = 64 << 10

// reserve counts the memory of an answer until release: a large one is held until the client has read it, so the sum of those
// is bounded. Above it the client is asked to come again. One alone is always answered.
func (r *Relay) reserve(w http.ResponseWriter, q *http.Request, size int) (release func(), ok bool) {
	n := int64(size)
	if n <= largeAnswer {
		return func() {}, true
	}
	sum := r.answering.Add(n)
	if ok = sum == n || sum <= int64(r.hub.limits.answers); !ok {
		w.Header().Set("Retry-After", "5")
		answerError(w, q, http.StatusServiceUnavailable, "too many large answers are being read by others: ask again in a few seconds")
	}
	return func() { r.answering.Add(-n) }, ok
}

// answer writes a body.
func (r *Relay) answer(w http.ResponseWriter, q *http.Request, body []byte) {
	release, ok := r.reserve(w, q, len(body))
	defer release()
	if ok {
		w.Write(body)
	}
}

// serveFiles serves files below a path, index.html at /, with a header. They carry a hash of their content, so that a
// browser asks again after an upgrade and is answered "not modified" otherwise.
func serveFiles(mux *http.ServeMux, files fs.FS, below string, header http.Header) {
	fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		own := http.Header{"Etag": {`"` + hex.EncodeToString(sum[:8]) + `"`}, "Cache-Control": {"no-cache"}}
		maps.Copy(own, header)
		if path.Ext(name) == ".ts" { // of video, for a system's table of types
			own.Set("Content-Type", "text/plain; charset=utf-8")
		}
		where := path.Join(below, name)
		if where == "/static/index.html" {
			where = "/{$}"
		}
		mux.HandleFunc("GET "+where, func(w http.ResponseWriter, q *http.Request) {
			maps.Copy(w.Header(), own)
			http.ServeContent(w, q, name, time.Time{}, bytes.NewReader(data))
		})
		return nil
	})
}

// serveBasemap serves the base map as it is on disk now, with range requests, which is how a PMTiles archive is read.
func (r *Relay) serveBasemap(w http.ResponseWriter, q *http.Request) {
	f, err := os.Open(r.config.Basemap)
	if err != nil {
		r.log.Debug("no base map", "err", err)
		answerError(w, q, http.StatusNotFound, "the file that relay.basemap names cannot be read")
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		answerError(w, q, http.StatusNotFound, "relay.basemap does not name a file")
		return
	}
	// A reader that puts ranges of two files together would see garbage, so each version has a tag of its own.
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano()))
	w.Header().Set("Cache-Control", "private, max-age=3600")
	w.Header().Set("Content-Type", "application/vnd.pmtiles")
	http.ServeContent(w, q, "", info.ModTime(), f)
}

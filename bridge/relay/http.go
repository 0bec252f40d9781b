package relay

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
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

	shared "gpsbridge/bridge/group"
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
	for route, do := range map[string]answering{
		"GET /ws/gps-tracking/{device_id}/{$}": r.serveGroup,
		// Keeps the mux from redirecting to the route with the slash, which no WebSocket client follows.
		"GET /ws/gps-tracking/{device_id}":              explainRoute,
		"GET /ws/":                                      explainRoute,
		"GET /api/v1/status":                            r.guard(r.serveStatus),
		"GET /api/v1/devices":                           r.guard(r.serveDevices),
		"GET /api/v1/devices/{device_id}":               r.guard(r.serveDevice),
		"GET /api/v1/devices/{device_id}/fix":           r.guard(r.serveFix),
		"GET /api/v1/devices/{device_id}/track.geojson": r.guard(r.serveTrack("application/geo+json", ".geojson", track.GeoJSON)),
		"GET /api/v1/devices/{device_id}/track.gpx":     r.guard(r.serveTrack("application/gpx+xml", ".gpx", track.GPX)),
		"/api/":                explainAPI,
		"GET /healthz":         r.serveHealth,
		"GET /metrics":         r.guard(r.serveMetrics),
		"GET /basemap.pmtiles": r.guard(r.serveBasemap),
	} {
		mux.Handle(route, r.explained(do))
	}
	// The page, what was generated beside it, and the description of the API and of the messages, which is no secret.
	serveFiles(mux, page.Files(), "/static", nil)
	serveFiles(mux, page.Dist(), "/dist", nil)
	serveFiles(mux, api.Files, "/api/v1", http.Header{"Access-Control-Allow-Origin": {"*"}})
	return r.explained(func(w http.ResponseWriter, q *http.Request) error {
		maps.Copy(w.Header(), safeHeader)
		if q.TLS == nil && !r.config.local() {
			w.Header().Del("Cross-Origin-Opener-Policy") // over a network, browsers complain of it without TLS
		}
		if !r.remotes.allow(q.RemoteAddr, 1, time.Now()) {
			return errTooMany
		}
		if err := r.access.Load().checkHost(q); err != nil {
			return err
		}
		mux.ServeHTTP(w, q)
		return nil
	})
}

// answering is a handler whose error is the answer: a denied, or else an internal error.
type answering func(w http.ResponseWriter, q *http.Request) error

// denied is an answer that is not what was asked for.
type denied struct {
	code int
	text string
}

func (d denied) Error() string { return d.text }

// busy is a 503 with a reason of its own, and when to come again.
type busy struct {
	why   refusal
	after time.Duration
	text  string
}

func (b busy) Error() string { return b.text }

// errDraining sends clients to another server, if there is one.
var errDraining = busy{refusedDrain, 2 * time.Second, errClosing.Error() + ": come again, to another one"}

var errTooMany = denied{http.StatusTooManyRequests, "too many requests from this address: ask again in a few seconds"}

// refusalOf has the codes that count as a refusal, with the header that goes with them.
var refusalOf = map[int]struct {
	why           refusal
	header, value string
}{
	http.StatusUnauthorized:       {refusedToken, "WWW-Authenticate", `Bearer realm="gpsbridge"`},
	http.StatusForbidden:          {refusedOrigin, "Cache-Control", "no-store"},
	http.StatusTooManyRequests:    {refusedRate, "Retry-After", "5"},
	http.StatusServiceUnavailable: {refusedFull, "Retry-After", "10"},
}

// refuse counts a refusal, and has the answer state it.
func (r *Relay) refuse(w http.ResponseWriter, q *http.Request, why refusal) {
	r.hub.refuse(why, q.RemoteAddr)
	w.Header().Set(shared.RefusalHeader, refusalNames[why])
}

// explained answers an error as the part of the relay that was asked does: the API with {"error":...} in one line, everything else
// with a line of text.
func (r *Relay) explained(do answering) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		err := do(w, q)
		if err == nil {
			return
		}
		d := denied{http.StatusInternalServerError, err.Error()}
		var b busy
		errors.As(err, &d)
		if errors.As(err, &b) {
			d = denied{http.StatusServiceUnavailable, b.text}
			r.refuse(w, q, b.why)
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(b.after.Seconds()))))
		} else if refused, ok := refusalOf[d.code]; ok {
			r.refuse(w, q, refused.why)
			w.Header().Set(refused.header, refused.value)
		}
		if !strings.HasPrefix(q.URL.Path, "/api/") {
			http.Error(w, d.text, d.code)
			return
		}
		body, _ := json.Marshal(map[string]string{"error": d.text}) // strings always encode
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(d.code)
		w.Write(append(body, '\n'))
	})
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

// guard admits clients that may watch.
func (r *Relay) guard(next answering) answering {
	return func(w http.ResponseWriter, q *http.Request) error {
		if _, err := r.granted(q, q.PathValue("device_id"), watcher); err != nil {
			return err
		}
		w.Header().Set("Cache-Control", "no-store")
		return next(w, q)
	}
}

// granted returns what a client may do in the group of device; an error for those that may do nothing. Each token that was
// compared counts as a request of its address, so that guessing is no faster with several in one request.
// Where no token allows it, the application is asked, for most at the most.
func (r *Relay) granted(q *http.Request, device string, most role) (grant, error) {
	g, compared, err := r.access.Load().grant(q, device)
	if compared > 0 && !r.remotes.allow(q.RemoteAddr, compared, time.Now()) {
		return grant{}, errTooMany
	}
	if err != nil && err != errManyTokens && r.asker != nil {
		return r.asker.grant(q, device, most)
	}
	return g, err
}

// explainAPI answers every other path and method below /api/.
func explainAPI(w http.ResponseWriter, q *http.Request) error {
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return denied{http.StatusMethodNotAllowed, "the API is for reading: use GET"}
	}
	return denied{http.StatusNotFound, "no such path; the API is /api/v1/status, /api/v1/devices, " +
		"/api/v1/devices/DEVICE_ID, and fix, track.geojson or track.gpx below it; /api/v1/openapi.json describes it"}
}

// explainRoute answers every other path below /ws/.
func explainRoute(_ http.ResponseWriter, q *http.Request) error {
	hint := ""
	if p := q.URL.Path; p[len(p)-1] != '/' {
		hint = fmt.Sprintf(": the trailing slash is missing, try %q", p+"/")
	}
	return denied{http.StatusNotFound, "no such group; the route is /ws/gps-tracking/DEVICE_ID/" + hint}
}

// serveGroup makes the client a member of the group of its device ID. It is one before its handshake is answered, so that a
// connected client misses nothing, as on the Django server.
func (r *Relay) serveGroup(w http.ResponseWriter, q *http.Request) error {
	device := q.PathValue("device_id")
	if !deviceID.MatchString(device) {
		return denied{http.StatusNotFound, fmt.Sprintf("device ID %q is not valid: use 1 to 80 of A-Z a-z 0-9 _", device)}
	}
	if err := r.access.Load().checkOrigin(q); err != nil {
		return err
	}
	granted, err := r.granted(q, device, sender)
	if err != nil {
		return err
	}
	v, want, err := newViewer(r.hub, q.RemoteAddr, granted, q.URL.Query())
	if err != nil {
		return err
	}
	if !websocket.IsWebSocketUpgrade(q) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		return denied{http.StatusUpgradeRequired, "this is a WebSocket route: open it with ws:// or wss://"}
	}
	if err := r.admit(v); err != nil {
		return err
	}
	switch err := r.hub.join(v, device, want); {
	case errors.Is(err, errLayer):
		return r.apart(time.Now())
	case err != nil:
		return denied{http.StatusServiceUnavailable, err.Error()}
	}
	up := upgrader
	if v.publisher {
		up.ReadBufferSize, up.Subprotocols = 4096, []string{ackProtocol, subprotocol}
	}
	params, answer := r.compression(v, q)
	if v.publisher && r.config.Retain > 0 {
		if answer == nil {
			answer = make(http.Header)
		}
		answer.Set(shared.RetainHeader, strconv.Itoa(int(r.config.Retain.Seconds())))
		if layer := r.config.Layer; layer != nil {
			answer.Set(shared.EpochHeader, layer.Epoch(device))
		}
	}
	conn, err := up.Upgrade(wiring{w}, q, answer) // answers by itself on error
	if err != nil {
		v.group.leave(v)
		return nil
	}
	v.short = conn.Subprotocol() == ackProtocol
	if err := r.hub.start(v, conn, params); err != nil {
		frame := websocket.FormatCloseMessage(websocket.CloseGoingAway, closeReason(err))
		conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(r.hub.limits.linger))
		conn.Close()
		v.group.leave(v)
		return nil
	}
	r.revoke(v) // the tokens may have changed since the request came
	r.log.Debug("joined", "device_id", device, "viewer", v.peer, "publisher", v.publisher)
	return nil
}

// admit is nil for a client that may join now.
func (r *Relay) admit(v *viewer) error {
	layer, now := r.config.Layer, time.Now()
	switch {
	case r.hub.draining.Load():
		return errDraining
	case v.publisher && layer != nil && layer.Ready() != nil:
		return r.apart(now)
	case r.admission != nil && !r.admission.admit(now):
		return busy{refusedBusy, r.admission.back(now), "too many clients come at once: come again"}
	}
	return nil
}

// apart is for clients whose group the layer cannot reach. Without a bound of admission they come again after what a failover of Redis
// takes.
func (r *Relay) apart(now time.Time) error {
	after := 5 * time.Second
	if r.admission != nil {
		after = r.admission.back(now)
	}
	return busy{refusedLayer, after, errLayer.Error() + ": come again"}
}

// answer answers with a body.
func (r *Relay) answer(w http.ResponseWriter, kind string, body []byte) error {
	release, err := r.reserve(len(body))
	defer release()
	if err == nil {
		w.Header().Set("Content-Type", kind)
		w.Write(body)
	}
	return err
}

func (r *Relay) answerJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return r.answer(w, "application/json", body)
}

// largeAnswer is what the kernel's buffer of a socket takes for a client that does not read, in bytes.
const largeAnswer = 64 << 10

// reserve counts the memory of an answer until release: a large one is held until the client has read it, so the sum of those
// is bounded. Above it the client is asked to come again. One alone is always answered.
func (r *Relay) reserve(size int) (release func(), err error) {
	n := int64(size)
	if n <= largeAnswer {
		return func() {}, nil
	}
	if sum := r.answering.Add(n); sum > n && sum > int64(r.hub.limits.answers) {
		err = denied{http.StatusServiceUnavailable, "too many large answers are being read by others: ask again in a few seconds"}
	}
	return func() { r.answering.Add(-n) }, err
}

func (r *Relay) serveStatus(w http.ResponseWriter, _ *http.Request) error {
	return r.answerJSON(w, r.config.Status())
}

// device is one device in the answer of GET /api/v1/devices.
type device struct {
	DeviceStatus
	Fix json.RawMessage `json:"fix,omitempty"` // the last TPV, as published
}

// serveDevices answers with every known device, by ID. Each is encoded when it is written: all together may be 64 MiB, for each of
// many clients.
func (r *Relay) serveDevices(w http.ResponseWriter, _ *http.Request) error {
	groups := r.hub.all()
	release, err := r.reserve(2 * 8 * len(groups)) // the list has grown to its size
	defer release()
	if err != nil {
		return err
	}
	slices.SortFunc(groups, func(a, b *group) int { return cmp.Compare(a.device, b.device) })
	w.Header().Set("Content-Type", "application/json")
	text := []byte(`{"devices":[`)
	for i, g := range groups {
		one, err := json.Marshal(device{g.status(time.Now()), g.lastFix()})
		if i > 0 {
			text = append(text, ',')
		}
		if err == nil {
			_, err = w.Write(append(text, one...))
		}
		if err != nil {
			r.log.Debug("devices not written to their end", "err", err)
			panic(http.ErrAbortHandler) // the client must not take it for whole
		}
		text = text[:0]
	}
	w.Write(append(text, "]}"...))
	return nil
}

func (r *Relay) serveDevice(w http.ResponseWriter, q *http.Request) error {
	name := q.PathValue("device_id")
	g := r.hub.lookup(name)
	if g == nil {
		return denied{http.StatusNotFound, fmt.Sprintf("nothing is known of device %q", name)}
	}
	return r.answerJSON(w, device{g.status(time.Now()), g.lastFix()})
}

// fixed is the group of a device that has a fix.
func (r *Relay) fixed(q *http.Request) (*group, error) {
	name := q.PathValue("device_id")
	if g := r.hub.lookup(name); g != nil && g.lastFix() != nil {
		return g, nil
	}
	return nil, denied{http.StatusNotFound, fmt.Sprintf("no fix of device %q yet", name)}
}

// serveFix answers with the last TPV of a device, byte for byte as published.
func (r *Relay) serveFix(w http.ResponseWriter, q *http.Request) error {
	g, err := r.fixed(q)
	if err != nil {
		return err
	}
	return r.answer(w, "application/json", g.lastFix())
}

// serveHealth is for supervisors, so it needs no token. Why the program is not healthy names ports and servers, so that is
// only for clients that may watch. A relay in which something hangs does not answer.
func (r *Relay) serveHealth(w http.ResponseWriter, q *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	r.hub.pass()
	if err := r.ready(); err != nil {
		text := "not healthy: ask with a token for the reason"
		if _, wrong := r.granted(q, "", watcher); wrong == nil {
			text = err.Error()
		}
		http.Error(w, text, http.StatusServiceUnavailable) // not a refusal
		return nil
	}
	fmt.Fprintln(w, "ok")
	return nil
}

// ready is why no client should come here now; nil where all may.
func (r *Relay) ready() error {
	if r.hub.draining.Load() {
		return errClosing
	}
	if r.config.Ready != nil {
		if err := r.config.Ready(); err != nil {
			return err
		}
	}
	if r.config.Layer != nil {
		return r.config.Layer.Ready()
	}
	return nil
}

func (r *Relay) serveMetrics(w http.ResponseWriter, q *http.Request) error {
	if r.config.Metrics == nil {
		return denied{http.StatusNotFound, "this relay has no metrics"}
	}
	r.config.Metrics.ServeHTTP(w, q)
	return nil
}

// serveFiles serves files below a path, index.html at /, with a header; what ends in .gz under the name without, as gzip. They carry a hash of their content, so that a
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
		name, packed := strings.CutSuffix(name, ".gz")
		sum := sha256.Sum256(data)
		own := http.Header{"Etag": {`"` + hex.EncodeToString(sum[:8]) + `"`}, "Cache-Control": {"no-cache"}}
		maps.Copy(own, header)
		if path.Ext(name) == ".ts" { // of video, for a system's table of types
			own.Set("Content-Type", "text/plain; charset=utf-8")
		}
		where := path.Join(below, name)
		switch where {
		case "/static/index.html":
			where = "/{$}"
		case "/static/worker.js":
			own.Set("Service-Worker-Allowed", "/") // for the page at /, not only for what is beside the worker
		}
		mux.HandleFunc("GET "+where, func(w http.ResponseWriter, q *http.Request) {
			maps.Copy(w.Header(), own)
			if !packed {
				http.ServeContent(w, q, name, time.Time{}, bytes.NewReader(data))
				return
			}
			servePacked(w, q, name, data)
		})
		return nil
	})
}

// servePacked serves a file that is compressed in the program: as it is to clients that take gzip, which all browsers do.
func servePacked(w http.ResponseWriter, q *http.Request, name string, packed []byte) {
	w.Header().Set("Vary", "Accept-Encoding")
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	if strings.Contains(q.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		http.ServeContent(w, q, name, time.Time{}, bytes.NewReader(packed))
		return
	}
	w.Header().Del("Etag") // that of the compressed file
	if text, err := gzip.NewReader(bytes.NewReader(packed)); err == nil {
		io.Copy(w, text)
	}
}

// serveBasemap serves the base map as it is on disk now, with range requests, which is how a PMTiles archive is read.
func (r *Relay) serveBasemap(w http.ResponseWriter, q *http.Request) error {
	f, err := os.Open(r.config.Basemap)
	if err != nil {
		r.log.Debug("no base map", "err", err)
		return denied{http.StatusNotFound, "the file that relay.basemap names cannot be read"}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return denied{http.StatusNotFound, "relay.basemap does not name a file"}
	}
	// A reader that puts ranges of two files together would see garbage, so each version has a tag of its own.
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano()))
	w.Header().Set("Cache-Control", "private, max-age=3600")
	w.Header().Set("Content-Type", "application/vnd.pmtiles")
	http.ServeContent(w, q, "", info.ModTime(), f)
	return nil
}

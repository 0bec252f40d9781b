package relay

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// deviceID is what the route and a Django channel layer accept together.
var deviceID = regexp.MustCompile(`^[A-Za-z0-9_]{1,80}$`)

// Small buffers: messages are framed already and written past gorilla, and a
// viewer sends control frames only. They decide what an idle viewer costs.
var (
	writeBuffers     sync.Pool
	viewerUpgrade    = upgrader(256)
	publisherUpgrade = upgrader(4096)
)

func upgrader(readBuffer int) *websocket.Upgrader {
	return &websocket.Upgrader{
		HandshakeTimeout: 5 * time.Second,
		ReadBufferSize:   readBuffer,
		WriteBufferSize:  1024,
		WriteBufferPool:  &writeBuffers,
		Subprotocols:     []string{subprotocol},
		CheckOrigin:      func(*http.Request) bool { return true }, // checked before, with a better answer
	}
}

// handler is all that the relay serves.
func (r *Relay) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws/gps-tracking/{device_id}/{$}", r.serveGroup)
	// The first of the two keeps the mux from redirecting to the route with the
	// slash, which no WebSocket client follows.
	mux.HandleFunc("GET /ws/gps-tracking/{device_id}", explainRoute)
	mux.HandleFunc("GET /ws/", explainRoute)
	mux.HandleFunc("GET /api/v1/status", r.guard(r.serveStatus))
	mux.HandleFunc("GET /api/v1/devices", r.guard(r.serveDevices))
	mux.HandleFunc("GET /api/v1/devices/{device_id}", r.guard(r.serveDevice))
	mux.HandleFunc("GET /api/v1/devices/{device_id}/fix", r.guard(r.serveFix))
	mux.HandleFunc("GET /api/v1/devices/{device_id}/track.geojson", r.guard(r.serveTrack("application/geo+json", ".geojson", geoJSON)))
	mux.HandleFunc("GET /api/v1/devices/{device_id}/track.gpx", r.guard(r.serveTrack("application/gpx+xml", ".gpx", gpx)))
	mux.HandleFunc("/api/", explainAPI)
	mux.HandleFunc("GET /healthz", r.serveHealth)
	if r.config.Metrics != nil {
		mux.HandleFunc("GET /metrics", r.guard(r.config.Metrics.ServeHTTP))
	}
	if r.config.Basemap != "" {
		mux.HandleFunc("GET /basemap.pmtiles", r.guard(r.serveBasemap))
	}
	servePage(mux)
	return r.hostOnly(mux)
}

// hostOnly puts on every answer what keeps a browser from going elsewhere, and
// refuses names that are not this machine's.
func (r *Relay) hostOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if err := r.access.checkHost(q); err != nil {
			r.hub.refuse(refusedOrigin, q.RemoteAddr)
			answerError(w, q, http.StatusForbidden, err.Error())
			return
		}
		next.ServeHTTP(w, q)
	})
}

// guard lets those in who may watch.
func (r *Relay) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		if _, err := r.access.role(q, q.PathValue("device_id")); err != nil {
			r.hub.refuse(refusedToken, q.RemoteAddr)
			w.Header().Set("WWW-Authenticate", `Bearer realm="gpsbridge"`)
			answerError(w, q, http.StatusUnauthorized, err.Error())
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		next(w, q)
	}
}

// answerError answers as the part of the relay that q asked does: the API in JSON,
// everything else with a line of text.
func answerError(w http.ResponseWriter, q *http.Request, code int, text string) {
	if strings.HasPrefix(q.URL.Path, "/api/") {
		writeError(w, code, text)
		return
	}
	http.Error(w, text, code)
}

// explainAPI answers every other path and method below /api/.
func explainAPI(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, http.StatusMethodNotAllowed, "the API is for reading: use GET")
		return
	}
	writeError(w, http.StatusNotFound, "no such path; the API is /api/v1/status, /api/v1/devices, "+
		"/api/v1/devices/DEVICE_ID, and fix, track.geojson or track.gpx below it")
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
	if err := r.access.checkOrigin(q); err != nil {
		r.hub.refuse(refusedOrigin, q.RemoteAddr)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	who, err := r.access.role(q, device)
	if err != nil {
		r.hub.refuse(refusedToken, q.RemoteAddr)
		w.Header().Set("WWW-Authenticate", `Bearer realm="gpsbridge"`)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	wish, err := readWishes(q, who)
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
	publish   bool
	history   int // TPV of before
	sky, nmea bool
}

// readWishes reads ?history=N, ?sky=1 and ?nmea=1. A viewer gets the last fix in
// any case; a publisher, who waits for its own echoes, gets nothing older unless
// it asks.
func readWishes(q *http.Request, who role) (wishes, error) {
	query := q.URL.Query()
	w := wishes{publish: who == sender, sky: query.Get("sky") == "1", nmea: query.Get("nmea") == "1"}
	if who == watcher {
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

// upgrade makes the client a member first and answers its handshake then, so
// that who is connected misses nothing, as on the Django server.
func (r *Relay) upgrade(w http.ResponseWriter, q *http.Request, device string, wish wishes) {
	v := newViewer(r.hub, q.RemoteAddr, wish)
	err := r.hub.admit()
	if err == nil {
		if err = r.hub.join(v, device, wish.history); err != nil {
			r.hub.release()
		}
	}
	if err != nil {
		r.hub.refuse(refusedFull, q.RemoteAddr)
		w.Header().Set("Retry-After", "10")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	up := viewerUpgrade
	if wish.publish {
		up = publisherUpgrade
	}
	conn, err := up.Upgrade(wiring{w}, q, nil) // answers by itself on error
	if err != nil {
		v.group.leave(v)
		r.hub.release()
		return
	}
	if err := r.hub.start(v, conn); err != nil {
		frame := websocket.FormatCloseMessage(websocket.CloseGoingAway, closeReason(err))
		conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(r.hub.limits.linger))
		conn.Close()
		v.group.leave(v)
		r.hub.release()
		return
	}
	r.log.Debug("joined", "device_id", device, "viewer", v.peer, "publisher", wish.publish)
}

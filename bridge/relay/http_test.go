package relay

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// get asks for a path; host and header may be empty.
func get(t *testing.T, r *Relay, path, host string, header http.Header) (int, string, http.Header) {
	t.Helper()
	q, err := http.NewRequest(http.MethodGet, r.url("http", path), nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		q.Header = header
	}
	q.Host, q.Close = host, true
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body), answer.Header
}

// handshake tries to join and gives the status code, and the reason if refused.
func handshake(t *testing.T, r *Relay, path string, header http.Header) (int, string, string) {
	t.Helper()
	conn, answer, err := websocket.DefaultDialer.Dial(r.url("ws", path), header)
	if err == nil {
		defer conn.Close()
		return answer.StatusCode, "", conn.Subprotocol()
	}
	if answer == nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), ""
}

func TestRoutes(t *testing.T) {
	r := start(t, Config{})
	r.tpv(1)
	for _, c := range []struct {
		path string
		code int
		text string
	}{
		{"/", 200, "<title>gpsbridge</title>"},
		{"/static/main.js", 200, "import"},
		{"/static/", 404, ""},
		{"/static/../page.go", 404, ""},
		{"/nothing", 404, ""},
		{"/healthz", 200, "ok\n"},
		{"/ws/gps-tracking/van_7/", 426, "WebSocket route"},
		{"/ws/gps-tracking/van_7", 404, `the trailing slash is missing, try "/ws/gps-tracking/van_7/"`},
		{"/ws/gps-tracking/", 404, "/ws/gps-tracking/DEVICE_ID/"},
		{"/ws/gps-tracking/van-7/", 404, `device ID "van-7" is not valid: use 1 to 80 of A-Z a-z 0-9 _`},
		{"/ws/gps-tracking/" + strings.Repeat("x", 81) + "/", 404, "is not valid"},
		{"/ws/gps-tracking/%D9%A3/", 404, "is not valid"},
		{"/ws/gps-tracking/van_7/?history=ten", 400, `history="ten" is not a number`},
		{"/ws/gps-tracking/van_7/?history=-1", 400, "is not a number"},
		{"/api/v1/devices/van_7/fix", 200, tpv(1)},
		{"/api/v1/devices/van_8/fix", 404, `{"error":"no fix of device \"van_8\" yet"}` + "\n"},
	} {
		t.Run(c.path, func(t *testing.T) {
			code, body, header := get(t, r, c.path, "", nil)
			if code != c.code || !strings.Contains(body, c.text) {
				t.Errorf("%d %q, want %d with %q", code, body, c.code, c.text)
			}
			if csp := header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") {
				t.Errorf("Content-Security-Policy %q", csp)
			}
			if header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("X-Content-Type-Options is missing")
			}
		})
	}
	if _, body, _ := get(t, r, "/api/v1/devices/van_7/fix", "", nil); body != tpv(1) {
		t.Errorf("fix %q is not byte for byte what was published", body)
	}
}

func TestStaticIsRevalidated(t *testing.T) {
	r := start(t, Config{})
	_, _, header := get(t, r, "/static/main.js", "", nil)
	code, body, _ := get(t, r, "/static/main.js", "", http.Header{"If-None-Match": {header.Get("ETag")}})
	if code != http.StatusNotModified || body != "" {
		t.Errorf("%d with %d bytes, want 304", code, len(body))
	}
	if got := header.Get("Content-Type"); !strings.HasPrefix(got, "text/javascript") {
		t.Errorf("a module comes as %q: browsers refuse it", got)
	}
}

func TestOrigins(t *testing.T) {
	r := start(t, Config{Origins: []string{"https://Map.example"}})
	own := r.url("http", "")
	for _, c := range []struct {
		origin string
		code   int
	}{
		{"", 101},
		{own, 101},
		{strings.ToUpper(own), 101},
		{"https://map.example", 101},
		{"https://MAP.example", 101},
		{"http://map.example", 403},
		{"https://map.example.evil.example", 403},
		{"https://evil.example", 403},
		{"null", 403},
		{"http://127.0.0.1", 403},
		{"file://", 403},
	} {
		header := http.Header{}
		if c.origin != "" {
			header.Set("Origin", c.origin)
		}
		code, body, _ := handshake(t, r, "/ws/gps-tracking/van_7/", header)
		if code != c.code {
			t.Errorf("origin %q: %d %s, want %d", c.origin, code, body, c.code)
		}
		if c.code == 403 && (!strings.Contains(body, "relay.origins") || strings.Count(body, "\n") != 1) {
			t.Errorf("origin %q: answer %q, want one line with the fix", c.origin, body)
		}
	}
}

func TestTokens(t *testing.T) {
	viewers := Config{Token: "see"}
	both := Config{Token: "see", PublishToken: "send"}
	senders := Config{PublishToken: "send"}
	fleet := Config{Token: "see", DeviceTokens: map[string][]string{
		"van_7": {"0123456789abcdef", "0123456789abcdeg"}, "van_8": {"fedcba9876543210"},
	}}
	inProtocol := func(list string) http.Header { return http.Header{"Sec-Websocket-Protocol": {list}} }
	for _, c := range []struct {
		name      string
		config    Config
		header    http.Header
		code      int
		publisher bool
		protocol  string
	}{
		{"none needed", Config{}, nil, 101, false, ""},
		{"none needed, one given", Config{}, bearer("x"), 101, false, ""},
		{"missing", viewers, nil, 401, false, ""},
		{"wrong", viewers, bearer("sea"), 401, false, ""},
		{"empty", viewers, bearer(""), 401, false, ""},
		{"right", viewers, bearer("see"), 101, false, ""},
		{"as subprotocol", viewers, inProtocol("gpsbridge.v1, gpsbridge.token.see"), 101, false, "gpsbridge.v1"},
		{"wrong as subprotocol", viewers, inProtocol("gpsbridge.v1, gpsbridge.token.sea"), 401, false, ""},
		{"subprotocol without token", viewers, inProtocol("gpsbridge.v1"), 401, false, ""},
		{"publish token", both, bearer("send"), 101, true, ""},
		{"viewer token", both, bearer("see"), 101, false, ""},
		{"publish token as subprotocol", both, inProtocol("gpsbridge.v1, gpsbridge.token.send"), 101, true, "gpsbridge.v1"},
		{"the device's token", fleet, bearer("0123456789abcdef"), 101, true, ""},
		{"its other token", fleet, bearer("0123456789abcdeg"), 101, true, ""},
		{"another device's token", fleet, bearer("fedcba9876543210"), 401, false, ""},
		{"another device's token as subprotocol", fleet, inProtocol("gpsbridge.token.fedcba9876543210"), 401, false, ""},
		{"everyone watches, publisher", senders, bearer("send"), 101, true, ""},
		{"everyone watches, viewer", senders, nil, 101, false, ""},
		{"everyone watches, publisher by subprotocol", senders, inProtocol("gpsbridge.v1, gpsbridge.token.send"), 101, true, "gpsbridge.v1"},
		{"everyone watches, any token as subprotocol", senders, inProtocol("gpsbridge.v1, gpsbridge.token.sent"), 101, false, "gpsbridge.v1"},
		{"everyone watches, wrong publish token", senders, bearer("sent"), 401, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, c.config)
			code, body, protocol := handshake(t, r, "/ws/gps-tracking/van_7/", c.header)
			if code != c.code || protocol != c.protocol {
				t.Fatalf("%d %q (subprotocol %q), want %d (%q)", code, body, protocol, c.code, c.protocol)
			}
			if strings.Contains(body, "see") || strings.Contains(body, "send") {
				t.Errorf("the answer %q shows a token", body)
			}
			if code != 101 {
				return
			}
			until(t, "left", func() bool { return r.hub.conns.Load() == 0 })
			m := dial(t, r, "", c.header)
			m.send(`{"from":"here"}`)
			if c.publisher {
				m.want(`{"from":"here"}`)
			} else {
				until(t, "ignored", func() bool { return r.Status().Ignored == 1 })
			}
		})
	}
}

func TestSame(t *testing.T) {
	if same("", "") {
		t.Error("a token that is not set was matched")
	}
	if !same("a", "a") || same("a", "b") || same("a", "ab") || same("ab", "a") {
		t.Error("equal tokens only")
	}
}

func TestAPINeedsTheToken(t *testing.T) {
	r := start(t, Config{Token: "see", PublishToken: "send"})
	r.tpv(1)
	for _, path := range []string{"/api/v1/status", "/api/v1/devices/van_7/fix"} {
		for token, want := range map[string]int{"": 401, "no": 401, "see": 200, "send": 200} {
			var header http.Header
			if token != "" {
				header = bearer(token)
			}
			if code, body, _ := get(t, r, path, "", header); code != want {
				t.Errorf("%s with %q: %d %q, want %d", path, token, code, body, want)
			}
		}
	}
	for _, path := range []string{"/", "/healthz", "/static/style.css"} {
		if code, _, _ := get(t, r, path, "", nil); code != 200 {
			t.Errorf("%s: %d, want 200 without a token", path, code)
		}
	}
}

// A web site whose name was made to resolve to this machine is refused, unless
// a token or the configuration decides who may see.
func TestHosts(t *testing.T) {
	loopback := start(t, Config{Origins: []string{"https://map.example"}})
	guarded := start(t, Config{Token: "see"})
	_, port, _ := net.SplitHostPort(loopback.Addr().String())
	for _, c := range []struct {
		host string
		code int
	}{
		{"", 200}, {"localhost:" + port, 200}, {"LOCALHOST", 200}, {"127.0.0.1:1", 200}, {"[::1]:" + port, 200},
		{"map.example", 200}, {"evil.example:" + port, 403}, {"localhost.evil.example", 403},
	} {
		if code, body, _ := get(t, loopback, "/healthz", c.host, nil); code != c.code {
			t.Errorf("host %q: %d %q, want %d", c.host, code, body, c.code)
		}
		if code, _, _ := get(t, guarded, "/healthz", c.host, nil); code != 200 {
			t.Errorf("host %q with a token set: %d, want 200", c.host, code)
		}
	}
}

func TestStatus(t *testing.T) {
	r := start(t, Config{PublishToken: "p"})
	v := dial(t, r, "", nil)
	dial(t, r, "", bearer("p"))
	until(t, "joined", func() bool { return r.Status().Viewers == 1 && r.Status().Publishers == 1 })
	r.tpv(1)
	v.want(tpv(1))
	_, body, _ := get(t, r, "/api/v1/status", "", nil)
	var got struct {
		Role  string
		Relay struct {
			Viewers, Publishers int
			Devices             []map[string]any
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	d := got.Relay.Devices
	if got.Role != "server" || got.Relay.Viewers != 1 || got.Relay.Publishers != 1 || len(d) != 1 ||
		d[0]["device_id"] != "van_7" || d[0]["messages"] != 1.0 || d[0]["age"] == nil || d[0]["fix_age"] == nil {
		t.Errorf("status %s", body)
	}

	own := start(t, Config{Status: func() any { return map[string]int{"mine": 1} }})
	if _, body, _ := get(t, own, "/api/v1/status", "", nil); body != `{"mine":1}` {
		t.Errorf("status %s, want the program's own", body)
	}
}

func TestHealth(t *testing.T) {
	r := start(t, Config{Ready: func() error { return errors.New("no fix for 12 s") }})
	if code, body, _ := get(t, r, "/healthz", "", nil); code != 503 || body != "no fix for 12 s\n" {
		t.Errorf("%d %q", code, body)
	}
}

// A relay that hangs is not healthy: who asks gets no answer.
func TestHealthWaitsForTheGroups(t *testing.T) {
	r := start(t, Config{})
	r.tpv(1)
	g := r.hub.lookup("van_7")
	g.mu.Lock()
	impatient := http.Client{Timeout: 50 * time.Millisecond}
	if answer, err := impatient.Get(r.url("http", "/healthz")); err == nil {
		answer.Body.Close()
		t.Errorf("answered with %s while a group hangs", answer.Status)
	}
	g.mu.Unlock()
	if code, body, _ := get(t, r, "/healthz", "", nil); code != 200 || body != "ok\n" {
		t.Errorf("%d %q, want ok", code, body)
	}
	impatient.CloseIdleConnections()
}

func TestConnectionsAreBounded(t *testing.T) {
	r := start(t, Config{MaxConns: 2})
	a := dial(t, r, "", nil)
	dial(t, r, "", nil)
	code, body, _ := handshake(t, r, "/ws/gps-tracking/van_7/", nil)
	if code != 503 || !strings.Contains(body, "relay.max_conns") {
		t.Errorf("%d %q, want 503 with the bound's name", code, body)
	}
	a.Close()
	until(t, "a place is free again", func() bool { return r.hub.conns.Load() == 1 })
	if code, body, _ := handshake(t, r, "/ws/gps-tracking/van_7/", nil); code != 101 {
		t.Errorf("%d %q, want to join", code, body)
	}
}

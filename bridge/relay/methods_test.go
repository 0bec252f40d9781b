package relay

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// HEAD is answered as GET is, without the body; what the API refuses, it refuses
// in JSON.
func TestMethods(t *testing.T) {
	r := start(t, Config{Metrics: http.NotFoundHandler()})
	r.tpv(1)
	for _, c := range []struct {
		method, path string
		code         int
		kind         string
	}{
		{"HEAD", "/", 200, "text/html"},
		{"HEAD", "/static/main.js", 200, "text/javascript"},
		{"HEAD", "/healthz", 200, "text/plain"},
		{"HEAD", "/api/v1/status", 200, "application/json"},
		{"HEAD", "/api/v1/devices", 200, "application/json"},
		{"HEAD", "/api/v1/devices/van_7/fix", 200, "application/json"},
		{"HEAD", "/api/v1/devices/van_7/track.geojson", 200, "application/geo+json"},
		{"HEAD", "/api/v1/devices/van_7/track.gpx", 200, "application/gpx+xml"},
		{"HEAD", "/api/v1/devices/van_8/track.gpx", 404, "application/json"},
		{"POST", "/api/v1/status", 405, "application/json"},
		{"DELETE", "/api/v1/devices/van_7", 405, "application/json"},
		{"GET", "/api/v2/status", 404, "application/json"},
		{"GET", "/api/v1/devices/van_7", 200, "application/json"},
		{"GET", "/api/v1/devices/van_8", 404, "application/json"},
		{"GET", "/api/v1/devices/van_7/way", 404, "application/json"},
		{"POST", "/", 405, "text/plain"},
	} {
		q, err := http.NewRequest(c.method, r.url("http", c.path), nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Close = true
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if kind := answer.Header.Get("Content-Type"); answer.StatusCode != c.code || !strings.HasPrefix(kind, c.kind) {
			t.Errorf("%s %s: %s, %s; want %d, %s", c.method, c.path, answer.Status, kind, c.code, c.kind)
		}
		if c.method == "HEAD" && (len(body) > 0 || answer.ContentLength <= 0) || c.kind == "application/json" && c.method != "HEAD" && !json.Valid(body) {
			t.Errorf("%s %s: %d bytes of %d: %s", c.method, c.path, len(body), answer.ContentLength, body)
		}
	}
}

func TestHeaderIsBounded(t *testing.T) {
	r := start(t, Config{})
	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 32<<10))
	conn.SetReadDeadline(time.Now().Add(patience))
	status := make([]byte, len("HTTP/1.1 431"))
	if io.ReadFull(conn, status); string(status) != "HTTP/1.1 431" {
		t.Errorf("a header of 32 kB is answered with %q, want 431", status)
	}
	inBubble(t, Config{}, func(t *testing.T, r *Relay, p *pipes) {
		here, there := net.Pipe()
		p.conns <- there
		io.WriteString(here, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
		began := time.Now()
		if _, err := io.ReadAll(here); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("a header that never ends was waited for %v", took)
		}
		here.Close()
	})
}

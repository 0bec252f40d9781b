package relay

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
)

func nmeaMessage(text string) string {
	return fmt.Sprintf(`{"class":"NMEA","device_id":"van_7","receiver":"sim:","data":%q}`, text)
}

func TestNMEAGoesToWhoAsked(t *testing.T) {
	r := start(t, Config{})
	if r.Wants("van_7", "NMEA") || !r.Wants("van_7", "TPV") || !r.Wants("van_7", "SKY") {
		t.Error("without members only what is kept for later ones is wanted")
	}
	plain := dial(t, r, "", nil)
	console := dial(t, r, "?nmea=1", nil)
	if !r.Wants("van_7", "NMEA") || r.Wants("van_8", "NMEA") {
		t.Error("NMEA is wanted in the group whose member asked, and in no other")
	}
	r.Publish("van_7", "NMEA", []byte(nmeaMessage("$GP")))
	r.tpv(1)
	r.Publish("van_7", "NMEA", []byte(nmeaMessage("GGA")))
	r.tpv(2)
	console.want(nmeaMessage("$GP"), tpv(1), nmeaMessage("GGA"), tpv(2))
	plain.want(tpv(1), tpv(2))
	late := dial(t, r, "?nmea=1&history=9", nil)
	late.want(tpv(1), tpv(2)) // never kept
	elsewhere, _, err := websocket.DefaultDialer.Dial(r.url("ws", "/ws/gps-tracking/van_8/?nmea=1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	console.Close()
	until(t, "two consoles are left", func() bool { return r.consoles() == 2 })
	if !r.Wants("van_7", "NMEA") {
		t.Error("one console that left took the other's wish with it")
	}
	late.Close()
	until(t, "one console is left", func() bool { return r.consoles() == 1 })
	if r.Wants("van_7", "NMEA") || !r.Wants("van_8", "NMEA") {
		t.Error("NMEA is wanted where a console is left, and there alone")
	}
}

// A console that cannot follow loses lines, and no fix for them.
func TestNMEAPushesNoFixOut(t *testing.T) {
	inBubble(t, Config{Queue: 4}, func(t *testing.T, r *Relay, p *pipes) {
		conn := p.join(t, "?nmea=1")
		r.tpv(1)
		synctest.Wait() // the writer hangs in this one
		r.tpv(2)
		for range 50 {
			r.Publish("van_7", "NMEA", []byte(`{"seq":-1}`))
		}
		r.tpv(3)
		late := read(conn)
		synctest.Wait()
		if got, want := late.got(), []int{1, 2, -1, -1, -1, -1, 3}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestMetricsAreMounted(t *testing.T) {
	if code, _, _ := get(t, start(t, Config{}), "/metrics", "", nil); code != 404 {
		t.Errorf("%d without metrics, want 404", code)
	}
	r := start(t, Config{Token: "see", Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "gpsbridge_up 1\n")
	})})
	if code, _, _ := get(t, r, "/metrics", "", nil); code != 401 {
		t.Errorf("%d without the token, want 401", code)
	}
	if code, body, _ := get(t, r, "/metrics", "", bearer("see")); code != 200 || body != "gpsbridge_up 1\n" {
		t.Errorf("%d %q", code, body)
	}
}

func TestBasemap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "area.pmtiles")
	r := start(t, Config{Basemap: path})
	if code, body, _ := get(t, r, "/basemap.pmtiles", "", nil); code != 404 || !strings.Contains(body, "relay.basemap") {
		t.Errorf("without the file: %d %q", code, body)
	}
	if err := os.WriteFile(path, []byte("PMTiles0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, body, header := get(t, r, "/basemap.pmtiles", "", http.Header{"Range": {"bytes=7-9"}})
	if code != http.StatusPartialContent || body != "012" || header.Get("Content-Range") != "bytes 7-9/17" {
		t.Errorf("%d %q %v, want three bytes of the middle", code, body, header)
	}
	q, _ := http.NewRequest(http.MethodHead, r.url("http", "/basemap.pmtiles"), nil)
	q.Close = true
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	got := []string{answer.Status, answer.Header.Get("Content-Length"), answer.Header.Get("Accept-Ranges"), answer.Header.Get("Content-Type")}
	if d := cmp.Diff([]string{"200 OK", "17", "bytes", "application/vnd.pmtiles"}, got); d != "" {
		t.Errorf("HEAD (-want +got):\n%s", d)
	}
	// Another version of the file has another tag: the ranges of two do not mix.
	tag := header.Get("ETag")
	if err := os.WriteFile(path, []byte("PMTiles-9876543210"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, header = get(t, r, "/basemap.pmtiles", "", nil)
	if tag == "" || header.Get("ETag") == tag {
		t.Errorf("ETag %s of both versions", tag)
	}
	if code, _, _ := get(t, start(t, Config{}), "/basemap.pmtiles", "", nil); code != 404 {
		t.Errorf("%d without a base map, want 404", code)
	}
}

// The generated chunk need not be there; nothing else under /dist/ is served.
func TestDistIsOptional(t *testing.T) {
	r := start(t, Config{})
	for _, path := range []string{"/dist/absent.js", "/dist/", "/dist/.gitignore"} {
		if code, _, _ := get(t, r, path, "", nil); code != 404 {
			t.Errorf("%s: %d, want 404", path, code)
		}
	}
}

// consoles counts the members of the group of van_7 that want NMEA.
func (r *Relay) consoles() (n int) {
	for _, v := range r.hub.everyone() {
		if v.nmea {
			n++
		}
	}
	return n
}

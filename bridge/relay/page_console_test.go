package relay

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/track"
)

// TestPagePanels looks at what the panels of the page show.
func TestPagePanels(t *testing.T) {
	browser := realtest.Chromium(t)
	t.Run("console", func(t *testing.T) { testConsole(t, openTab(t, browser)) })
	t.Run("charts", func(t *testing.T) { testCharts(t, openTab(t, browser)) })
	t.Run("day", func(t *testing.T) { testDay(t, openTab(t, browser)) })
	t.Run("link", func(t *testing.T) { testLink(t, openTab(t, browser)) })
	t.Run("satellites", func(t *testing.T) { testTable(t, openTab(t, browser)) })
	t.Run("track", func(t *testing.T) { testTrackFile(t, openTab(t, browser)) })
	t.Run("strangers", func(t *testing.T) { testStrangers(t, openTab(t, browser)) })
}

// click presses an element by its ID.
func (p *tab) click(id string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Click(chromedp.CSS("#"+id))); err != nil {
		p.t.Fatalf("click %s: %v", id, err)
	}
}

// clean says that nothing went wrong that the page did not show.
func (p *tab) clean() {
	p.t.Helper()
	if e := append(p.noted(&p.errors), p.noted(&p.crashes)...); len(e) > 0 {
		p.t.Errorf("on the browser's console: %q", e)
	}
}

// raw is a chunk of a receiver's bytes as the daemon publishes it.
func raw(r *Relay, data string) {
	body, _ := json.Marshal(map[string]string{"class": "NMEA", "device_id": "van_7", "receiver": "/dev/gps0", "data": data})
	r.Publish("van_7", "NMEA", body)
}

const (
	gll    = "$GPGLL,5130.20,N,00007.66,W,090001.20,A,A*73\r\n"
	gllBad = "$GPGLL,5130.20,N,00007.66,W,090001.20,A,A*00\r\n"
	gst    = "$GPGST,090001.20,12,0.5,0.5,0,0.5,0.5,1.1*6E\r\n"
)

func testConsole(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("speed", "36")
	if r.Wants("van_7", "NMEA") {
		t.Error("the page asks for raw bytes while its console is closed")
	}
	const lines = `document.querySelectorAll("#nmea-lines li").length`
	p.click("tab-nmea")
	until(t, "the console joins", func() bool { return r.Wants("van_7", "NMEA") })

	raw(r, gll[:20]) // a chunk ends anywhere
	raw(r, gll[20:]+gst+gllBad[:9])
	p.until(lines + ` === 2`)
	raw(r, gllBad[9:]+gst)
	p.until(lines + ` === 4`)
	p.until(`document.querySelectorAll("#nmea-lines .fault").length === 1`)
	p.shows("nmea-lines", "✗ checksum is 00, should be")
	p.shows("nmea-state", "1 in error")
	p.until(`[...document.querySelectorAll("#nmea-types button")].map((b) => b.children[0].textContent).join() === "GPGLL,GPGST"`)
	p.until(`document.querySelector("#nmea-types .bad").textContent === "✗ 1"`)

	// A filter by type, and one by words.
	const only = `document.querySelectorAll("#nmea-types button")[1].click()`
	eval[any](p, only)
	p.until(`[...document.querySelectorAll("#nmea-lines li")].map((l) => l.textContent.slice(1, 6)).join() === "GPGST,GPGST"`)
	eval[any](p, only)
	p.until(lines + ` === 4`)
	if err := chromedp.Do(p.ctx, chromedp.SendKeys(chromedp.CSS("#nmea-filter"), "gll")); err != nil {
		t.Fatal(err)
	}
	p.until(lines + ` === 2`)
	eval[any](p, `(() => { const f = document.getElementById("nmea-filter"); f.value = ""; f.dispatchEvent(new Event("input")); })()`)
	p.until(lines + ` === 4`)

	// Paused, what comes is counted and not shown.
	p.click("nmea-pause")
	raw(r, gst+gst)
	p.shows("nmea-state", "paused, 2 new")
	if n := eval[int](p, lines); n != 4 {
		t.Errorf("%d lines while paused, want 4", n)
	}
	p.click("nmea-pause")
	p.until(lines + ` === 6`)
	saved := eval[string](p, `gpsbridge.nmea.saved.join("")`)
	if want := gll + gst + gllBad + gst + gst + gst; saved != want {
		t.Errorf("to download: %q\nwant %q", saved, want)
	}

	p.click("tab-charts")
	until(t, "the console leaves", func() bool { return !r.Wants("van_7", "NMEA") })
	p.clean()
}

// A minute without fixes is a gap in the charts, and so is what comes without a
// value.
func testCharts(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	for seq := 1; seq <= 100; seq++ {
		if seq <= 30 || seq > 90 {
			r.Publish("van_7", "TPV", fixAt(seq))
		}
	}
	p.open("http://" + r.Addr().String() + "/")
	p.until(`gpsbridge.model.track.length === 40`)
	p.click("tab-charts")
	label := func(i int, want string) {
		t.Helper()
		p.until(fmt.Sprintf(`new RegExp(%q).test(document.querySelectorAll("#charts canvas")[%d].getAttribute("aria-label"))`, want, i))
	}
	label(0, "^Speed: 36 to 3600 km/h, [12] gaps?$") // with the one until now, when this machine is slow
	label(2, "^HDOP: no data")
	p.until(`gpsbridge.charts.charts[0].chart.gaps.some(([a, b]) => Math.round(b - a) === 61)`)
	// No line is drawn through it: its middle has no pixel of the line's colour,
	// the time before has.
	const pixels = `((before) => {
	  const { canvas, context, ratio, colours } = gpsbridge.charts.charts[0].chart;
	  const x = Math.round((34 + (canvas.clientWidth - 42) * (1 - (before + gpsbridge.model.age()) / 120)) * ratio);
	  const want = [1, 3, 5].map((i) => parseInt(colours.trail.slice(i, i + 2), 16));
	  const d = context.getImageData(x - 4, 0, 8, canvas.height).data;
	  let n = 0;
	  for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200 && want.every((v, k) => Math.abs(d[i + k] - v) < 40)) n++;
	  return n;
	})`
	p.until(pixels + `(85) > 0`)
	if n := eval[int](p, pixels+`(40)`); n > 0 {
		t.Errorf("%d pixels of a line where no fix came", n)
	}
	p.clean()
}

func testLink(t *testing.T, p *tab) {
	retry := 4.2
	var seldom atomic.Bool // a fix a minute
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0", Status: func() any {
		if seldom.Load() {
			return map[string]any{"role": "tracker", "device_id": "van_7", "spool": map[string]any{"records": 1, "oldest_age": 2},
				"uplinks": []any{map[string]any{"name": "depot", "state": "connected", "ack": "echo", "behind": 1, "outstanding": 1, "last_ack_age": 61}}}
		}
		return map[string]any{"role": "tracker", "device_id": "van_7",
			"receivers": []any{
				map[string]any{"source": "/dev/gps0", "name": "u-blox 7", "device_id": "van_7", "active": true, "state": "reading", "sentences": 9, "baud": 9600,
					"warning": map[string]any{"code": "line-full", "cause": "the line is full", "fix": "set 38400 baud"}, "run": "a", "reported": 300},
				map[string]any{"source": "/dev/gps1", "device_id": "van_7", "active": false, "state": "silent"},
				map[string]any{"source": "/dev/gps9", "device_id": "another", "active": true, "state": "reading"},
			},
			"spool":   map[string]any{"records": 128, "bytes": 65536, "max_bytes": 1 << 28, "oldest_age": 190, "dropped": 0, "appended": 300},
			"uplinks": []any{map[string]any{"name": "depot", "state": "waiting", "problem": map[string]any{"code": "refused", "cause": "connection refused", "fix": "start the server"}, "retry_in": retry, "behind": 128, "window": 8, "bytes_per_day": 1.25e7, "resent": 3, "rtt": 0.23}},
		}
	}})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("badge-link", "128")
	p.click("tab-link")
	for _, want := range []string{"128 wait", "Oldest waits3 min", "Next try in4.2 s", "connection refused", "Data a day13 MB", "Repeats3", "Round trip230 ms",
		"the line is full", "set 38400 baud", "start the server", "Baud9"} {
		p.shows("link", want)
	}
	p.until(`!document.getElementById("link").textContent.includes("gps9")`)

	// The chain names what is wrong, and says why to who asks.
	words := eval[[]string](p, `[...document.querySelectorAll("#chain li")].map((li) => li.className + " " + li.querySelector(".word").textContent)`)
	if len(words) != 5 || words[0] != "warn trouble" || words[1] != "warn silent" || words[2] != "warn 128 wait" || !strings.HasPrefix(words[3], "bad retry ") || words[4] != "unknown not reached" {
		t.Errorf("chain %q", words)
	}
	eval[any](p, `document.querySelector('[data-station="Uplink"]').click()`)
	p.shows("why", "connection refused")
	p.until(`document.querySelector('[data-station="Uplink"]').getAttribute("aria-expanded") === "true"`)
	// The server out of reach keeps nothing from this page: that is not the reason.
	p.silence()
	p.shows("banner-text", "the line is full")
	seldom.Store(true) // one that is on its way is no silence of the server
	p.until(`document.querySelector("#chain li:last-child").textContent.includes("acknowledges")`)
	p.clean()
}

func testTable(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", fixAt(1))
	// A satellite that comes once a signal is one satellite, with its stronger one.
	r.Publish("van_7", "SKY", []byte(`{"class":"SKY","satellites":[{"gnssid":0,"svid":5,"el":71,"az":210,"ss":22,"used":true},
	  {"gnssid":0,"svid":5,"el":71,"az":210,"ss":46,"used":false},{"gnssid":6,"svid":9,"ss":0,"used":false}]}`))
	p.open("http://" + r.Addr().String() + "/")
	p.until(`document.querySelectorAll("#sky .sat .mark").length === 1`) // the other has no direction
	p.shows("sky-aside", "1 without direction")
	eval[any](p, `document.getElementById("table").open = true`)
	p.until(`[...document.querySelectorAll("#table tbody tr")].map((r) => r.innerText.replace(/\s+/g, " ").trim()).join("|") === "GPS 5 46 71° 210° yes|GLONASS 9 – – – no"`)
	if shape := eval[string](p, `document.querySelector("#table tbody tr:nth-child(2) svg").firstChild.tagName`); shape != "polygon" {
		t.Errorf("GLONASS is drawn as %s, want a diamond", shape)
	}
	if class := eval[string](p, `document.querySelector("#bars .used").getAttribute("class")`); class != "sat cn8 used" {
		t.Errorf("46 dB-Hz has class %q, want the green end", class)
	}
	p.clean()
}

// A page that was just opened shows a day that the program kept, with an hour that is missing.
func testDay(t *testing.T, p *tab) {
	day := track.NewDay()
	begin := time.Unix(1795424400, 0).Add(-24 * time.Hour)
	for i := 0; i <= 24*3600; i++ {
		at, seconds := begin.Add(time.Duration(i)*time.Second), float64(i)
		if lost := i/3600 == 12; !lost {
			day.Add(track.Point{Mode: 3, Time: at, Lat: new(51.5 - (86400-seconds)*1e-6), Lon: new(-0.12), Speed: new(10.0), AltMSL: new(11.0)})
		}
	}
	keep := func(string) *track.Day { return day }
	address := ownAddress(t)
	r, stop := serveOn(t, Config{Listen: address, Track: keep})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.until(`gpsbridge.model.track.length > 9000`)
	p.click("tab-charts")
	gaps := func() []float64 {
		return eval[[]float64](p, `gpsbridge.charts.charts[0].chart.gaps.filter(([, b]) => b <= gpsbridge.model.fixTime).map(([a, b]) => b - a)`)
	}
	press := func(words string) {
		eval[any](p, fmt.Sprintf(`[...document.querySelectorAll("#span button")].find((b) => b.textContent === %q).click()`, words))
	}
	press("1 h")
	if g := gaps(); len(g) != 0 {
		t.Errorf("gaps of %v s in the last hour, want none", g)
	}
	press("24 h")
	if g := gaps(); len(g) != 1 || g[0] < 3590 || g[0] > 3620 {
		t.Errorf("gaps of %v s in a day, want one of an hour", g)
	}
	if points, holes := eval[int](p, `gpsbridge.map.points.length`), eval[int](p, `gpsbridge.map.points.filter((p) => p.hole).length`); points < 9000 || holes != 1 {
		t.Errorf("a trail of %d points with %d holes, want 9000 or more with one", points, holes)
	}
	// What the page hears goes on with it, once.
	r.Publish("van_7", "TPV", fixAt(2))
	p.shows("speed", "72")
	if n := eval[int](p, `new Set(gpsbridge.model.track.map((p) => p.t)).size - gpsbridge.model.track.length`); n != 0 {
		t.Errorf("%d points are there twice", -n)
	}
	p.clean()
	// What it did not hear it fetches when it is connected again.
	stop()
	p.until(`document.getElementById("socket").textContent !== "connected"`)
	for i := 2; i < 60; i++ {
		day.Add(track.Point{Mode: 3, Time: time.Unix(1795424400+int64(i), 0), Lat: new(51.5), Lon: new(-0.12), Speed: new(10.0)})
	}
	again, _ := serveOn(t, Config{Listen: address, Track: keep})
	again.Publish("van_7", "TPV", fixAt(60))
	p.until(`gpsbridge.model.track.filter((p) => p.t > 1795424400).length === 60`)
	if d := cmp.Diff([]string(nil), p.noted(&p.crashes)); d != "" {
		t.Errorf("uncaught exceptions:\n%s", d)
	}
}

// The track is fetched with the token and saved as a file; what goes wrong is said.
func testTrackFile(t *testing.T, p *tab) {
	r, stop := serveOn(t, Config{Listen: "127.0.0.1:0", Token: "see-me"})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/?device=van_7#token=see-me")
	p.shows("speed", "36")
	// The file goes to the test, not to a directory.
	eval[any](p, `(() => {
	  URL.createObjectURL = (blob) => { blob.text().then((text) => { window.file = text; }); return "#"; };
	  HTMLAnchorElement.prototype.click = function () { window.fileName = this.download; };
	})()`)
	p.click("tab-link")
	p.click("gpx")
	p.until(`window.file?.includes("<trkpt lat=\"51.5") && /^van_7-\d{8}T\d{6}Z\.gpx$/.test(fileName)`)
	p.clean()
	stop()
	p.click("geojson")
	p.shows("track-state", "gpsbridge does not answer")
}

// What a group carries besides does not disturb: other classes, messages without
// (run, seq), and what is no object at all.
func testStrangers(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("speed", "36")
	for _, odd := range []string{`{"class":"ATT","roll":3}`, `{"text":"hello"}`, `[1,2]`, `null`, `7`, `{"class":"SKY"}`, `{"class":"TPV"}`,
		`{"class":"TPV","mode":3,"lat":"x","lon":null,"speed":"fast"}`, `{"class":"TPV","mode":"3","time":2026,"lat":51,"lon":0,"speed":null}`,
		`{"__proto__":{"class":"TPV","mode":3},"class":"SKY","satellites":[{"__proto__":{"gnssid":0},"constructor":1,"svid":1}]}`,
		`{"class":"SKY","satellites":[null,7,{"gnssid":"constructor","svid":1,"el":5,"az":5,"ss":30}]}`} {
		r.Publish("van_7", "SKY", []byte(odd)) // what the page asked for, whatever is in it
	}
	p.until(`document.querySelectorAll("#sky .sat .mark").length === 1`)
	// Objects that cannot become a string or a number, wherever they are.
	const no = `{"toString":1,"valueOf":1}`
	for _, key := range []string{"class", "time", "lat", "speed", "mode", "run", "seq", "status", "eph", "uSat", "track", "altMSL", "hdop"} {
		r.Publish("van_7", "TPV", fmt.Appendf(nil, `{"class":"TPV","mode":3,"lat":51.5,"lon":-0.1,"run":"r","seq":3,%q:%s}`, key, no))
		r.Publish("van_7", "SKY", fmt.Appendf(nil, `{"class":"SKY","satellites":[{"gnssid":0,"svid":5,"el":71,"az":210,"ss":40}],%q:%s}`, key, no))
	}
	for _, key := range []string{"gnssid", "svid", "PRN", "el", "az", "ss", "used"} {
		r.Publish("van_7", "SKY", fmt.Appendf(nil, `{"class":"SKY","satellites":[{"gnssid":0,"svid":5,"el":71,"az":210,"ss":40,%q:%s}]}`, key, no))
	}
	// Numbers that no later fix exceeds do not freeze the page.
	for i, seq := range []string{"1e308", "9007199254740991", "-1", "0.5", `"NaN"`, `[1]`} {
		r.Publish("van_7", "TPV", fmt.Appendf(nil, `{"class":"TPV","mode":3,"lat":51.5,"lon":-0.1,"speed":10,"run":"r","seq":%s}`, seq))
		r.Publish("van_7", "TPV", fmt.Appendf(nil, `{"class":"TPV","mode":3,"lat":51.4,"lon":-0.1,"speed":10,"run":"r","seq":%d}`, 100*i+50))
		p.shows("position", "51.400000° N")
		r.Publish("van_7", "TPV", fmt.Appendf(nil, `{"class":"TPV","mode":3,"lat":51.5,"lon":-0.1,"speed":10,"run":"r","seq":%d}`, 100*i+51))
		p.shows("position", "51.500000° N")
	}
	// More satellites than could be drawn.
	r.Publish("van_7", "SKY", crowdedSky(700))
	p.until(`document.querySelectorAll("#bars .sat .number").length === 200`)
	r.Publish("van_7", "TPV", []byte(`{"class":"TPV","mode":3,"lat":51.6,"lon":-0.1,"speed":20}`))
	p.shows("speed", "72")
	p.shows("position", "51.600000° N")
	p.clean()
}

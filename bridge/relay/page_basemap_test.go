package relay

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/relay/page"
)

// hamlet is a base map, made for these tests, of 3 by 3 km around 51.5 north, 0.12 west, in vector tiles of zoom 14. In metres
// east and north of the middle it has a park from (-700, 60) to (-60, 690), with a lake from (-480, 240) to (-240, 360) in it, a
// major road north through the middle, and in a layer "sensors", which no base map has, a line and a point east of it.
const hamlet = "testdata/hamlet.pmtiles"

// TestPageBasemap looks at the generated map, with the hamlet around the beginning of the road of fixAt and
// without one.
func TestPageBasemap(t *testing.T) {
	realtest.Need(t, realtest.GeneratedMap)
	browser := realtest.Chromium(t)
	t.Run("streets", func(t *testing.T) { testStreets(t, openTab(t, browser)) })
	t.Run("token", func(t *testing.T) { testBasemapToken(t, openTab(t, browser)) })
	t.Run("none", func(t *testing.T) { testNoBasemap(t, openTab(t, browser)) })
	t.Run("elsewhere", func(t *testing.T) { testBasemapElsewhere(t, openTab(t, browser)) })
	t.Run("not an archive", func(t *testing.T) { testBadBasemap(t, openTab(t, browser)) })
	t.Run("cut off", func(t *testing.T) { testCutBasemap(t, openTab(t, browser)) })
	t.Run("gives up while it draws", func(t *testing.T) { testDrawingFails(t, openTab(t, browser)) })
	t.Run("half a chunk", func(t *testing.T) { testGenerated(t, openTab(t, browser), generatedMap(t)[:200_000]) })
}

// generatedMap is the map as clients get it that take no gzip.
func generatedMap(t *testing.T) string {
	t.Helper()
	code, script, header := get(t, start(t, Config{}), "/dist/map.js", "", http.Header{"Accept-Encoding": {"identity"}})
	if code != http.StatusOK || header.Get("Content-Encoding") != "" || header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Fatalf("%d, header %v", code, header)
	}
	return script
}

// openTown opens the page of a van that has come 200 m up the road of the hamlet.
func openTown(t *testing.T, p *tab, basemap string) *Relay {
	t.Helper()
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0", Basemap: basemap})
	for seq := 1; seq <= 20; seq++ {
		r.Publish("van_7", "TPV", fixAt(seq))
	}
	p.open("http://" + r.Addr().String() + "/")
	p.shows("speed", "720")
	return r
}

const (
	// colourAt is the colour of the base map metres east and north of the middle of the town, as the trail's own map
	// finds the pixel: where the two do not agree it is another.
	colourAt = `(([east, north]) => {
	  const m = gpsbridge.map, tiles = document.querySelector("#map .ol-layer canvas");
	  const [x, y] = m.screen(m.frame.project({ lat: 51.5 + north / 111200, lon: -0.12 + east / (111200 * Math.cos(51.5 * Math.PI / 180)) }));
	  if (!tiles) return "no tiles";
	  const at = new DOMMatrix(getComputedStyle(tiles).transform).inverse().transformPoint({ x, y }); // OpenLayers turns its canvas
	  return [...tiles.getContext("2d").getImageData(at.x, at.y, 1, 1).data].slice(0, 3).join();
	})([%d, %d])`
	// length is the trail's on the screen, in metres by the map's scale.
	length = `(() => { const m = gpsbridge.map, [a, b] = [m.points.at(0), m.points.at(-1)].map((p) => m.screen(p.at)); return Math.hypot(a[0] - b[0], a[1] - b[1]) / m.k; })()`
	// strangers is how many features in sight are of the layer that no basemap has, and whether each has a style.
	strangers = `(() => {
	  const { tiles, view } = gpsbridge.map.base, style = tiles.getStyleFunction();
	  const list = tiles.getFeaturesInExtent(view.calculateExtent()).filter((f) => f.get("layer") === "sensors");
	  return list.length > 1 && list.every((f) => [style(f, view.getResolution())].flat().length > 0);
	})()`
	// ownColour is the colour of a corner of the page's own canvas; alpha 0 lets the base map through.
	ownColour = `[...gpsbridge.map.context.getImageData(3, 3, 1, 1).data].join()`
	// answers are the codes with which ranges of the base map were answered.
	answers = `performance.getEntriesByType("resource").filter((e) => e.name.endsWith("/basemap.pmtiles")).map((e) => e.responseStatus)`
)

// isAt waits until the base map has a colour at a place of the town.
func (p *tab) isAt(east, north int, colour string) {
	p.t.Helper()
	p.until(fmt.Sprintf(colourAt+` === %q`, east, north, colour))
}

func (p *tab) scheme(light string) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: light}}}); err != nil {
		p.t.Fatal(err)
	}
}

// screen is w by h, with so many pixels a CSS pixel.
func (p *tab) screen(w, h int64, pixels float64) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: w, Height: h, DeviceScaleFactor: pixels}); err != nil {
		p.t.Fatal(err)
	}
}

const (
	lightPark, lightRoad, lightLake = "220,235,211", "253,236,192", "188,217,230"
	darkPark                        = "21,36,29"
)

// The streets are drawn under the trail and where they belong, on every screen, in both lights and however the map is
// turned; they come in ranges.
func testStreets(t *testing.T, p *tab) {
	p.scheme("light")
	p.screen(1440, 900, 1)
	r := openTown(t, p, hamlet)
	look := func() {
		t.Helper()
		p.isAt(-150, 400, lightPark)
		p.isAt(0, 60, lightRoad) // the van's
		p.isAt(-300, 300, lightLake)
	}
	zoom := func() { eval[float64](p, `(gpsbridge.map.zoomBy(0.32 / gpsbridge.map.k), gpsbridge.map.k)`) }
	p.shows("credit", "© OpenStreetMap")
	zoom()
	look()
	p.until(strangers)
	p.until(ownColour + ` === "0,0,0,0"`)
	if codes := eval[[]int](p, answers); len(codes) < 3 || strings.Trim(fmt.Sprint(codes), "[206 ]") != "" {
		t.Errorf("the ranges of the base map were answered with %d, want 206 each", codes)
	}
	if m := eval[float64](p, length); m < 188 || m > 192 {
		t.Errorf("by the map's scale the trail of 190 m is %.1f m long", m)
	}
	p.click("turn") // the van drives north: that turns nothing until it drives elsewhere
	r.Publish("van_7", "TPV", []byte(`{"class":"TPV","run":"5f1c09ae77b2d041","seq":21,"mode":3,"time":"2026-11-23T09:10:00Z","lat":51.502,"lon":-0.12,"speed":9,"track":140}`))
	p.until(`gpsbridge.map.bearing === 140`)
	look()
	p.screen(390, 844, 2)
	p.until(`gpsbridge.map.width < 390 && gpsbridge.map.canvas.width > 700`)
	zoom()
	look()
	p.scheme("dark")
	p.isAt(-150, 400, darkPark)
	p.until(`document.querySelector("#map > div").style.background === "rgb(13, 19, 22)"`)
	p.clean()
}

// The base map is for those who may watch.
func testBasemapToken(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0", Token: "see-me", Basemap: hamlet})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/#token=see-me")
	p.shows("credit", "© OpenStreetMap")
	p.until(`!!document.querySelector("#map .ol-layer canvas")`)
	p.clean()
}

// Without a base map the generated map is the page's own, until somebody looks at countries.
func testNoBasemap(t *testing.T, p *tab) {
	p.scheme("light")
	openTown(t, p, "")
	p.until(`gpsbridge.map?.base && document.getElementById("credit").hidden && ` + ownColour + `.endsWith(",255")`)
	if n := eval[int](p, answers+`.length`); n > 0 {
		t.Errorf("%d requests for a base map that is not there", n)
	}
	eval[float64](p, `(gpsbridge.map.zoomBy(1e-6), gpsbridge.map.k)`)
	p.until(`gpsbridge.map.base.outlines?.getSource().getFeatures().length > 200`)
	p.until(ownColour + ` === "0,0,0,0"`)
	eval[float64](p, `(gpsbridge.map.zoomBy(1e5), gpsbridge.map.k)`)
	p.until(ownColour + `.endsWith(",255")`)
	p.clean()
}

// Where the base map has nothing there is the grid.
func testBasemapElsewhere(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0", Basemap: hamlet})
	r.Publish("van_7", "TPV", []byte(`{"class":"TPV","run":"5f1c09ae77b2d041","seq":1,"mode":3,"time":"2026-11-23T09:00:00Z","lat":48.2,"lon":16.4}`))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("credit", "© OpenStreetMap")
	p.until(`gpsbridge.map.ground() === true && !!gpsbridge.map.base.tiles`)
	p.clean()
}

// What is no archive costs the base map and says why; the trail stays.
func testBadBasemap(t *testing.T, p *tab) {
	path := filepath.Join(t.TempDir(), "notes.pmtiles")
	if err := os.WriteFile(path, []byte(strings.Repeat("these are no tiles. ", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	openTown(t, p, path)
	p.shows("credit", "base map not shown")
	p.until(`gpsbridge.map.points.length === 20 && ` + ownColour + `.endsWith(",255")`)
	p.clean()
}

// An archive that was not copied to its end shows what it has.
func testCutBasemap(t *testing.T, p *tab) {
	whole, err := os.ReadFile(hamlet)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "half.pmtiles")
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	openTown(t, p, path)
	p.shows("credit", "© OpenStreetMap")
	p.until(answers + `.includes(416)`)
	p.until(`gpsbridge.map.points.length === 20 && !!gpsbridge.map.base.tiles`)
	if e := p.noted(&p.crashes); len(e) > 0 {
		t.Errorf("uncaught: %q", e)
	}
}

// A map that cannot go on gives way to the page's own, with the whole trail.
func testDrawingFails(t *testing.T, p *tab) {
	r := openTown(t, p, hamlet)
	p.shows("credit", "© OpenStreetMap")
	eval[bool](p, `!!(gpsbridge.map.base.map.renderSync = () => { throw new Error("the graphics card is gone"); })`)
	r.Publish("van_7", "TPV", fixAt(21))
	p.until(`!gpsbridge.map.base && gpsbridge.map.points.length === 21 && document.getElementById("map").children.length === 1`)
	p.until(`document.getElementById("credit").hidden && ` + ownColour + `.endsWith(",255")`)
	p.clean()
}

// Without the generated map no base map is requested, and the page's own map is there.
func TestPageWithoutGeneratedMap(t *testing.T) {
	p := openTab(t, realtest.Chromium(t))
	var r *Relay
	r, _ = serveOn(t, Config{Listen: "127.0.0.1:0", Basemap: hamlet, Status: func() any {
		s := r.Status()
		s.Page = PageStatus{Basemap: true}
		return map[string]any{"role": "server", "relay": s}
	}})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.until(`gpsbridge.map?.points?.length === 1 && !gpsbridge.map.base && ` + ownColour + `.endsWith(",255")`)
	for _, asked := range p.noted(&p.requests) {
		if strings.Contains(asked, "/dist/") || strings.Contains(asked, "/basemap") {
			t.Errorf("the page asks for %s", asked)
		}
	}
	p.clean()
}

// The notices of all that is bundled are beside the bundle, and nothing in it is asked of another host.
func TestGeneratedNotices(t *testing.T) {
	realtest.Need(t, realtest.GeneratedMap)
	notices, err := fs.ReadFile(page.Dist(), "NOTICES.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nol 10.", "OpenLayers Contributors", "\npmtiles 4.", "\npbf ", "\nworld-atlas 2.", "Natural Earth"} {
		if !strings.Contains(string(notices), want) {
			t.Errorf("NOTICES.txt lacks %q", want)
		}
	}
	script := generatedMap(t)
	if !strings.Contains(script[:200], "NOTICES.txt") || !strings.Contains(script, `from"/static/map.js"`) {
		t.Errorf("the bundle begins with %q", script[:200])
	}
}

// The lock file pins what is bundled, and names no server to get it from.
func TestLockFile(t *testing.T) {
	lock, err := os.ReadFile("page/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(lock), `"integrity": "sha512-`); n < 20 || strings.Contains(string(lock), `"resolved"`) {
		t.Errorf("%d hashes, and it names servers: %v", n, strings.Contains(string(lock), `"resolved"`))
	}
}

package relay

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/realtest"
)

// TestPageMap looks at the map: what it shows, and which it is.
func TestPageMap(t *testing.T) {
	browser := realtest.Chromium(t)
	t.Run("acknowledged and waiting", func(t *testing.T) { testDelivered(t, openTab(t, browser)) })
	t.Run("heading up", func(t *testing.T) { testHeadingUp(t, openTab(t, browser)) })
	t.Run("tap", func(t *testing.T) { testTap(t, openTab(t, browser)) })
	t.Run("all devices", func(t *testing.T) { testFleet(t, openTab(t, browser)) })
	for name, script := range map[string]string{
		"absent":         "",
		"broken":         `export class MapView {`,
		"throws":         `export class MapView { constructor(box) { box.append("half"); throw new Error("no canvas here"); } }`,
		"gives up later": `export class MapView { constructor(box, on) { box.append("half"); setTimeout(on.failed, 50); } setFix() {} setTrail() {} addPoint() {} fit() {} destroy() {} }`,
	} {
		t.Run("generated map "+name, func(t *testing.T) { testGenerated(t, openTab(t, browser), script) })
	}
	t.Run("generated map late", func(t *testing.T) { testGeneratedLate(t, openTab(t, browser)) })
	t.Run("generated map", func(t *testing.T) { testGeneratedUsed(t, openTab(t, browser)) })
}

// status is a daemon of which the last behind messages of its run are not
// acknowledged.
func deliveryStatus(state string, reported, behind int) map[string]any {
	return map[string]any{"role": "tracker", "device_id": "van_7",
		"receivers": []any{map[string]any{"state": "reading", "run": "5f1c09ae77b2d041", "reported": reported}},
		"uplinks":   []any{map[string]any{"state": state, "behind": behind, "window": 8, "order": "live-first"}},
		"relay":     map[string]any{"devices": []any{}},
	}
}

const states = `gpsbridge.map.points.map((p) => p.state[0]).join("")`

// What the server has is drawn apart from what it has not, while the link is
// gone and while the backlog drains.
func testDelivered(t *testing.T, p *tab) {
	var status atomic.Value
	status.Store(deliveryStatus("connected", 40, 0))
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0", Status: func() any { return status.Load() }})
	for seq := 1; seq <= 40; seq++ {
		r.Publish("van_7", "TPV", fixAt(seq))
	}
	sent, kept := func(n int) string { return strings.Repeat("s", n) }, func(n int) string { return strings.Repeat("k", n) }
	p.open("http://" + r.Addr().String() + "/")
	is := func(want string) {
		t.Helper()
		eval[any](p, `gpsbridge.poll.now()`)
		p.until(fmt.Sprintf(`%s === %q`, states, want))
	}
	is(sent(40))
	p.until(`document.getElementById("kept").parentElement.hidden`)

	status.Store(deliveryStatus("waiting", 40, 20))
	is(sent(20) + kept(20))
	p.shows("kept", "20")
	r.Publish("van_7", "TPV", fixAt(41)) // before the next status
	is(sent(20) + kept(21))

	// Connected again: the newest go at once, the backlog from its old end.
	status.Store(deliveryStatus("connected", 41, 16))
	is(sent(25) + kept(16))
	r.Publish("van_7", "TPV", fixAt(42))
	status.Store(deliveryStatus("connected", 42, 10))
	is(sent(31) + kept(10) + sent(1))
	status.Store(deliveryStatus("connected", 42, 0))
	is(sent(42))

	// Once more, with a server that has the newest and not the oldest when the link goes again.
	acked := func(state string, reported, behind, acked int) {
		st := deliveryStatus(state, reported, behind)
		st["uplinks"].([]any)[0].(map[string]any)["acked_seq"] = acked
		status.Store(st)
	}
	acked("waiting", 42, 22, 20)
	is(sent(20) + kept(22))
	acked("connected", 42, 18, 20)
	is(sent(20) + kept(18) + sent(4))
	acked("waiting", 42, 18, 20) // nothing is called acknowledged that might not be
	is(sent(20) + kept(22))
	acked("connected", 42, 9, 29)
	is(sent(29) + kept(9) + sent(4))
	p.open("http://" + r.Addr().String() + "/")
	is(sent(29) + kept(9) + sent(4))
	acked("connected", 42, 0, 42)
	is(sent(42))
	p.clean()
}

func testHeadingUp(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	east := func(seq int) []byte { // to the east, 10 m a fix
		return fmt.Appendf(nil, `{"class":"TPV","run":"a","seq":%d,"mode":3,"time":"2026-11-23T09:00:%02dZ","lat":51.5,"lon":%.7f,"speed":10,"track":90}`, seq, seq, float64(seq)*10/69_400)
	}
	r.Publish("van_7", "TPV", east(1))
	r.Publish("van_7", "TPV", east(2))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("heading", "090")
	// Where the trail's first point is on the screen, seen from the vehicle.
	const behind = `(() => { const m = gpsbridge.map, a = m.screen(m.points[0].at), b = m.screen(m.vehicle); return [Math.sign(Math.round(a[0] - b[0])), Math.sign(Math.round(a[1] - b[1]))].join(); })()`
	p.until(behind + ` === "-1,0"`)
	p.click("turn")
	p.until(`gpsbridge.map.bearing === 90`)
	p.until(behind + ` === "0,1"`)
	p.until(`document.getElementById("turn").getAttribute("aria-pressed") === "true"`)
	// Turned, the arrow keys still move what is seen: up on the screen is east.
	if err := chromedp.Do(p.ctx, chromedp.Focus(chromedp.CSS("#map")), chromedp.KeyEvent(kb.ArrowUp)); err != nil {
		t.Fatal(err)
	}
	p.until(`!gpsbridge.map.following && gpsbridge.map.centre[0] > gpsbridge.map.vehicle[0] + 1 && Math.abs(gpsbridge.map.centre[1] - gpsbridge.map.vehicle[1]) < 1`)
	p.click("unit")
	p.shows("speed", "22")
	p.shows("unit", "mph")
	p.clean()
}

// withMap serves r with another /dist/map.js; "" is none. The status says that
// there is one.
func withMap(t *testing.T, script string) (*Relay, string) {
	t.Helper()
	var r *Relay
	r, _ = serveOn(t, Config{Listen: "127.0.0.1:0", Status: func() any {
		s := r.Status()
		s.Page = PageStatus{Map: true}
		return map[string]any{"role": "server", "relay": s}
	}})
	target, _ := url.Parse("http://" + r.Addr().String())
	mux := http.NewServeMux()
	mux.Handle("/", httputil.NewSingleHostReverseProxy(target))
	mux.HandleFunc("/dist/map.js", func(w http.ResponseWriter, q *http.Request) {
		if script == "" {
			http.NotFound(w, q)
			return
		}
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, script)
	})
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	return r, front.URL
}

// Whatever is wrong with the generated map, the page has one.
func testGenerated(t *testing.T, p *tab, script string) {
	r, address := withMap(t, script)
	r.Publish("van_7", "TPV", fixAt(1))
	r.Publish("van_7", "TPV", fixAt(2))
	p.open(address)
	p.shows("speed", "72")
	p.until(`document.querySelectorAll("#map canvas").length === 1 && gpsbridge.map?.points?.length === 2 && !document.getElementById("map").textContent`)
	if e := p.noted(&p.crashes); len(e) > 0 {
		t.Errorf("uncaught: %q", e)
	}
}

// A map that comes after the history shows the trail all the same.
func testGeneratedLate(t *testing.T, p *tab) {
	r, address := withMap(t, `export { MapView } from "/static/map.js";
	  while (!gpsbridge.model.fix || document.body.dataset.condition === "waiting") await new Promise(requestAnimationFrame);`)
	for seq := 1; seq <= 60; seq++ { // 590 m
		r.Publish("van_7", "TPV", fixAt(seq))
	}
	p.open(address)
	p.until(`gpsbridge.map.points.length === 60 && gpsbridge.map.k * 590 < gpsbridge.map.height / 2 && gpsbridge.map.k * 590 > gpsbridge.map.height / 4`)
	p.clean()
}

// A generated map that works is used, and told everything.
func testGeneratedUsed(t *testing.T, p *tab) {
	r, address := withMap(t, `export class MapView {
	  constructor(box, on) { this.heard = [on.basemap]; box.append("generated"); }
	  setFix(f, s) { this.heard.push("fix " + f.lat.toFixed(4) + s.stale); }
	  setTrail(list) { this.heard.push("trail " + list.length); }
	  addPoint(p) { this.heard.push("point " + p.state); }
	  fit() { this.heard.push("fit"); } zoomBy(f) { this.heard.push("zoom " + (f > 1)); } setTheme() {}
	}`)
	r.Publish("van_7", "TPV", fixAt(1))
	p.open(address)
	p.shows("map", "generated")
	p.until(`gpsbridge.map.heard.some((h) => h === "trail 1" || h === "point none") && gpsbridge.map.heard.includes("fit") && gpsbridge.map.heard[0] === ""`)
	r.Publish("van_7", "TPV", fixAt(2))
	p.until(`gpsbridge.map.heard.includes("point none") && gpsbridge.map.heard.includes("fix 51.5002false")`)
	p.click("zoom-in")
	p.until(`gpsbridge.map.heard.includes("zoom true")`)
	p.clean()
}

// tapAt presses the map where a thing that is drawn is.
func (p *tab) tapAt(thing string) {
	p.t.Helper()
	at := eval[[2]float64](p, fmt.Sprintf(`(() => { const b = gpsbridge.map.canvas.getBoundingClientRect(), [x, y] = gpsbridge.map.screen(%s.at); return [b.x + x, b.y + y]; })()`, thing))
	if err := chromedp.Do(p.ctx, chromedp.MouseClickXY(at[0], at[1])); err != nil {
		p.t.Fatal(err)
	}
}

// A tap on the trail shows when the vehicle was there and how fast; while it is followed the screen stays on.
func testTap(t *testing.T, p *tab) {
	p.size(1280, 800)
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	for seq := 1; seq <= 40; seq++ {
		r.Publish("van_7", "TPV", fixAt(seq))
	}
	p.open("http://" + r.Addr().String() + "/")
	p.until(`gpsbridge.map.points.length === 40`)
	p.settled()
	p.tapAt("gpsbridge.map.points[9]")
	p.shows("announce", "09:00:10 UTC · 360 km/h")
	p.until(`gpsbridge.map.marked.point.t === gpsbridge.model.track[9].t && gpsbridge.map.following`)
	p.click("unit")
	p.until(`gpsbridge.map.marked.words === "09:00:10 UTC · 224 mph"`)
	eval[any](p, `gpsbridge.map.tap(-100, -100)`)
	p.until(`gpsbridge.map.marked === null`)

	// The screen stays on while there is something to follow: as a log, since a busy machine sees each only after it.
	p.silence()
	eval[any](p, `(() => { window.screenLog = []; Object.defineProperty(navigator, "wakeLock", { value: { request: async (what) => {
	  screenLog.push(what); return { release() { screenLog.push("off"); } }; } } }); })()`)
	r.Publish("van_7", "TPV", fixAt(41))
	p.until(`screenLog.join() === "screen" || screenLog.join() === "screen,off"`)
	p.silence()
	p.until(`screenLog.join() === "screen,off"`)
	p.click("follow")
	r.Publish("van_7", "TPV", fixAt(42))
	p.shows("announce", "Live")
	p.until(`screenLog.join() === "screen,off"`)
	p.clean()
}

// Without ?device= a server of several devices shows all of them, to viewers with its token; a tap on one leads to its page.
func testFleet(t *testing.T, p *tab) {
	p.size(1280, 800)
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0", Token: "see-me", PublishToken: "pub"})
	for i, name := range []string{"van_10", "van_9", "<b>"} {
		if name == "<b>" { // what a tracker sends is not what the page is made of
			r.Publish("van_11", "TPV", []byte(`{"class":"TPV","mode":3,"lat":"51.5","lon":{},"speed":"<b>"}`))
			continue
		}
		r.Publish(name, "TPV", fixAt(100*(i+1)))
	}
	p.open("http://" + r.Addr().String() + "/#token=wrong")
	p.until(`!document.getElementById("token-form").hidden && document.body.dataset.view === undefined`)
	p.open("http://" + r.Addr().String() + "/?x#token=see-me")
	p.shows("fleet-count", "2 of 3 live")
	p.condition("live")
	p.shows("socket", "connected")
	p.until(`document.getElementById("fleet-list").innerText.replace(/\s+/g, " ").trim() === "van_9 7200 km/h live van_10 3600 km/h live van_11 no fix"`)
	p.until(`gpsbridge.map.fleet.length === 2 && gpsbridge.map.fleet.every((v) => gpsbridge.map.sees(v.at))`)
	r.Publish("van_9", "TPV", fixAt(201))
	p.until(`gpsbridge.map.fleet[0].trail.length === 2`)
	eval[any](p, `(() => { const f = document.getElementById("fleet-filter"); f.value = "AN_1"; f.dispatchEvent(new Event("input")); })()`)
	p.until(`[...document.querySelectorAll("#fleet-list b")].map((e) => e.textContent).join() === "van_10,van_11"`)
	if d := cmp.Diff([]string{}, eval[[]string](p, contrasts)); d != "" {
		t.Errorf("hard to read:\n%s", d)
	}
	if crashes := p.noted(&p.crashes); len(crashes) > 0 {
		t.Errorf("uncaught: %q", crashes)
	}
	p.tapAt("gpsbridge.map.fleet[0]")
	until(t, "the device is shown", func() bool {
		at, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`location.search + " " + document.getElementById("speed")?.textContent`))
		return err == nil && strings.HasSuffix(at, "device=van_9 7236")
	})
}

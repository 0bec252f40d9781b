package relay

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"

	"gpsbridge/bridge/realtest"

	"gpsbridge/bridge/relay/page"
)

// TestPageTruth: what the page says holds on machines that sleep and have wrong
// clocks, in large fleets, with two trackers under one name, on another server.
func TestPageTruth(t *testing.T) {
	browser := realtest.Chromium(t)
	t.Run("sleep", func(t *testing.T) { testSleep(t, openTab(t, browser)) })
	t.Run("wrong clock", func(t *testing.T) { testWrongClock(t, openTab(t, browser)) })
	t.Run("date corrected", func(t *testing.T) { testDateCorrected(t, openTab(t, browser)) })
	t.Run("old satellites", func(t *testing.T) { testOldSky(t, openTab(t, browser)) })
	t.Run("two senders", func(t *testing.T) { testTwoSenders(t, openTab(t, browser)) })
	t.Run("large fleet", func(t *testing.T) { testLargeFleet(t, openTab(t, browser)) })
	t.Run("touch", func(t *testing.T) { testTouch(t, openTab(t, browser)) })
	t.Run("another node", func(t *testing.T) { testAnotherNode(t, openTab(t, browser)) })
	t.Run("another server", func(t *testing.T) { testDjangoGroup(t, openTab(t, browser)) })
}

// A tracker that is connected to another node of a fleet is connected, as long as messages come.
func testAnotherNode(t *testing.T, p *tab) {
	var r *Relay
	r, _ = serveOn(t, Config{Listen: "127.0.0.1:0", Status: func() any {
		return map[string]any{"role": "server", "relay": r.Status(), "layer": map[string]any{}}
	}})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("speed", "36")
	p.shows("chain", "connected")
	p.until(`!document.getElementById("chain").textContent.includes("not connected")`)
	p.clean()
}

// A browser's count of time may stop while its machine sleeps; the clock goes on.
const sleepFor = `((ms) => { const now = Date.now.bind(Date); Date.now = () => now() + ms; })(%d)`

// After a sleep the fix is as old as it is, and the socket, which may be dead
// without a word, is another. Where the server knows better it is believed.
func testSleep(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("speed", "36")
	p.until(`document.getElementById("socket").textContent === "connected"`)
	eval[any](p, `gpsbridge.model.correct = () => {}`) // a server that is out of reach
	eval[any](p, fmt.Sprintf(sleepFor, 600_000))
	p.shows("age", "10:0")
	p.condition("stale")
	p.until(`document.getElementById("socket").textContent === "connected"`)
	eval[any](p, `delete gpsbridge.model.correct`)
	p.until(`parseFloat(document.getElementById("age").textContent) < 100`) // the clock was set, without sleeping
	r.Publish("van_7", "TPV", fixAt(2))
	p.shows("speed", "72")
	p.condition("live")
	p.clean()
}

// A backlog is as old as the server's clock says, whatever the viewer's does.
func testWrongClock(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("speed", "36")
	eval[any](p, fmt.Sprintf(sleepFor, -5*3_600_000))
	eval[any](p, `gpsbridge.poll.now()`)
	p.until(`Math.abs(gpsbridge.model.offset - 5 * 3600e3) < 60e3`)
	r.Publish("van_7", "TPV", fmt.Appendf(nil, `{"class":"TPV","run":"b","seq":1,"mode":3,"lat":51.5,"lon":0,"speed":20,"backlog":true,"time":%q}`,
		time.Now().Add(-20*time.Minute).UTC().Format(time.RFC3339)))
	p.shows("speed", "72")
	p.shows("age", "20:")
}

// A receiver that finds out the year is not in its mode for decades, and what it
// said before belongs to no trail.
func testDateCorrected(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	at := func(seq int, date string) {
		r.Publish("van_7", "TPV", fmt.Appendf(nil, `{"class":"TPV","run":"a","seq":%d,"mode":3,"lat":51.5,"lon":0,"speed":%d,"time":%q}`, seq, 10*seq, date))
	}
	at(1, "2007-04-09T23:59:58Z")
	at(2, "2007-04-09T23:59:59Z")
	p.open("http://" + r.Addr().String() + "/")
	p.shows("speed", "72")
	at(3, "2026-11-23T09:00:00Z")
	p.shows("speed", "108")
	p.shows("mode-for", "> 0:0")
	p.until(`gpsbridge.model.track.length === 1`)
	at(4, "2026-11-23T08:00:00Z")
	p.shows("speed", "144")
	p.until(`gpsbridge.model.track.length === 1 && gpsbridge.map.points.length === 1`)
	p.clean()
}

// Satellites that were reported long before the fix are not those of now.
func testOldSky(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "SKY", []byte(`{"class":"SKY","time":"2026-11-23T09:00:00Z","satellites":[{"gnssid":0,"svid":5,"el":71,"az":210,"ss":46,"used":true}]}`))
	r.Publish("van_7", "TPV", fixAt(100))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("sky-aside", "1 used of 1 seen · 10")
	p.until(`document.body.hasAttribute("data-old-sky")`)
	r.Publish("van_7", "SKY", crowdedSky(3))
	p.until(`!document.body.hasAttribute("data-old-sky") && document.getElementById("sky-aside").textContent === "2 used of 3 seen"`)
	p.clean()
}

// Two trackers with one device ID take turns on the map: the page says so.
func testTwoSenders(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	from := func(run string, seq int, more string) {
		r.Publish("van_7", "TPV", fmt.Appendf(nil, `{"class":"TPV","run":%q,"seq":%d,"mode":3,"lat":51.5,"lon":0,"speed":%d%s}`, run, seq, 10*seq, more))
	}
	from("a", 1, "")
	from("b", 2, "") // started again, and sends what was left
	from("a", 3, `,"backlog":true`)
	r.Publish("van_7", "TPV", []byte(`{"class":"TPV","mode":3,"lat":51.5,"lon":0,"speed":15}`)) // for viewers alone
	from("b", 2, "")
	from("b", 5, "")
	p.open("http://" + r.Addr().String() + "/")
	p.shows("speed", "180")
	p.shows("chain", "not connected")
	from("a", 4, "")
	p.shows("chain", "two senders")
	eval[any](p, `document.querySelector('[data-station="Device"]').click()`)
	p.shows("why", "give each a device_id of its own")
	p.clean()
}

// The device that is shown is known, however many others were heard since.
func testLargeFleet(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0", PublishToken: "pub"})
	tracker := dial(t, r, "", bearer("pub"))
	tracker.send(string(fixAt(1)))
	tracker.next()
	for i := range maxListed + 10 {
		r.Publish(fmt.Sprintf("van_%d", 1000+i), "TPV", fixAt(i))
	}
	p.open("http://" + r.Addr().String() + "/?device=van_7")
	p.shows("speed", "36")
	p.until(`document.querySelector('[data-station="Device"] .word').textContent === "connected"`)
	p.clean()
}

// touch moves fingers over an element by the same way each, in steps. Positions
// are pixels from its corner.
func (p *tab) touch(id string, from, to [][2]float64) {
	p.t.Helper()
	box := eval[[2]float64](p, fmt.Sprintf(`(() => { const b = document.getElementById(%q).getBoundingClientRect(); return [b.x, b.y]; })()`, id))
	const steps = 8
	for i := range steps + 1 {
		event := input.DispatchTouchEventParams{Type: input.DispatchTouchEventTypeTouchMove}
		if i == 0 {
			event.Type = input.DispatchTouchEventTypeTouchStart
		}
		for n := range from {
			at := func(axis int) float64 {
				return box[axis] + from[n][axis] + (to[n][axis]-from[n][axis])*float64(i)/steps
			}
			event.TouchPoints = append(event.TouchPoints, &input.TouchPoint{X: at(0), Y: at(1), ID: new(float64(n))})
		}
		p.dispatch(event)
	}
	p.dispatch(input.DispatchTouchEventParams{Type: input.DispatchTouchEventTypeTouchEnd, TouchPoints: []*input.TouchPoint{}})
}

func (p *tab) dispatch(event input.DispatchTouchEventParams) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, input.DispatchTouchEvent, event); err != nil {
		p.t.Fatal(err)
	}
}

// On a phone two fingers zoom the map, one drags it, and beside the map one
// scrolls the page.
func testTouch(t *testing.T, p *tab) {
	if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch)); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(p.ctx, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true, MaxTouchPoints: 2}); err != nil {
		t.Fatal(err)
	}
	vanPage(t, p)
	p.settled()
	before := eval[float64](p, `gpsbridge.map.k`)
	p.touch("map", [][2]float64{{170, 180}, {210, 180}}, [][2]float64{{110, 180}, {270, 180}})
	p.until(fmt.Sprintf(`gpsbridge.map.k > %f * 3 && gpsbridge.map.k < %f * 5`, before, before))
	p.until(`gpsbridge.map.following`) // two fingers zoom about the vehicle
	p.touch("map", [][2]float64{{200, 120}}, [][2]float64{{200, 170}})
	p.until(`!gpsbridge.map.following && Math.abs((gpsbridge.map.centre[1] - gpsbridge.map.vehicle[1]) * gpsbridge.map.k - 50) < 8 && scrollY === 0`)
	p.touch("numbers", [][2]float64{{200, 150}}, [][2]float64{{200, 0}})
	p.until(`scrollY > 50`)
	p.clean()
}

// A Django server's group has the same route and nothing else: no status, no
// history, no subprotocol. The page lives there too.
func testDjangoGroup(t *testing.T, p *tab) {
	server := realtest.StartDjango(t, realtest.Options{})
	target, err := url.Parse(strings.Replace(server.URL(), "ws:", "http:", 1))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	serveFiles(mux, page.Files(), "/static", nil)
	serveFiles(mux, page.Dist(), "/dist", nil)
	mux.Handle("/ws/", httputil.NewSingleHostReverseProxy(target))
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	p.open(front.URL + "/")
	p.shows("banner-text", "add ?device=DEVICE_ID")
	p.open(front.URL + "/?device=van_7")
	p.shows("socket", "connected")
	p.shows("chain", "no status")
	conn, _, err := websocket.DefaultDialer.Dial(server.GroupURL("van_7"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	for _, text := range []string{`{"hello":"from another application"}`, string(crowdedSky(12)), string(fixAt(1)), string(fixAt(2))} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil || !json.Valid([]byte(text)) {
			t.Fatal(text, err)
		}
	}
	p.shows("speed", "72")
	p.until(`document.querySelectorAll("#sky .sat .mark").length === 12 && gpsbridge.map.points.length === 2`)
	p.condition("live")
	if crashes := p.noted(&p.crashes); len(crashes) > 0 {
		t.Errorf("uncaught: %q", crashes)
	}
}

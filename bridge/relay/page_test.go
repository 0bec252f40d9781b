package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/relay/page"
)

// tab is the page in a browser, with all that it complained of and asked for.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	errors   []string // of the console
	crashes  []string // uncaught exceptions
	requests []string
}

func openTab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	p := &tab{t: t, ctx: ctx}
	var listening sync.WaitGroup
	t.Cleanup(func() { cancel(); listening.Wait() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	console, requests := chromedp.Console(ctx), chromedp.Events(ctx, network.RequestWillBeSent)
	sockets := chromedp.Events(ctx, network.WebSocketCreated)
	listening.Go(func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if m.IsException() {
				p.note(&p.crashes, m.String())
			} else if m.Type == chromedp.ConsoleError {
				p.note(&p.errors, m.String())
			}
		}
	})
	listening.Go(func() {
		for e, err := range requests {
			if err != nil {
				return
			}
			p.note(&p.requests, e.Request.URL)
		}
	})
	listening.Go(func() {
		for e, err := range sockets {
			if err != nil {
				return
			}
			p.note(&p.requests, e.URL)
		}
	})
	return p
}

func (p *tab) note(list *[]string, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*list = append(*list, text)
}

func (p *tab) noted(list *[]string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), *list...)
}

// open waits for the map too, which may come after the first fix.
func (p *tab) open(address string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Navigate(address)); err != nil {
		p.t.Fatal(err)
	}
	p.until(`Boolean(globalThis.gpsbridge?.map)`)
}

// until waits until a JavaScript expression is true.
func (p *tab) until(expression string) {
	p.t.Helper()
	if err := realtest.Until(p.ctx, expression, patience); err != nil {
		p.t.Fatalf("never came: %s (%v)\nthe page shows: %s", expression, err,
			eval[string](p, `(document.body.dataset.condition + ": " + document.body.innerText.replace(/\s+/g, " ")).slice(0, 1000)`))
	}
}

func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, func(q *runtime.EvaluateParams) { q.AwaitPromise = new(true) }))
	if err != nil {
		p.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

func (p *tab) condition(want string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.body.dataset.condition === %q`, want))
}

// settled waits for the end of joining, which decides the map's scale.
func (p *tab) settled() {
	p.t.Helper()
	p.until(`document.body.dataset.condition !== "waiting"`)
}

// silence lets five seconds pass since the last fix.
func (p *tab) silence() {
	p.t.Helper()
	p.settled()
	eval[any](p, `gpsbridge.model.heardAt -= 5000`)
	p.condition("stale")
}

func (p *tab) shows(id, want string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.getElementById(%q).textContent.includes(%q)`, id, want))
}

// fixAt is a fix on a straight road, 10 m further for each seq. A fix a second
// carries that time.
func fixAt(seq int) []byte {
	return fmt.Appendf(nil, `{"class":"TPV","device_id":"van_7","run":"5f1c09ae77b2d041","seq":%d,"mode":3,"time":%q,"lat":%.7f,"lon":-0.12,"speed":%d,"track":0,"eph":5,"altMSL":11,"uSat":9,"nSat":14}`,
		seq, time.Unix(1795424400+int64(seq), 0).UTC().Format("2006-01-02T15:04:05.000Z"), 51.5+float64(seq)*10/111_250, 10*seq)
}

// serveOn serves until the returned function is called.
func serveOn(t *testing.T, c Config) (*Relay, func()) {
	t.Helper()
	c.Compress = true
	r := newRelay(t, c)
	r.hub.limits.far = 0 // a browser offers compression always
	if err := r.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return r, stop
}

func TestPage(t *testing.T) {
	browser := realtest.Chromium(t)
	t.Run("live, stale, restart", func(t *testing.T) { testLife(t, openTab(t, browser)) })
	t.Run("waiting and no fix", func(t *testing.T) { testReasons(t, openTab(t, browser)) })
	t.Run("token", func(t *testing.T) { testPageToken(t, openTab(t, browser)) })
	t.Run("outage", func(t *testing.T) { testOutage(t, openTab(t, browser)) })
	t.Run("old fix", func(t *testing.T) { testOldFix(t, openTab(t, browser)) })
	t.Run("forty satellites", func(t *testing.T) { testCrowdedSky(t, openTab(t, browser)) })
	t.Run("dark", func(t *testing.T) { testDark(t, openTab(t, browser)) })
	t.Run("recorded drive", func(t *testing.T) { testDrive(t, openTab(t, browser)) })
	t.Run("without its server", func(t *testing.T) { testOffline(t, openTab(t, browser)) })
}

// ownAddress is one that no other program is given while nothing listens there.
func ownAddress(t *testing.T) string { return fmt.Sprintf("127.0.0.1:%d", realtest.FreePort(t)) }

func testLife(t *testing.T, p *tab) {
	address := ownAddress(t)
	r, stop := serveOn(t, Config{Listen: address})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + address + "/")
	p.shows("speed", "36")
	r.Publish("van_7", "TPV", fixAt(2))
	p.condition("live")
	p.shows("speed", "72")
	if r.hub.packed.Load() != 1 {
		t.Error("the page's messages are not compressed")
	}
	p.shows("used", "9")
	at := eval[float64](p, `gpsbridge.map.vehicle[1]`)
	r.Publish("van_7", "TPV", fixAt(3))
	p.shows("speed", "108")
	// The map draws with the next frame.
	p.until(fmt.Sprintf(`Math.abs(gpsbridge.map.vehicle[1] - %f - 10) < 0.5`, at))

	// The age counts in tenths of a second.
	eval[any](p, `(() => { window.ages = new Set(); setInterval(() => ages.add(document.getElementById("age").textContent), 20); })()`)
	p.until(`[...ages].filter((age) => /^\d+\.[1-9]/.test(age)).length > 5`)
	p.condition("stale")
	p.shows("banner-title", "Stale")
	p.until(`parseFloat(document.getElementById("age").textContent) > 3`)
	p.until(`getComputedStyle(document.querySelector(".numbers b")).opacity < 0.7`)
	if e := p.noted(&p.errors); len(e) > 0 {
		t.Errorf("console errors while all was well: %q", e)
	}

	eval[any](p, `(() => { const Real = WebSocket; window.asked = []; window.WebSocket = class extends Real { constructor(...a) { super(...a); asked.push(a[0]); } }; })()`)
	stop()
	p.condition("down")
	p.shows("banner-title", "Not connected")
	p.until(`asked.length > 0 && asked.every((url) => url.endsWith("&after=5f1c09ae77b2d041:3"))`) // not all again
	p.until(`document.getElementById("socket").textContent !== "connected"`)
	again, _ := serveOn(t, Config{Listen: address})
	for seq := 3; seq <= 6; seq++ { // 3 the page has already
		again.Publish("van_7", "TPV", fixAt(seq))
	}
	p.shows("speed", "216")
	p.until(`gpsbridge.model.track.length === 6`)
	if d := cmp.Diff([]string(nil), p.noted(&p.crashes)); d != "" {
		t.Errorf("uncaught exceptions:\n%s", d)
	}
	requests := p.noted(&p.requests)
	for _, asked := range requests {
		if u, err := url.Parse(asked); err != nil || u.Host != address {
			t.Errorf("off-site request to %s", asked)
		}
	}
	if n := len(requests); n < 12 || !strings.HasPrefix(strings.Join(requests, "\n"), "http://"+address+"/\n") {
		t.Errorf("requests %q: they are not seen at all", requests)
	}
}

// The page says what it waits for, and why.
func testReasons(t *testing.T, p *tab) {
	receiver := map[string]any{"source": "auto", "state": "waiting", "problem": map[string]any{"cause": "no receiver found", "fix": "plug one in"}}
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0", Status: func() any {
		return map[string]any{"role": "tracker", "device_id": "van_7", "receivers": []any{receiver}, "uplinks": []any{}}
	}})
	p.open("http://" + r.Addr().String())
	p.condition("waiting")
	p.shows("banner-text", "no receiver found: plug one in")
	p.shows("chain", "Receiver")
	p.until(`document.querySelector("#chain .bad .word").textContent === "waiting"`)
	for seq := 1; seq <= 2; seq++ {
		r.Publish("van_7", "TPV", fmt.Appendf(nil, `{"class":"TPV","mode":1,"run":"a","seq":%d,"uSat":0,"nSat":3}`, seq))
	}
	p.condition("nofix")
	p.shows("mode", "NO FIX")
	p.shows("banner-text", "sees 3 satellites and uses 0")
	if age := eval[string](p, `document.getElementById("age").textContent`); age != "–" {
		t.Errorf("fix age %q where there was never a fix", age)
	}
	p.shows("announce", "No fix")
}

func testPageToken(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0", Token: "see-me"})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("chain", "token needed")
	// enter loads the page again, so what it shows is asked for until there is a page.
	enter := func(token, expression string) {
		p.until(`!document.getElementById("token-form").hidden`)
		eval[any](p, fmt.Sprintf(`(() => { document.getElementById("token").value = %q; document.getElementById("token-form").requestSubmit(); })()`, token))
		until(t, expression, func() bool {
			shown, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](expression))
			return err == nil && shown
		})
	}
	enter("wrong+/&token", `document.getElementById("banner-text").textContent.includes("not valid")`)
	enter(" see-me", `document.getElementById("speed").textContent === "36"`)
	p.until(`document.getElementById("token-form").hidden && !location.href.includes("token")`)
	eval[any](p, `sessionStorage.clear()`)
	p.open("http://" + r.Addr().String() + "/?x#token=see-me")
	p.shows("speed", "36")
	for _, asked := range p.noted(&p.requests) {
		if strings.Contains(strings.Split(asked, "#")[0], "see-me") {
			t.Errorf("the token is in the address of %s", asked)
		}
	}
}

// While the server is out of reach the page is amber, and the stations that count the seconds stay what is pressed.
func testOutage(t *testing.T, p *tab) {
	left := 1000.0
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0", Status: func() any {
		left--
		return map[string]any{"role": "tracker", "device_id": "van_7", "receivers": []any{map[string]any{"source": "auto", "state": "reading"}},
			"uplinks": []any{map[string]any{"state": "waiting", "retry_in": left, "problem": map[string]any{"cause": "connection refused"}}}}
	}})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("chain", "retry")
	r.Publish("van_7", "TPV", fixAt(2))
	p.condition("live")
	// The line under the strip has the colour of a warning.
	eval[any](p, `(() => { const e = document.body.appendChild(document.createElement("i")); e.id = "amber"; e.dataset.level = "warn"; })()`)
	p.until(`getComputedStyle(document.querySelector(".strip"), "::after").backgroundColor === getComputedStyle(document.getElementById("amber")).color`)
	eval[any](p, `(() => { const b = document.querySelector('[data-station="Uplink"]'); b.pressed = true; b.was = b.innerText; })()`)
	p.until(`document.querySelector('[data-station="Uplink"]').innerText !== document.querySelector('[data-station="Uplink"]').was`)
	p.until(`document.querySelector('[data-station="Uplink"]').pressed`)
	// A socket that is open is not well while the daemon behind it does not answer.
	eval[any](p, `Object.defineProperty(gpsbridge.poll, "answeredAt", { get: () => performance.now() - 20_000, set() {} })`)
	p.shows("chain", "no answer")
	p.until(`document.getElementById("socket").textContent === "connected" && document.getElementById("socket").dataset.level === "warn"`)
	p.clean()
}

// What comes from the history is as old as it is, not new.
func testOldFix(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", fixAt(1))
	g := r.hub.lookup("van_7")
	g.mu.Lock()
	g.fixed = g.fixed.Add(-5 * time.Minute)
	g.mu.Unlock()
	p.open("http://" + r.Addr().String() + "/")
	p.condition("stale")
	p.shows("age", "5:0")
}

func testCrowdedSky(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", fixAt(1))
	r.Publish("van_7", "SKY", crowdedSky(40))
	const overlaps = `(() => {
	  const boxes = [...document.querySelectorAll(%q)].map((e) => e.getBoundingClientRect());
	  let n = 0;
	  boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
	    if (a.left + 1 < b.right && b.left + 1 < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom) n++;
	  }));
	  return n;
	})()`
	for _, size := range []struct{ w, h int64 }{{390, 844}, {1440, 900}} {
		if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(size.w, size.h)); err != nil {
			t.Fatal(err)
		}
		p.open("http://" + r.Addr().String() + "/")
		p.until(`document.querySelectorAll("#sky .sat .mark").length === 40 && document.querySelectorAll("#bars .sat .number").length === 40`)
		for _, labels := range []string{"#sky .sat text, #sky .wind", "#bars .number", "#bars .group"} {
			if n := eval[int](p, fmt.Sprintf(overlaps, labels)); n > 0 {
				t.Errorf("%d px: %d labels of %s overlap", size.w, n, labels)
			}
		}
		if n := eval[int](p, `document.querySelectorAll("#sky .sat text").length`); n < 32 {
			t.Errorf("%d px: only %d of 40 satellites have a label", size.w, n)
		}
		if wide := eval[int](p, `document.documentElement.scrollWidth`); wide > int(size.w) {
			t.Errorf("%d px: the page is %d px wide", size.w, wide)
		}
	}
}

// crowdedSky puts n satellites of five constellations into the western half.
func crowdedSky(n int) []byte {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"gnssid":%d,"svid":%d,"PRN":%d,"el":%d,"az":%d,"ss":%d,"used":%v}`,
			[]int{0, 6, 2, 3, 1}[i%5], 1+i+100*(i%5/4), i, 4+i*37%83, 180+i*53%180, 20+i%25, i%3 > 0))
	}
	return []byte(`{"class":"SKY","satellites":[` + strings.Join(list, ",") + `]}`)
}

func testDark(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("speed", "36")
	// The page and a corner of the map, which is drawn and not styled; without a
	// reload, as when evening comes.
	const brightness = `(() => {
	  const [r, g, b] = gpsbridge.map.context.getImageData(3, 3, 1, 1).data;
	  const page = getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).map(Number);
	  return Math.round((r + g + b + page[0] + page[1] + page[2]) / 6);
	})()`
	for scheme, want := range map[string]string{"dark": " < 40", "light": " > 215"} {
		_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		if err != nil {
			t.Fatal(err)
		}
		p.until(brightness + want)
	}
}

// The page opens without its server once the browser has kept its files, and what is kept never hides what a server answers
// with. No token and nothing of the API is kept.
func testOffline(t *testing.T, p *tab) {
	address := ownAddress(t)
	r, stop := serveOn(t, Config{Listen: address, Token: "see-me"})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + address + "/?device=van_7#token=see-me")
	p.shows("speed", "36")
	const paths = `(async () => {
	  const kept = [];
	  for (const name of await caches.keys()) for (const { url } of await (await caches.open(name)).keys()) kept.push(url);
	  return kept;
	})()`
	var kept []string
	until(t, "the files are kept", func() bool { kept = eval[[]string](p, paths); return len(kept) > 30 })
	p.until(`navigator.serviceWorker.controller !== null`)
	for _, path := range kept {
		if _, path, _ = strings.Cut(path, address); !regexp.MustCompile(`^/((static|dist)/[a-z]+\.[a-z]+)?$`).MatchString(path) {
			t.Errorf("%s is kept", path)
		}
	}
	p.clean()

	stop()
	p.open("http://" + address + "/?device=van_7")
	p.shows("chain", "no answer")
	if crashes := p.noted(&p.crashes); len(crashes) > 0 {
		t.Errorf("uncaught: %q", crashes)
	}

	// Another version, of which the browser has no file yet.
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	upgraded := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!doctype html><title>upgraded</title>")
	}))
	upgraded.Listener.Close()
	upgraded.Listener = listener
	upgraded.Start()
	t.Cleanup(upgraded.Close)
	if err := chromedp.Do(p.ctx, chromedp.Navigate("http://"+address+"/?device=van_7")); err != nil {
		t.Fatal(err)
	}
	until(t, "the upgraded page is shown", func() bool { // between two pages there is nothing to ask
		shown, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](`document.title === "upgraded" && navigator.serviceWorker.controller !== null`))
		return err == nil && shown
	})
}

// A recorded drive is one file, opened from the disk: nothing in a recording or its name becomes part of the page, and it asks for
// nothing.
func testDrive(t *testing.T, p *tab) {
	p.size(390, 844)
	const hostile = "</script><script>document.title='hostile'</script>"
	path := filepath.Join(t.TempDir(), "drive.html")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	d := page.NewDrive(file, hostile)
	lines := [][]byte{[]byte(`{"class":"TPV","mode":1,"firmware":"` + hostile + `","uSat":0,"nSat":3}`), crowdedSky(12)}
	for seq := 1; seq <= 40; seq++ {
		lines = append(lines, fixAt(seq), fixAt(seq)) // a receiver of 2 Hz, as far as the time matters
	}
	for _, line := range append(lines, crowdedSky(20)) {
		if err := d.Add(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(d.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	p.open("file://" + path)
	p.shows("device", hostile)
	p.condition("nofix")
	p.shows("speed", "–")
	p.until(`gpsbridge.map.points.length === 40 && gpsbridge.map.points.every((p) => gpsbridge.map.sees(p.at))`)
	if err := chromedp.Do(p.ctx, chromedp.Focus(chromedp.CSS("#at")), chromedp.KeyEvent(kb.ArrowRight)); err != nil {
		t.Fatal(err)
	}
	p.shows("speed", "36")
	p.condition("live")
	p.until(`document.querySelectorAll("#sky .sat .mark").length === 12`)
	p.until(`document.getElementById("at").getAttribute("aria-valuetext") === "2026-11-23 09:00:01 UTC"`)
	p.tapAt("gpsbridge.map.points[39]")
	p.shows("speed", "1440")
	p.until(`document.getElementById("at").value === "40" && gpsbridge.model.track.length === 40`)
	p.click("tab-charts")
	p.until(visiblePanels + ` === "charts"`)
	for _, wide := range []int64{390, 1440} {
		p.size(wide, 900)
		if d := cmp.Diff([]string{}, eval[[]string](p, contrasts)); d != "" {
			t.Errorf("%d px: hard to read:\n%s", wide, d)
		}
		if w := eval[int64](p, `document.documentElement.scrollWidth`); w > wide {
			t.Errorf("the page is %d px wide on %d px", w, wide)
		}
	}
	if title := eval[string](p, `document.title`); !strings.HasPrefix(title, hostile) {
		t.Errorf("the title is %q", title)
	}
	for _, asked := range p.noted(&p.requests) {
		if !strings.HasPrefix(asked, "data:") && asked != "file://"+path {
			t.Errorf("it asks for %s", asked)
		}
	}
	p.clean()
}

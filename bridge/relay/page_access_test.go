package relay

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/realtest"
)

// TestPageAccess uses the page without a mouse, without eyes, and on a phone.
func TestPageAccess(t *testing.T) {
	browser := realtest.Chromium(t)
	t.Run("phone", func(t *testing.T) { testPhone(t, openTab(t, browser)) })
	t.Run("large text", func(t *testing.T) { testLargeText(t, openTab(t, browser)) })
	t.Run("keys of the map", func(t *testing.T) { testKeyboard(t, openTab(t, browser)) })
	t.Run("keys", func(t *testing.T) { testKeys(t, openTab(t, browser)) })
	t.Run("names", func(t *testing.T) { testNames(t, openTab(t, browser)) })
	t.Run("contrast", func(t *testing.T) { testContrast(t, openTab(t, browser)) })
	t.Run("position", func(t *testing.T) { testPosition(t, openTab(t, browser)) })
	t.Run("several devices", func(t *testing.T) { testDevices(t, openTab(t, browser)) })
	t.Run("token stays", func(t *testing.T) { testTokenStays(t, openTab(t, browser)) })
}

func (p *tab) size(w, h int64) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(w, h)); err != nil {
		p.t.Fatal(err)
	}
}

// vanPage opens the page of a van with a crowded sky.
func vanPage(t *testing.T, p *tab) *Relay {
	t.Helper()
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", fixAt(1))
	r.Publish("van_7", "SKY", crowdedSky(40))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("speed", "36")
	p.until(`document.querySelectorAll("#chain button").length > 0`)
	return r
}

const visiblePanels = `[...document.querySelectorAll(".panel")].filter((e) => e.offsetParent).map((e) => e.id.slice(6)).join()`

func testPhone(t *testing.T, p *tab) {
	p.size(390, 844)
	vanPage(t, p)
	for _, name := range []string{"sky", "charts", "nmea", "link"} {
		p.click("tab-" + name)
		p.until(fmt.Sprintf(`%s === %q`, visiblePanels, name))
		if wide := eval[int](p, `document.documentElement.scrollWidth`); wide > 390 {
			t.Errorf("%s: the page is %d px wide on a phone of 390", name, wide)
		}
		// What a finger aims at is 44 px in both directions, the room around it included.
		small := eval[[]string](p, `[...document.querySelectorAll("button, select, input, summary")].filter((e) => e.offsetParent).map((e) => {
		  const b = e.getBoundingClientRect(), a = getComputedStyle(e, "::after");
		  const more = (side) => (a.position === "absolute" && a.content !== "none" ? -Math.min(0, parseFloat(a[side]) || 0) : 0);
		  const w = b.width + more("left") + more("right"), h = b.height + more("top") + more("bottom");
		  return w < 43.5 || h < 43.5 ? (e.id || e.textContent) + " " + Math.round(w) + "×" + Math.round(h) : "";
		}).filter(Boolean)`)
		if len(small) > 0 {
			t.Errorf("%s: too small for a finger: %q", name, small)
		}
	}
	if h := eval[float64](p, `document.querySelector(".map").getBoundingClientRect().height / innerHeight`); h < 0.43 || h > 0.45 {
		t.Errorf("the map takes %.2f of the height, want 0.44", h)
	}
	p.click("tab-sky")
	eval[any](p, `scrollTo(0, 600)`)
	p.until(`scrollY > 100 && document.querySelector(".strip").getBoundingClientRect().top === 0`)

	p.size(1280, 800) // turned into a desktop, it has two panels
	p.until(visiblePanels + ` === "sky,charts"`)
	if eval[bool](p, `document.documentElement.scrollHeight > innerHeight`) {
		t.Error("the page scrolls on a desktop")
	}
	p.clean()
}

// The reader's text size is kept: a phone with text at 200 % has one column, nothing beyond its edge.
func testLargeText(t *testing.T, p *tab) {
	p.size(390, 844)
	if _, err := chromedp.Call(p.ctx, cdppage.SetFontSizes, cdppage.SetFontSizesParams{FontSizes: &cdppage.FontSizes{Standard: 32, Fixed: 32}}); err != nil {
		t.Fatal(err)
	}
	vanPage(t, p)
	for _, name := range []string{"sky", "charts", "nmea", "link"} {
		p.click("tab-" + name)
		p.until(fmt.Sprintf(`%s === %q`, visiblePanels, name))
		if beyond := eval[[]string](p, `[...document.querySelectorAll("body *")].filter((e) => e.offsetParent && e.getBoundingClientRect().right > 391).map((e) => e.id || e.tagName)`); len(beyond) > 0 {
			t.Errorf("%s: beyond the edge: %q", name, beyond)
		}
	}
	if size := eval[string](p, `getComputedStyle(document.getElementById("device")).fontSize`); size != "30px" {
		t.Errorf("the name has %s, want twice its 15px", size)
	}
	p.clean()
}

func testKeys(t *testing.T, p *tab) {
	p.size(1280, 800)
	vanPage(t, p)
	press := func(keys string) {
		t.Helper()
		if err := chromedp.Do(p.ctx, chromedp.KeyEvent(keys)); err != nil {
			t.Fatal(err)
		}
	}
	press("?")
	p.until(`document.getElementById("help").open && document.getElementById("help").innerText.includes("heading up")`)
	press("?")
	p.until(`!document.getElementById("help").open`)
	press("l")
	p.until(visiblePanels + ` === "link,charts"`)
	press("m")
	p.until(visiblePanels + ` === "link,nmea"`)
	press("p")
	p.until(`document.getElementById("nmea-pause").getAttribute("aria-pressed") === "true"`)
	press("n")
	p.until(`gpsbridge.map.mode === "heading"`)
	press("u")
	p.shows("unit", "mph")
	// Letters in a field are letters.
	if err := chromedp.Do(p.ctx, chromedp.Focus(chromedp.CSS("#nmea-filter"))); err != nil {
		t.Fatal(err)
	}
	press("s")
	p.until(`document.getElementById("nmea-filter").value === "s"`)
	if got := eval[string](p, visiblePanels); got != "link,nmea" {
		t.Errorf("a letter in the filter changed the panels to %s", got)
	}

	// From the top the Tab key comes by everything in sight; what has the focus
	// shows it. The first stop leads past the strip.
	eval[any](p, `document.querySelector(".skip").focus()`)
	var way []string
	for range 40 {
		press("\t")
		at := eval[string](p, `(() => { const e = document.activeElement, s = getComputedStyle(e); return e === document.body ? "" : (e.id || e.dataset.station || e.className || e.tagName) + (s.outlineStyle === "none" ? " unseen" : ""); })()`)
		if at == "" {
			break
		}
		way = append(way, at)
	}
	all := strings.Join(way, ",")
	for _, want := range []string{"map,", "turn", "zoom-in,zoom-out,follow", "unit", "tab-link,panel-link", "tab-nmea,panel-nmea", "nmea-pause,nmea-filter"} {
		if !strings.Contains(all, want) {
			t.Errorf("the Tab key does not come by %s: %s", want, all)
		}
	}
	if strings.Contains(all, "unseen") || strings.Contains(all, "tab-sky") {
		t.Errorf("the Tab key comes by %s", all)
	}
	// Within the tabs the arrows move.
	if err := chromedp.Do(p.ctx, chromedp.Focus(chromedp.CSS("#tab-link"))); err != nil {
		t.Fatal(err)
	}
	press(kb.ArrowLeft)
	p.until(`document.activeElement.id === "tab-sky" && ` + visiblePanels + ` === "sky,nmea"`)
	p.clean()
}

func testKeyboard(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("speed", "36")
	press := func(key string) {
		if err := chromedp.Do(p.ctx, chromedp.Focus(chromedp.CSS("#map")), chromedp.KeyEvent(key)); err != nil {
			t.Fatal(err)
		}
	}
	p.settled()
	before := eval[float64](p, `gpsbridge.map.k`)
	press("+")
	p.until(fmt.Sprintf(`gpsbridge.map.k > %f`, before*1.2))
	press("-")
	p.until(fmt.Sprintf(`Math.abs(gpsbridge.map.k / %f - 1) < 0.01`, before))
	press("f")
	p.until(`document.getElementById("follow").getAttribute("aria-pressed") === "false"`)
}

// Who cannot see hears what everything is.
func testNames(t *testing.T, p *tab) {
	r := vanPage(t, p)
	nameless := eval[[]string](p, `[...document.querySelectorAll("button, input, select, section, canvas[role], [role=tabpanel], [role=tablist], [role=application]")]
	  .filter((e) => !(e.getAttribute("aria-label") || document.getElementById(e.getAttribute("aria-labelledby"))?.textContent || e.closest("label")?.textContent.trim()
	    || (e.tagName === "BUTTON" && e.textContent.trim()) || e.closest("#link, [hidden]")))
	  .map((e) => e.outerHTML.slice(0, 80))`)
	if len(nameless) > 0 {
		t.Errorf("without a name: %q", nameless)
	}
	landmarks := eval[string](p, `["header", "main", "h1", "[role=status][aria-live=polite]"].map((s) => document.querySelectorAll(s).length).join()`)
	if landmarks != "1,1,1,1" {
		t.Errorf("landmarks %s, want one each", landmarks)
	}
	if missing := eval[[]string](p, `[...document.querySelectorAll("[aria-controls]")].filter((e) => !document.getElementById(e.getAttribute("aria-controls"))).map((e) => e.id)`); len(missing) > 0 {
		t.Errorf("%q control what is not there", missing)
	}
	// A change is said once, however fast it passes.
	p.silence()
	p.shows("announce", "Stale")
	eval[any](p, `(() => { const a = document.getElementById("announce"); window.said = []; new MutationObserver(() => said.push(a.textContent.split(/[:.]/)[0])).observe(a, { childList: true, characterData: true, subtree: true }); })()`)
	r.Publish("van_7", "TPV", fixAt(2))
	p.until(`said[0] === "Live"`)
	p.silence()
	p.until(`said.join() === "Live,Stale"`)
	p.clean()
}

// contrasts lists the texts with less than 4.5:1 (3:1 where they are large)
// between their colour and what is behind, after WCAG 2. What steps back counts
// as it is seen, but for the drawings of satellites, which a table repeats.
const contrasts = `(() => {
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return c.startsWith("color(srgb") ? [m[0] * 255, m[1] * 255, m[2] * 255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = (c) => { const f = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const ground = (e) => { const list = []; for (; e; e = e.parentElement) list.unshift(parse(getComputedStyle(e).backgroundColor)); return list.reduce((b, a) => over(a, b), [255, 255, 255, 1]); };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()), s = getComputedStyle(e), box = e.getBoundingClientRect();
    if (!text || !box.width || e.closest(".sr, .skip, noscript, script, dialog, option") || parseFloat(s.fontSize) === 0 || s.clipPath !== "none") continue;
    const colour = parse(e instanceof SVGElement ? s.fill : s.color), back = ground(e);
    if (!e.closest("#sky, #bars")) for (let up = e; up; up = up.parentElement) colour[3] *= getComputedStyle(up).opacity;
    const fore = over(colour, back);
    const [a, b] = [light(fore), light(back)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(s.fontSize) >= 24 || (parseFloat(s.fontSize) >= 18.6 && s.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) bad.push((e.id || e.className.baseVal || e.className || e.tagName) + " " + e.textContent.trim().slice(0, 12) + " " + ratio.toFixed(2));
  }
  return [...new Set(bad)];
})()`

func testContrast(t *testing.T, p *tab) {
	for _, scheme := range []string{"light", "dark"} {
		_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		if err != nil {
			t.Fatal(err)
		}
		p.size(1280, 800)
		r := vanPage(t, p)
		p.click("tab-nmea")
		until(t, "the console joins", func() bool { return r.Wants("van_7", "NMEA") })
		raw(r, gll+gllBad)
		p.shows("nmea-lines", "✗")
		p.silence()
		p.until(`getComputedStyle(document.querySelector(".numbers b")).opacity === "0.6"`)
		for _, tab := range []string{"sky", "link"} {
			p.click("tab-" + tab)
			if d := cmp.Diff([]string{}, eval[[]string](p, contrasts)); d != "" {
				t.Errorf("%s, %s: hard to read:\n%s", scheme, tab, d)
			}
		}
		eval[any](p, `document.getElementById("link").classList.add("old")`) // as while the daemon does not answer
		if d := cmp.Diff([]string{}, eval[[]string](p, contrasts)); d != "" {
			t.Errorf("%s, without an answer: hard to read:\n%s", scheme, d)
		}
	}
	p.clean()
}

func testDevices(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", fixAt(1))
	r.Publish("van_8", "TPV", fixAt(2))
	p.open("http://" + r.Addr().String() + "/?device=van_8")
	p.shows("speed", "72")
	p.until(`[...document.querySelectorAll("#pick option")].map((o) => o.value + o.selected).join() === "false,van_7false,van_8true"`)
	eval[any](p, `(() => { const s = document.getElementById("pick"); s.value = "van_7"; s.dispatchEvent(new Event("change")); })()`)
	until(t, "the other device is shown", func() bool { // between two pages there is nothing to ask
		at, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`location.search + " " + document.getElementById("speed")?.textContent`))
		return err == nil && at == "?device=van_7 36"
	})
	p.clean()
}

// The token leaves the address bar and lives on in the tab.
func testTokenStays(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0", Token: "see-me"})
	r.Publish("van_7", "TPV", fixAt(1))
	p.open("http://" + r.Addr().String() + "/?device=van_7#token=see-me")
	p.shows("speed", "36")
	if got := eval[string](p, `location.href`); got != "http://"+r.Addr().String()+"/?device=van_7" {
		t.Errorf("the address bar shows %s", got)
	}
	if err := chromedp.Do(p.ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	p.shows("speed", "36")
	p.clean()
}

// The position can be taken along, with and without a browser's clipboard for pages.
func testPosition(t *testing.T, p *tab) {
	r, _ := serveOn(t, Config{Listen: "127.0.0.1:0"})
	r.Publish("van_7", "TPV", []byte(`{"class":"TPV","mode":3,"lat":-51.99999999,"lon":0.1276248,"speed":1}`))
	p.open("http://" + r.Addr().String() + "/")
	p.shows("position", "52.000000° S\n0.127625° E")
	if href := eval[string](p, `document.getElementById("geo").href`); href != "geo:-52.000000,0.127625?q=-52.000000,0.127625" {
		t.Errorf("the map app is given %s", href)
	}
	eval[any](p, `Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { window.taken = text; } }, configurable: true })`)
	p.click("copy")
	p.until(`taken === "-52.000000, 0.127625" && document.getElementById("copy").textContent === "Copied"`)
	eval[any](p, `(() => { // as over plain http
	  Object.defineProperty(navigator, "clipboard", { value: undefined });
	  addEventListener("copy", (e) => { window.taken = e.clipboardData.getData("text/plain"); });
	})()`)
	p.click("dms")
	p.shows("position", "52° 00′ 00.00″ S\n0° 07′ 39.45″ E")
	p.click("copy")
	p.until(`taken === "52°00'00.00\"S 0°07'39.45\"E"`)
	p.until(`document.getElementById("copy").textContent === "Copy"`)
	// Not even that is allowed: what is to be copied is selected.
	eval[any](p, `document.execCommand = () => false`)
	p.click("copy")
	p.until(`getSelection().toString().includes("07′ 39.45″ E") && document.getElementById("copy").textContent === "Selected"`)
	if err := chromedp.Do(p.ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	p.shows("position", "52° 00′ 00.00″ S") // as chosen before
	p.clean()
}

package main

import (
	"fmt"
	"regexp"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"gpsbridge/bridge/realtest"
)

var demoPage = regexp.MustCompile(`http://\S+/\?device=\S+`)

// The demo prints two pages, the server's and the vehicle's. On both the vehicle moves.
func TestDemoShowsAMovingVehicle(t *testing.T) {
	t.Parallel()
	realtest.Need(t, realtest.Browser)
	demo := start(t, gpsbridge(t, "demo", "--listen", "127.0.0.1:0"))
	out, err := demo.WaitOutput(soon, func(out string) bool { return len(demoPage.FindAllString(out, -1)) == 2 })
	if err != nil {
		t.Fatal(err)
	}
	browser := realtest.Chromium(t)
	for _, page := range demoPage.FindAllString(out, -1) {
		if err := chromedp.Do(browser, chromedp.Navigate(page)); err != nil {
			t.Fatal(err)
		}
		const position = `document.getElementById("position").textContent`
		poll(t, browser, `/3D/i.test(document.getElementById("mode").textContent) && /\d/.test(`+position+`)`, `document.body.innerText`)
		before, err := chromedp.Run(browser, chromedp.Evaluate[string](position))
		if err != nil {
			t.Fatal(err)
		}
		poll(t, browser, fmt.Sprintf(`%s !== %q`, position, before), `document.body.innerText`)
	}
	demo.Signal(syscall.SIGINT)
	if code, err := demo.Exit(soon); err != nil || code != exitDone {
		t.Errorf("exit code %d, %v; want %d", code, err, exitDone)
	}
}

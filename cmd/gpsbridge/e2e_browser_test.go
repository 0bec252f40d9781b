package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"gpsbridge/bridge/realtest"
)

// trackingPage does what a tracking page does, and no more. HOST is the only thing that differs between servers.
const trackingPage = `<!doctype html><title>tracking</title><script>
window.fixes = [];
const socket = new WebSocket("ws://HOST/ws/gps-tracking/` + deviceID + `/");
socket.onmessage = (event) => { window.fixes.push(JSON.parse(event.data)); };
</script>`

func TestPageOfTheServerWorksOnTheRelay(t *testing.T) {
	t.Parallel()
	realtest.Need(t, realtest.Browser, realtest.Django)
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, strings.ReplaceAll(trackingPage, "HOST", r.FormValue("host")))
	}))
	defer pages.Close()

	server, line, v := realtest.StartDjango(t, realtest.Options{}), realtest.OpenPty(t), newVehicle()
	// The page is of another origin than the relay, as a dashboard on another machine would be.
	config := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, config, fmt.Sprintf("[relay]\norigins = [%q]\n", pages.URL))
	d := startDaemon(t, "-c", config, "--device", line.Path()+"?baud=115200", "--server", server.URL())
	d.waitOpen()

	browser := realtest.Chromium(t)
	const each = 50
	for i, host := range []string{strings.TrimPrefix(server.URL(), "ws://"), d.addr} {
		if err := chromedp.Do(browser, chromedp.Navigate(pages.URL+"/?host="+host)); err != nil {
			t.Fatal(err)
		}
		const state = `JSON.stringify({socket: socket.readyState, fixes: fixes.length, last: fixes[fixes.length-1]})`
		poll(t, browser, `socket.readyState === WebSocket.OPEN`, state)
		if host == d.addr {
			d.waitViewer()
		}
		v.feed(d, line, i*each, (i+1)*each)
		poll(t, browser, fmt.Sprintf(`fixes.length > 0 && fixes[fixes.length-1].seq === %d`, (i+1)*each), state)
		// The relay begins with the last fix before the page came.
		const newer = `fixes.filter((fix) => fix.seq > %d)`
		got, err := chromedp.Run(browser, chromedp.Evaluate[[]position](fmt.Sprintf(newer, i*each)))
		if err != nil || len(got) != each {
			t.Fatalf("page at %s: %d fixes, %v; want %d", host, len(got), err, each)
		}
		for k, p := range got {
			if err := v.check(p); err != nil || p.Seq != i*each+k+1 {
				t.Fatalf("page at %s: fix %d is seq %d, %v", host, k, p.Seq, err)
			}
		}
	}
}

// poll waits until an expression is true in the page; when it stays false, state is what the page shows of itself.
func poll(t *testing.T, browser context.Context, expression, state string) {
	t.Helper()
	err := realtest.Until(browser, expression, soon)
	if err == nil {
		return
	}
	shown, stateErr := chromedp.Run(browser, chromedp.Evaluate[string](state))
	t.Fatalf("waited for %s: %v; the page: %s %v", expression, err, shown, stateErr)
}

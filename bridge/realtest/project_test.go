package realtest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"

	"gpsbridge/bridge/realtest/django"
)

// The project's own tests, in Python.
func TestProject(t *testing.T) {
	Need(t, Django)
	t.Parallel()
	cmd, err := django.Run(t.TempDir(), "manage.py", "test")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "TRACKING_HOSTS=localhost")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "\nOK") {
		t.Errorf("manage.py test: %v\n%s", err, out)
	}
	if out := (&Server{t: t, dir: t.TempDir()}).Manage("makemigrations", "--check", "--dry-run"); out != "No changes detected" {
		t.Errorf("the migrations are not those of the models: %s", out)
	}
}

// A browser that logs in sees the trail that was stored, and the live fixes that come after.
func TestProjectsPage(t *testing.T) {
	server := StartDjango(t, Options{Store: true})
	const login = `from django.contrib.auth.models import User; User.objects.create_user("ann", password="secret")`
	server.Manage("shell", "--command", login)
	token := server.Manage("tracker", "van_7")
	tracker, _, err := websocket.DefaultDialer.Dial(server.GroupURL("van_7"), http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	publish := func(message string) {
		t.Helper()
		if err := tracker.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, echo, err := tracker.ReadMessage(); err != nil || !strings.Contains(string(echo), `"TPV"`) {
			t.Fatalf("echo %s, %v", echo, err)
		}
	}
	publish(`{"class":"TPV","run":"a","seq":1,"mode":3,"time":"2026-11-23T09:00:00Z","lat":51.5,"lon":-0.12,"speed":10}`)
	browser := Chromium(t)
	if err := chromedp.Do(browser, chromedp.Navigate("http"+strings.TrimPrefix(server.URL(), "ws")+"/login/?next=/devices/van_7/")); err != nil {
		t.Fatal(err)
	}
	shows := func(what, expression string) {
		t.Helper()
		if err := Until(browser, expression, answer); err != nil {
			page, _ := chromedp.Run(browser, chromedp.Evaluate[string](`document.body.innerText`))
			t.Fatalf("%s: %v; the page: %q", what, err, page)
		}
	}
	const submit = `(() => { const set = (name, value) => { document.querySelector("[name=" + name + "]").value = value; };
		set("username", "ann"); set("password", "secret"); setTimeout(() => document.querySelector("main form").submit()); return true; })()`
	if _, err := chromedp.Run(browser, chromedp.Evaluate[bool](submit)); err != nil {
		t.Fatal(err)
	}
	is := func(id, text string) string {
		return `document.getElementById("` + id + `")?.textContent === "` + text + `"`
	}
	// A new page breaks off the poll in the old one, so the address is asked for first.
	deadline := time.Now().Add(answer)
	for at := ""; !strings.HasSuffix(at, "/devices/van_7/"); {
		if time.Now().After(deadline) {
			t.Fatalf("after the login the browser is at %q", at)
		}
		at, _ = chromedp.Run(browser, chromedp.Evaluate[string](`document.readyState === "complete" ? location.pathname : ""`))
	}
	shows("the stored fix", is("count", "1")+` && `+is("state", "live")+` && `+is("speed", "36.0 km/h"))
	publish(`{"class":"TPV","run":"a","seq":2,"mode":3,"time":"2026-11-23T09:00:01Z","lat":51.501,"lon":-0.12,"speed":20}`)
	publish(`{"class":"TPV","run":"a","seq":2,"mode":3,"time":"2026-11-23T09:00:01Z","lat":51.501,"lon":-0.12,"speed":20}`)
	shows("a live fix, once", is("count", "2")+` && `+is("speed", "72.0 km/h"))
	publish(`{"class":"TPV","run":"0","seq":9,"mode":3,"time":"2026-11-23T08:00:00Z","lat":51.49,"lon":-0.12,"speed":30,"backlog":true}`)
	shows("a backlog fix on the trail, and the marker at the newest", is("count", "3")+` && `+is("speed", "72.0 km/h")+` && trail[0].lat === 51.49`)
}

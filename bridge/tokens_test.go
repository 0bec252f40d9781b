package bridge

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
)

const oldToken, newToken = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"

func writeToken(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// joins is the answer to a tracker with a token, and its connection if there is one.
func joins(t *testing.T, s *Server, token string) (*websocket.Conn, int) {
	t.Helper()
	conn, answer, err := websocket.DefaultDialer.Dial("ws://"+s.Addr()+"/ws/gps-tracking/van_7/", http.Header{"Authorization": {"Bearer " + token}})
	if answer == nil {
		t.Fatal(err)
	}
	if conn != nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, answer.StatusCode
}

func TestServerReloadsItsTokens(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	writeToken(t, path, "van_7 "+oldToken)
	s, err := NewServer(config.Server{Config: relay.Config{Listen: "127.0.0.1:0"}, DeviceTokensFile: path}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	open, code := joins(t, s, oldToken)
	if code != 101 {
		t.Fatalf("the token is answered %d", code)
	}
	writeToken(t, path, "van_7 short")
	if err := s.Reload(); err == nil {
		t.Error("a token that is too short was taken")
	}
	if _, code := joins(t, s, oldToken); code != 101 {
		t.Errorf("after an error the old token is answered %d", code)
	}
	writeToken(t, path, "van_7 "+newToken)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := open.ReadMessage(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
		t.Errorf("what the revoked token opened ended with %v, want 1008", err)
	}
	if _, code := joins(t, s, oldToken); code != 401 {
		t.Errorf("the revoked token is answered %d", code)
	}
	if _, code := joins(t, s, newToken); code != 101 {
		t.Errorf("the new token is answered %d", code)
	}
}

func TestChangedTokenFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "token")
		writeToken(t, path, oldToken)
		files := tokenFiles{viewer: path}
		var c relay.Config
		if err := files.read(&c); err != nil || c.Token != oldToken {
			t.Fatalf("read %q, %v", c.Token, err)
		}
		r, err := relay.New(c)
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go files.watch(ctx, func() error { return files.apply(r) }, slog.New(slog.NewTextHandler(&log, nil)))
		lines := func(text string) int {
			time.Sleep(3 * tokenPoll)
			synctest.Wait()
			return strings.Count(log.String(), text)
		}
		if n := lines("token"); n != 0 {
			t.Errorf("without a change: %s", log.String())
		}
		writeToken(t, path, "two words")
		if n := lines("the old ones are kept"); n != 1 {
			t.Errorf("a file that is wrong is logged %d times, want once:\n%s", n, log.String())
		}
		writeToken(t, path, newToken)
		if n := lines("tokens read again"); n != 1 {
			t.Errorf("a change is logged %d times, want once:\n%s", n, log.String())
		}
	})
}

// TestViewerTokenNeverStopsTracking has files of viewers' tokens that are missing or hold too short a one: tracking goes on, no
// viewer is admitted, and the file that can be created is.
func TestViewerTokenNeverStopsTracking(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("no\n good"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, created := range map[string]bool{"/nonexistent/token": false, short: false, filepath.Join(dir, "token"): true} {
		d := start(t, func(f *config.File) {
			f.Receivers = []config.ReceiverSection{{Source: "sim:?rate=10"}}
			f.Relay.Token = path
		})
		<-d.Ready()
		d.await(t, "fixes", func(st observe.Status) bool { return st.Receivers[0].Fixes > 1 })
		token, _ := secret.Read(path)
		for bearer, want := range map[string]bool{"": false, token: created} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.relay.Addr().String()+"/api/v1/status", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+bearer)
			resp, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if admitted := resp.StatusCode == http.StatusOK; admitted != want {
				t.Errorf("%s: with the token %q %s", path, bearer, resp.Status)
			}
		}
		if p := d.Status().Relay.Problem; (p == nil) != created || p != nil && p.Key != "relay.token_file" {
			t.Errorf("%s: problem %v", path, p)
		}
		if lines := strings.Count(d.log.String(), "no viewer is admitted"); (lines == 0) != created {
			t.Errorf("%s: %d lines in the log that no viewer is admitted", path, lines)
		}
		d.stop()
		d.wait(t)
	}
}

// TestCertificateNeverStopsTracking: without the relay's certificate the fixes still go to the server.
func TestCertificateNeverStopsTracking(t *testing.T) {
	t.Parallel()
	uplink, _ := trackingServer(t)
	d := start(t, func(f *config.File) {
		f.Receivers = []config.ReceiverSection{{Source: "sim:?rate=10"}}
		f.Uplinks = []config.UplinkSection{uplink}
		f.Relay.Cert, f.Relay.Key = "/nonexistent/relay.pem", "/nonexistent/relay.key"
	})
	d.await(t, "acknowledged fixes", func(st observe.Status) bool { return st.Uplinks[0].Acked > 1 })
	if !strings.Contains(d.log.String(), "no viewers are served until the next start") {
		t.Error("the log does not state that no viewers are served")
	}
}

// TestCheckFindsTheViewerToken that would lock viewers out, but not a credential, which the service alone has: the check that
// precedes a reload is given none on Debian 13.
func TestCheckFindsTheViewerToken(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]problem.Code{"/nonexistent/token": secret.CodeMissing, config.Credentials + "/viewer-token": ""} {
		f := config.Default()
		f.DeviceID, f.Receivers, f.Relay.Token = "van_7", []config.ReceiverSection{{Source: "sim:"}}, file
		c, err := f.Check()
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(c); problem.CodeOf(err) != want || want != "" && !strings.HasPrefix(err.Error(), "relay.token_file: ") {
			t.Errorf("%s: %v, want code %q", file, err, want)
		}
	}
}

// A Django application decides who may connect to a relay: trackers with its tokens publish, its users watch.
func TestDjangoDecidesWhoConnects(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts Django")
	}
	app := realtest.StartDjango(t, realtest.Options{Store: true})
	token := strings.TrimSpace(app.Manage("tracker", "van_7"))
	session := strings.TrimSpace(app.Manage("shell", "-c", `from django.contrib.auth.models import User; from django.test import Client; c = Client(); `+
		`c.force_login(User.objects.create_user("ann")); print(c.cookies["sessionid"].value)`))
	s, err := NewServer(config.Server{Config: relay.Config{Listen: "127.0.0.1:0", AuthURL: "http" + strings.TrimPrefix(app.URL(), "ws") + "/relay/auth/"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	join := func(device string, header http.Header) (*websocket.Conn, int) {
		t.Helper()
		conn, answer, err := websocket.DefaultDialer.Dial("ws://"+s.Addr()+"/ws/gps-tracking/"+device+"/", header)
		if answer == nil {
			t.Fatal(err)
		}
		if conn != nil {
			t.Cleanup(func() { conn.Close() })
		}
		return conn, answer.StatusCode
	}
	tracker, user := http.Header{"Authorization": {"Bearer " + token}}, http.Header{"Cookie": {"sessionid=" + session}, "Origin": {"http://" + s.Addr()}}
	viewer, code := join("van_7", user)
	if code != 101 {
		t.Fatalf("a user is answered %d", code)
	}
	sending, code := join("van_7", tracker)
	if code != 101 {
		t.Fatalf("a tracker is answered %d", code)
	}
	for what, c := range map[string]struct {
		device string
		header http.Header
	}{
		"a tracker's token for another device": {"van_8", tracker}, "no credentials": {"van_7", nil},
		"another session": {"van_7", http.Header{"Cookie": {"sessionid=0123456789abcdef0123456789abcdef"}}},
	} {
		if _, code := join(c.device, c.header); code != 401 {
			t.Errorf("%s is answered %d", what, code)
		}
	}
	const fix = `{"class":"TPV","device_id":"van_7","run":"5f1c09ae77b2d041","seq":1,"mode":3}`
	if err := sending.WriteMessage(websocket.TextMessage, []byte(fix)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := viewer.ReadMessage(); string(got) != fix {
		t.Errorf("the user sees %s, %v", got, err)
	}
	app.Kill()
	if _, code := join("van_9", user); code != 503 {
		t.Errorf("without Django another is answered %d", code)
	}
	if _, code := join("van_7", user); code != 101 {
		t.Errorf("without Django one that it has just allowed is answered %d", code)
	}
}

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

	"gpsbridge/bridge/relay"
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
	path := filepath.Join(t.TempDir(), "tokens")
	writeToken(t, path, "van_7 "+oldToken)
	s, err := NewServer(ServerConfig{Config: relay.Config{Listen: "127.0.0.1:0"}, DeviceTokensFile: path}, slog.New(slog.DiscardHandler))
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
		go files.watch(ctx, r, slog.New(slog.NewTextHandler(&log, nil)))
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

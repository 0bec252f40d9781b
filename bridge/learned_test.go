package bridge

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/deflate"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/uplink"
)

func TestEchoesAreRemembered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	echoes := func(l *learned) { l.Echoes = true }
	s := newServers(dir, log)
	if s.about("wss://a/ws/van_7/").Echoes {
		t.Error("a server that was never seen")
	}
	s.learn("wss://user:secret@a/ws/van_7/?token=secret", echoes)
	s.learn("wss://b/ws/van_7/", echoes)
	for _, known := range []*servers{s, newServers(dir, log)} {
		if !known.about("wss://a/ws/van_7/?token=other").Echoes || !known.about("wss://b/ws/van_7/").Echoes || known.about("wss://c/ws/van_7/").Echoes {
			t.Errorf("remembered: %v", known.known)
		}
	}
	memory := newServers("", log)
	memory.learn("wss://a/", echoes)
	if !memory.about("wss://a/").Echoes {
		t.Error("forgotten without a disk")
	}
}

// TestDamagedFileOfServers starts with nothing known, and what is learned then is remembered.
func TestDamagedFileOfServers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "null", `{"wss://a/":`, "[]"} {
		dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
		if err := os.WriteFile(filepath.Join(dir, learnedName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		newServers(dir, log).learn("wss://b/", func(l *learned) { l.Echoes = true })
		if known := newServers(dir, log); !known.about("wss://b/").Echoes || len(known.known) != 1 {
			t.Errorf("after %q: %v", text, known.known)
		}
	}
}

// TestBrokenCompressionIsRemembered has a server whose proxy breaks compression: a daemon that starts again with the same spool goes
// without from the first connection on, and one whose spool is in memory tries it again.
func TestBrokenCompressionIsRemembered(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var offers []bool
	up := websocket.Upgrader{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offered, answer := r.Header.Get(deflate.Header) != "", http.Header{}
		mu.Lock()
		offers = append(offers, offered)
		mu.Unlock()
		if offered {
			answer[deflate.Header] = []string{"permessage-deflate; made_up"} // spelled as gorilla lets it through
		}
		conn, err := up.Upgrade(w, r, answer)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, msg, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(kind, msg) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	deliver := func(dir string) (offered []bool) {
		t.Helper()
		pty := realtest.OpenPty(t)
		d := start(t, func(c *config.File) {
			c.Receivers = []config.ReceiverSection{{Source: pty.Path() + "?baud=9600"}}
			c.Uplinks = []config.UplinkSection{{Server: "ws" + strings.TrimPrefix(server.URL, "http")}}
			c.Spool.Dir = dir
		})
		d.await(t, "open port", func(st observe.Status) bool { return st.Receivers[0].Opens == 1 })
		if _, err := pty.Write(receivertest.Epoch(0, true)); err != nil {
			t.Fatal(err)
		}
		d.await(t, "fixes without compression", func(st observe.Status) bool {
			u := st.Uplinks[0]
			return u.Acked > 0 && u.Compression != nil && u.Compression.Code == uplink.CompressionBroke
		})
		d.stop()
		d.wait(t)
		mu.Lock()
		defer mu.Unlock()
		offered, offers = offers, nil
		return offered
	}
	dir := t.TempDir()
	if first, again := deliver(dir), deliver(dir); !slices.Equal(first, []bool{true, false}) || !slices.Equal(again, []bool{false}) {
		t.Errorf("offered %v, and by the next daemon %v, want once and not at all", first, again)
	}
	if first, again := deliver(""), deliver(""); !slices.Equal(first, []bool{true, false}) || !slices.Equal(again, first) {
		t.Errorf("with a spool in memory: offered %v, then %v", first, again)
	}
}

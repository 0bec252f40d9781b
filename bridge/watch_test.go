package bridge

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// TestWatchLeavesLongMessagesOut, which any member of a group may send: they would fill the memory.
func TestWatchLeavesLongMessagesOut(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
		conn, err := up.Upgrade(w, q, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for _, text := range []string{"first", strings.Repeat("x", 2<<20), "last"} {
			if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Error(err)
			}
		}
		_, _, _ = conn.ReadMessage() // until the other side goes
	}))
	defer server.Close()
	done := errors.New("all came")
	var got []int
	err := Watch(t.Context(), WatchConfig{URL: strings.Replace(server.URL, "http", "ws", 1)}, func(error) {}, func(msg []byte) error {
		if got = append(got, len(msg)); string(msg) == "last" {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) || len(got) != 2 {
		t.Errorf("messages of %v bytes are shown (%v), want 2", got, err)
	}
}

package uplink

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// BenchmarkUplink sends b.N records through a server on loopback that echoes
// each, until all are acknowledged.
func BenchmarkUplink(b *testing.B) {
	for _, mode := range []AckMode{AckEcho, AckPong, AckNone} {
		b.Run(string(mode), func(b *testing.B) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var up websocket.Upgrader
				conn, err := up.Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer conn.Close()
				for {
					_, msg, err := conn.ReadMessage()
					if err != nil {
						return
					}
					if mode == AckEcho && conn.WriteMessage(websocket.TextMessage, msg) != nil {
						return
					}
				}
			}))
			defer s.Close()
			q := newQueue(b.N)
			b.ReportAllocs()
			b.ResetTimer()
			_, stop := start(b, Config{URL: "ws" + s.URL[len("http"):], Ack: mode}, q)
			q.await(b, uint64(b.N), time.Hour)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			stop()
		})
	}
}

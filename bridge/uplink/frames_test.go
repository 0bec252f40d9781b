package uplink

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// FuzzFrames has a server send any bytes where frames are expected. The uplink must not panic, and must deliver over the next
// connection.
func FuzzFrames(f *testing.F) {
	for _, frames := range []string{"", "\x81\x01x", "\x81\x16{\"run\":\"r1\",\"seq\":1}", "\x81\x85\x00\x00\x00\x00hello", "\xc1\x01x", "\x89\x00\x8a\x00", "\x88\x02\x03\xe8",
		"\x88\x01\x03", "\x01\x00\x00\x00", "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", "\x81\x7e\x00\x01\xff"} {
		f.Add([]byte(frames))
	}
	f.Fuzz(func(t *testing.T, frames []byte) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
				if n > 1 {
					echo(s, n, conn)
					return
				}
				go io.Copy(io.Discard, conn.NetConn()) // ends with the connection
				conn.NetConn().Write(frames)
			})
			q := newQueue(10)
			run(t, s.config(), q)
			q.await(t, 10, time.Hour)
		})
	})
}

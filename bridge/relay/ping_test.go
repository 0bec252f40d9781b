package relay

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// A publisher that sends fixes is not pinged beside them, and is once it is silent; a viewer always is.
func TestPingsAreForTheSilent(t *testing.T) {
	inBubble(t, Config{PublishToken: "pub"}, func(t *testing.T, r *Relay, p *pipes) {
		pings := func(conn *websocket.Conn) chan string {
			got, answer := make(chan string, 100), conn.PingHandler()
			conn.SetPingHandler(func(data string) error {
				got <- data
				return answer(data)
			})
			read(conn)
			return got
		}
		publisher, viewer := p.join(t, "", bearer("pub")), p.join(t, "")
		ofPublisher, ofViewer := pings(publisher), pings(viewer)
		for seq := range 60 {
			time.Sleep(time.Second)
			publisher.WriteMessage(websocket.TextMessage, []byte(tpv(seq+1)))
		}
		synctest.Wait()
		if p, v := len(ofPublisher), len(ofViewer); p != 0 || v < 2 {
			t.Errorf("in a minute of fixes the publisher was pinged %d times and the viewer %d times, want never and every 20 s", p, v)
		}
		time.Sleep(45 * time.Second)
		synctest.Wait()
		if n := len(ofPublisher); n != 2 {
			t.Errorf("in 45 s of silence the publisher was pinged %d times, want twice", n)
		}
	})
}

package relay

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// inShort asks for short acknowledgements with a token.
func inShort(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}, "Sec-Websocket-Protocol": {ackProtocol}}
}

// acked notes what a publisher gets, with the time since the beginning.
type acked struct {
	begin time.Time
	mu    sync.Mutex
	list  []string
}

func readAcks(conn *websocket.Conn) *acked {
	a := &acked{begin: time.Now()}
	go func() {
		defer conn.Close()
		for {
			_, text, err := conn.ReadMessage()
			a.mu.Lock()
			if err != nil {
				a.list = append(a.list, fmt.Sprintf("%s end", time.Since(a.begin)))
				a.mu.Unlock()
				return
			}
			a.list = append(a.list, fmt.Sprintf("%s %s", time.Since(a.begin), text))
			a.mu.Unlock()
		}
	}()
	return a
}

func (a *acked) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Equal(a.list, want) {
		t.Errorf("got\n%q, want\n%q", a.list, want)
	}
}

// ackAt is the acknowledgement of tpv(seq) at a time.
func ackAt(at time.Duration, seq int) string {
	return fmt.Sprintf(`%s {"ack":{"run":"5f1c09ae77b2d041","seq":%d}}`, at, seq)
}

// A publisher that asks gets acknowledgements in place of its own messages, and the group gets all: the first at once, then
// after 6 s, or of six, or of a message that comes twice in a row, or before the connection is closed.
func TestShortAcknowledgements(t *testing.T) {
	inBubble(t, Config{PublishToken: "pub"}, func(t *testing.T, r *Relay, p *pipes) {
		conn, other, viewer := p.join(t, "", inShort("pub")), read(p.join(t, "", bearer("pub"))), read(p.join(t, ""))
		acks := readAcks(conn)
		send := func(text string) {
			conn.WriteMessage(websocket.TextMessage, []byte(text))
			synctest.Wait()
		}
		send(tpv(1))
		send(sky(7)) // without a key
		send(tpv(2))
		send(tpv(3))
		time.Sleep(10 * time.Second)
		for seq := 4; seq <= 10; seq++ {
			send(tpv(seq))
		}
		send(tpv(10))
		time.Sleep(time.Second)
		send(tpv(2)) // a repeat, which only the sender may need
		r.tpv(11)    // from another member
		want := []string{ackAt(0, 1), ackAt(6*time.Second, 3), ackAt(10*time.Second, 9), ackAt(10*time.Second, 10), "11s " + tpv(11)}
		acks.want(t, want...)
		conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""))
		acks.want(t, append(want, ackAt(11*time.Second, 2), "11s end")...)
		for _, m := range []*reader{other, viewer} {
			if got, want := m.got(), []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}; !slices.Equal(got, want) {
				t.Errorf("the group got %v, want %v", got, want)
			}
		}
	})
}

// A tracker at 1 Hz gets one for each six fixes, together with the sixth: they do not race with the time for which one is held back.
func TestShortAcknowledgementsAtOneHertz(t *testing.T) {
	inBubble(t, Config{PublishToken: "pub"}, func(t *testing.T, r *Relay, p *pipes) {
		conn := p.join(t, "", inShort("pub"))
		acks := readAcks(conn)
		var want []string
		for seq := 1; seq <= 31; seq++ {
			conn.WriteMessage(websocket.TextMessage, []byte(tpv(seq)))
			if at := time.Duration(seq-1) * time.Second; seq%6 == 1 {
				want = append(want, ackAt(at, seq))
			}
			time.Sleep(time.Second)
		}
		acks.want(t, want...)
	})
}

// Viewers, and publishers that do not ask, have what they had before.
func TestShortAcknowledgementsAreForPublishersThatAsk(t *testing.T) {
	r := start(t, Config{PublishToken: "pub"})
	viewer := http.Header{"Sec-Websocket-Protocol": {ackProtocol}}
	if m := dial(t, r, "", viewer); m.Subprotocol() != "" {
		t.Errorf("a viewer gets subprotocol %q", m.Subprotocol())
	}
	page := bearer("pub")
	page.Set("Sec-WebSocket-Protocol", "gpsbridge.v1")
	if m := dial(t, r, "", page); m.Subprotocol() != "gpsbridge.v1" {
		t.Errorf("a page gets subprotocol %q", m.Subprotocol())
	} else {
		m.send(tpv(1))
		m.want(tpv(1))
	}
}

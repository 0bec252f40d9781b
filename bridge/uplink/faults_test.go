package uplink

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// Everything at once: the server dies, gets stuck, discards, drops, delays,
// breaks the connection with 1011 and refuses; records come in bursts.
func TestRandomFaultsKeepTheOrders(t *testing.T) {
	for _, order := range []Order{LiveFirst, OldestFirst} {
		for seed := range uint64(few(8)) {
			t.Run(fmt.Sprint(order, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { randomFaults(t, order, seed) })
			})
		}
	}
}

func randomFaults(t *testing.T, order Order, seed uint64) {
	const records = 4000
	rnd := rand.New(rand.NewPCG(seed, 1))
	drops := seed%2 == 1 // silently, which no order can survive
	s := newServer(t, func(s *server, n int, conn *websocket.Conn) {
		faultyServer(s, conn, rand.New(rand.NewPCG(seed, uint64(n))), drops)
	})
	c := s.liveFirst()
	c.Order = order
	c.Quarantine = func(msg []byte, reason string) error {
		t.Errorf("quarantined: %s: %s", msg, reason)
		return nil
	}
	q := newQueue(records / 2)
	u, stop := start(t, c, q)
	for seq := records/2 + 1; seq <= records; seq++ {
		if rnd.IntN(4) == 0 {
			pass(time.Duration(rnd.IntN(1000)) * time.Millisecond)
		}
		switch rnd.IntN(300) {
		case 0:
			s.setRefuse(http.StatusInternalServerError)
		case 1, 2, 3:
			s.setRefuse(0)
		}
		q.add(record(seq))
	}
	s.setRefuse(0)
	q.await(t, records, 24*time.Hour)
	st := u.Status()
	stop()
	s.stop()
	_, repeats := s.firsts()
	t.Logf("%d connections, %d repeats, %d lost, %d sent late", st.Connects, repeats, st.Lost, st.Backlog)
	switch {
	case order == LiveFirst:
		s.wantOrder(t, records, !drops)
	case !drops:
		s.wantAll(t, records)
	}
	if st.Acked != records || st.Connects < 5 || st.Behind != 0 || st.Quarantined != 0 {
		t.Errorf("status %+v", st)
	}
}

// faultyServer echoes until its end, which is of a random kind.
func faultyServer(s *server, conn *websocket.Conn, rnd *rand.Rand, drops bool) {
	for life := rnd.IntN(400); life > 0; life-- {
		_, msg, err := conn.ReadMessage()
		if err != nil {
			return
		}
		switch r := rnd.IntN(100); {
		case r == 0 && drops:
			continue
		case r < 5:
			<-time.After(time.Duration(rnd.IntN(2000)) * time.Millisecond)
		}
		s.mu.Lock()
		s.arrived(bytes.Clone(msg))
		s.mu.Unlock()
		if conn.WriteMessage(websocket.TextMessage, rewrite(msg)) != nil {
			return
		}
	}
	switch rnd.IntN(4) {
	case 0: // stuck: it takes, answers pings, and never echoes
		silent(s, 0, conn)
	case 1: // a black hole
		for buf := make([]byte, 4096); ; {
			if _, err := conn.NetConn().Read(buf); err != nil {
				return
			}
		}
	case 2:
		conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseInternalServerErr, ""), time.Now().Add(time.Second))
	}
}

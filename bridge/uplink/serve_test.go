package uplink

import (
	"bytes"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// rewrite is a message as Django's consumer rewrites it: other bytes, the
// same content.
func rewrite(msg []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(msg, []byte(":"), []byte(": ")), []byte(","), []byte(", "))
}

// echo serves as the tracking group does.
func echo(s *server, _ int, conn *websocket.Conn) {
	for {
		msg, ok := s.receive(conn)
		if !ok || conn.WriteMessage(websocket.TextMessage, rewrite(msg)) != nil {
			return
		}
	}
}

// silent reads and answers pings, and never echoes.
func silent(s *server, _ int, conn *websocket.Conn) {
	for {
		if _, ok := s.receive(conn); !ok {
			return
		}
	}
}

// distant serves as the tracking group does at a round trip rtt, and takes some
// time for each record.
func distant(rtt, each time.Duration) func(*server, int, *websocket.Conn) {
	return func(s *server, _ int, conn *websocket.Conn) {
		type item struct {
			msg []byte
			at  time.Time
		}
		in, out := make(chan item, 1e5), make(chan item, 1e5)
		var workers sync.WaitGroup
		defer workers.Wait()
		defer close(in)
		workers.Go(func() {
			defer close(out)
			for it := range in {
				<-time.After(time.Until(it.at.Add(rtt/2)) + each)
				out <- item{it.msg, time.Now()}
			}
		})
		workers.Go(func() {
			for it := range out {
				<-time.After(time.Until(it.at.Add(rtt / 2)))
				conn.WriteMessage(websocket.TextMessage, rewrite(it.msg))
			}
		})
		for {
			msg, ok := s.receive(conn)
			if !ok {
				return
			}
			in <- item{msg, time.Now()}
		}
	}
}

// delayed serves as the tracking group does where each record's echo comes some
// time after it, in their order; not ok: never.
func delayed(echo func(seq int) (after time.Duration, ok bool)) func(*server, int, *websocket.Conn) {
	return func(s *server, _ int, conn *websocket.Conn) {
		type item struct {
			msg []byte
			due time.Time
		}
		due := make(chan item, 1e4)
		var sender sync.WaitGroup
		defer sender.Wait()
		defer close(due)
		sender.Go(func() {
			for it := range due {
				<-time.After(time.Until(it.due))
				conn.WriteMessage(websocket.TextMessage, rewrite(it.msg))
			}
		})
		for {
			msg, ok := s.receive(conn)
			if !ok {
				return
			}
			if after, ok := echo(seqOf(msg)); ok {
				due <- item{msg, time.Now().Add(after)}
			}
		}
	}
}

// dropping serves like the tracking group, and drops some sendings silently:
// ordinals of what it receives, from 1.
func dropping(rtt time.Duration, drop func(n int, msg []byte) bool) func(*server, int, *websocket.Conn) {
	return func(s *server, _ int, conn *websocket.Conn) {
		for n := 1; ; n++ {
			_, msg, err := conn.ReadMessage()
			switch {
			case err != nil:
				return
			case drop(n, msg):
				continue
			}
			s.mu.Lock()
			s.arrived(msg)
			s.mu.Unlock()
			<-time.After(rtt)
			conn.WriteMessage(websocket.TextMessage, msg)
		}
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

// sink takes messages to a group. Close ends what listens to its echoes.
type sink interface {
	send(msg []byte) error
	close()
}

// publisher is the tracker of the group.
type publisher struct {
	sink sink
	run  string // in the messages; another for each publisher

	seq   int
	wrote time.Time // when the last message was written
}

// message is a fix like the daemon's, of 330 bytes, with the time of publishing in it.
func (p *publisher) message(at time.Time) []byte {
	p.seq++
	b := append(make([]byte, 0, 400), `{"class":"TPV","device_id":"`+device+`","sent":`...)
	b = strconv.AppendInt(b, at.UnixNano(), 10)
	b = append(b, `,"run":"`+p.run+`","seq":`...)
	b = strconv.AppendInt(b, int64(p.seq), 10)
	b = append(b, `,"mode":3,"status":1,"time":"`...)
	b = at.UTC().AppendFormat(b, stampLayout)
	return append(b, `","lat":51.50336350,"lon":-0.12762480,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"speed":13.89,`+
		`"track":84.40,"climb":0.1,"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.2,"epv":25.3,"uSat":9,"nSat":14}`...)
}

// publish sends rate messages a second from now on for a time, and returns how many. A message that had to wait because
// the one before was not taken counts from when it was due.
func (p *publisher) publish(ctx context.Context, rate float64, lasts time.Duration) (sent int, err error) {
	from := time.Now()
	for ; ; sent++ {
		due := from.Add(time.Duration(float64(sent) / rate * float64(time.Second)))
		if due.Sub(from) >= lasts {
			return sent, nil
		}
		if !sleepUntil(ctx, due) {
			return sent, ctx.Err()
		}
		at := time.Now()
		if p.wrote.After(due) {
			at = due
		}
		if err := p.sink.send(p.message(at)); err != nil {
			return sent, fmt.Errorf("publish: %w", err)
		}
		p.wrote = time.Now()
	}
}

// socketSink publishes as trackers do, over a WebSocket.
type socketSink struct {
	conn *websocket.Conn
	done chan struct{}
}

func dialSink(ctx context.Context, addr, token string) (*socketSink, error) {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+addr+groupPath, header)
	if err != nil {
		return nil, fmt.Errorf("join %s as publisher: %w", addr, err)
	}
	s := &socketSink{conn: conn, done: make(chan struct{})}
	go func() { // the echoes: who does not read them is not read either
		defer close(s.done)
		for {
			_, echo, err := conn.NextReader()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, echo) // the next one says what is wrong
		}
	}()
	return s, nil
}

func (s *socketSink) send(msg []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(stalled)); err != nil {
		return err
	}
	return s.conn.WriteMessage(websocket.TextMessage, msg)
}

func (s *socketSink) close() {
	_ = s.conn.Close()
	<-s.done
}

// floorSink hands frames to the floor, as a server would make them.
type floorSink struct{ w io.Writer }

func (s floorSink) send(msg []byte) error {
	_, err := s.w.Write(appendFrame(nil, textFrame, false, msg))
	return err
}

func (s floorSink) close() {}

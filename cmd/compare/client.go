package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// arrival is a message of class TPV at a client.
type arrival struct {
	at  time.Time // when the read that completed it returned
	msg []byte
}

// client receives what a program sends and notes when. Nothing is decoded before the run is over.
type client struct {
	conn io.Closer
	done chan struct{} // closed when reading has ended

	mu       sync.Mutex
	arrivals []arrival
	last     time.Time // of any message
	err      error     // why reading ended
}

// isFix is the start of the messages that are kept. Both programs begin so.
var isFix = []byte(`{"class":"TPV"`)

// newClient reads messages with next until it fails.
func newClient(conn io.Closer, next func() ([]byte, time.Time, error)) *client {
	c := &client{conn: conn, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for {
			msg, at, err := next()
			c.mu.Lock()
			c.last = at
			if err != nil {
				c.err = err
			} else if bytes.HasPrefix(msg, isFix) {
				c.arrivals = append(c.arrivals, arrival{at, bytes.Clone(msg)})
			}
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return c
}

// take returns the arrivals so far and forgets them. The error says that no more will come.
func (c *client) take() ([]arrival, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.arrivals
	c.arrivals = nil
	return all, c.err
}

// lastMessage is when the last message came, of any class; zero before the first.
func (c *client) lastMessage() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *client) close() {
	_ = c.conn.Close() // what it would say has no more meaning
	<-c.done
}

// stampedConn notes when a Read returned: the moment at which the bytes are at a client, whatever protocol they are in.
type stampedConn struct {
	net.Conn
	at time.Time // owned by the reading goroutine
}

func (c *stampedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.at = time.Now()
	return n, err
}

// watchGPSD connects as gpsd's clients do and asks for JSON.
func watchGPSD(ctx context.Context, addr string) (*client, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(raw, `?WATCH={"enable":true,"json":true};`+"\n"); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	conn := &stampedConn{Conn: raw}
	// A message of satellites in view is 10 kB at the most.
	lines := bufio.NewReaderSize(conn, 64<<10)
	return newClient(raw, func() ([]byte, time.Time, error) {
		msg, err := lines.ReadSlice('\n')
		return msg, conn.at, err
	}), nil
}

// watchGroup joins the group of a device as a viewer. It asks for satellites too, because gpsd's clients get them.
func watchGroup(ctx context.Context, addr, device string) (*client, error) {
	var conn *stampedConn
	d := websocket.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		raw, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		conn = &stampedConn{Conn: raw}
		return conn, nil
	}}
	ws, _, err := d.DialContext(ctx, "ws://"+addr+"/ws/gps-tracking/"+device+"/?sky=1", nil)
	if err != nil {
		return nil, err
	}
	return newClient(ws, func() ([]byte, time.Time, error) {
		_, msg, err := ws.ReadMessage()
		return msg, conn.at, err
	}), nil
}

package bridge

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/gorilla/websocket"

	"gpsbridge/bridge/uplink"
)

// WatchConfig names the group to watch.
type WatchConfig struct {
	URL       string // of the group, ws or wss
	TokenFile string // with the viewers' token, "" for none
	CAFile    string // PEM, trusted besides the system's authorities, "" for none
}

// Watch joins a group and calls show with each of its messages, in order, until ctx ends or show fails. It joins again when the
// connection is lost. state is called with nil when it has joined, and with the reason each time it has not. Both are called on
// this goroutine.
func Watch(ctx context.Context, c WatchConfig, state func(error), show func(msg []byte) error) error {
	pause := backoff.ExponentialBackOff{InitialInterval: time.Second, Multiplier: 2, MaxInterval: 30 * time.Second}
	pause.Reset()
	for {
		conn, err := uplink.Dial(ctx, uplink.Config{URL: c.URL, TokenFile: c.TokenFile, CAFile: c.CAFile})
		if err == nil {
			pause.Reset()
			state(nil)
			if err = follow(ctx, conn, show); err != nil && ctx.Err() == nil {
				return err
			}
			err = errors.New("connection lost, joining again")
		}
		if ctx.Err() != nil {
			return nil
		}
		state(err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// follow reads until the connection ends, which is no error, or show fails. Messages that are too long for an uplink are left out.
func follow(ctx context.Context, conn *websocket.Conn, show func([]byte) error) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for {
		var msg bytes.Buffer // show keeps it
		whole, err := uplink.Next(conn, &msg, func() {})
		if err != nil {
			return nil
		}
		if whole {
			err = show(msg.Bytes())
		}
		if err != nil {
			return err
		}
	}
}

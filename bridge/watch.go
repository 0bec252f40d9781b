package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/uplink"
)

// Pauses between a viewer's attempts to join.
const (
	watchRetryMin = time.Second
	watchRetryMax = 30 * time.Second
)

// Watch joins the group at a WebSocket URL and hands each of its messages to show, in order, until ctx ends or show
// fails. It joins again when the connection is lost.
func Watch(ctx context.Context, url, tokenFile string, log *slog.Logger, show func(msg []byte) error) error {
	for pause, told := watchRetryMin, ""; ; {
		conn, err := uplink.Dial(ctx, uplink.Config{URL: url, TokenFile: tokenFile, Log: log})
		if err == nil {
			pause = watchRetryMin
			log.Info("joined", "url", url)
			if err = follow(ctx, conn, show); err != nil && ctx.Err() == nil {
				return err
			}
			err = fmt.Errorf("connection lost, joining again")
		}
		if ctx.Err() != nil {
			return nil
		}
		if err.Error() != told {
			told = err.Error()
			log.Warn("not joined", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
			pause = min(2*pause, watchRetryMax)
		}
	}
}

// follow reads until the connection ends, which is no error, or show fails.
func follow(ctx context.Context, conn *websocket.Conn, show func([]byte) error) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for {
		_, msg, err := conn.ReadMessage()
		if err != nil {
			return nil
		}
		if err := show(msg); err != nil {
			return err
		}
	}
}

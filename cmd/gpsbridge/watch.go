package main

import (
	"context"
	"log/slog"
	"strings"

	"gpsbridge/bridge"
)

func runWatch(ctx context.Context, p process, c command, args []string) error {
	fs := newFlags(c)
	token := fs.String("token-file", "", "`FILE` with the viewers' token")
	words, err := parse(p, c, fs, args, 1)
	if err != nil {
		return err
	}
	if len(words) == 0 || !strings.HasPrefix(words[0], "ws://") && !strings.HasPrefix(words[0], "wss://") {
		return usagef("name a group's WebSocket URL, such as ws://127.0.0.1:8947/ws/gps-tracking/van_7/")
	}
	return bridge.Watch(ctx, words[0], *token, newLogger(p, "text", slog.LevelInfo), func(msg []byte) error {
		_, err := p.stdout.Write(append(msg, '\n'))
		return err
	})
}

package main

import (
	"context"
	"fmt"
	"log/slog"

	"gpsbridge/bridge"
	"gpsbridge/bridge/relay"
)

func runRelay(ctx context.Context, p process, c command, args []string) error {
	fs := newFlags(c)
	var config bridge.ServerConfig
	fs.StringVar(&config.Listen, "listen", bridge.DefaultListen, "`ADDRESS` to listen at")
	fs.BoolVar(&config.Open, "open", false, "serve viewers without a token on an address that is not loopback")
	fs.StringVar(&config.ViewerToken, "token-file", "", "`FILE` with the viewers' token")
	fs.IntVar(&config.History, "history", relay.DefaultHistory, "messages kept a device")
	fs.Func("origin", "further `ORIGIN` that pages may come from, repeatable",
		func(v string) error { config.Origins = append(config.Origins, v); return nil })
	publish := fs.String("publish-token-file", "", "`FILE` with the token that trackers present; made when it is not there")
	if _, err := parse(p, c, fs, args, 0); err != nil {
		return err
	}
	if *publish == "" {
		return usagef("no tracker could publish: name a file with --publish-token-file FILE (it is made when it is not there)")
	}
	var err error
	if config.PublishToken, err = bridge.PublishToken(*publish); err != nil {
		return usagef("--publish-token-file: %w", err)
	}
	s, err := bridge.NewServer(config, newLogger(p, bridge.LogConfig{Level: slog.LevelInfo}))
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "viewers:  http://%s/\ntrackers: ws://%[1]s/ws/gps-tracking/{device_id}/  token in %s\n", s.Addr(), *publish)
	return s.Run(ctx)
}

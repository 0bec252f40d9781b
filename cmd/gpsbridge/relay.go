package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"gpsbridge/bridge"
	"gpsbridge/bridge/relay"
)

func runRelay(ctx context.Context, p process, c command, args []string) error {
	fs := newFlags(c)
	var config bridge.ServerConfig
	fs.StringVar(&config.Listen, "listen", bridge.DefaultListen, "`ADDRESS` to listen at")
	fs.BoolVar(&config.Open, "open", false, "serve viewers without a token on an address that is not loopback")
	fs.StringVar(&config.ViewerToken, "token-file", "", "`FILE` with the viewers' token")
	fs.StringVar(&config.DeviceTokens, "device-tokens-file", "", "`FILE` with a device ID and the token that it alone presents, a line each")
	fs.IntVar(&config.History, "history", relay.DefaultHistory, "messages kept a device")
	fs.IntVar(&config.MaxConns, "max-conns", relay.DefaultMaxConns, "WebSockets at a time")
	fs.StringVar(&config.Basemap, "basemap", "", "`FILE` of map tiles (.pmtiles) for the page")
	fs.StringVar(&config.Cert, "tls-cert-file", "", "`FILE` with a certificate in PEM: serve https and wss")
	fs.StringVar(&config.Key, "tls-key-file", "", "`FILE` with its key")
	fs.BoolVar(&config.SelfSigned, "tls-self-signed", false, "make both when they are not there; without names relay.pem and relay.key beside the tokens")
	fs.Func("origin", "further `ORIGIN` that pages may come from, repeatable",
		func(v string) error { config.Origins = append(config.Origins, v); return nil })
	publish := fs.String("publish-token-file", "", "`FILE` with the token that trackers present; made when it is not there")
	if _, err := parse(p, c, fs, args, 0); err != nil {
		return err
	}
	tokens := *publish
	switch {
	case *publish != "":
		var err error
		if config.PublishToken, err = bridge.PublishToken(*publish); err != nil {
			return usagef("--publish-token-file: %w", err)
		}
	case config.DeviceTokens != "":
		tokens = config.DeviceTokens
	default:
		return usagef("no tracker could publish: name a file with --publish-token-file FILE (it is made when it is not there)" +
			" or --device-tokens-file FILE")
	}
	if config.SelfSigned && config.Cert == "" && config.Key == "" {
		folder := filepath.Dir(tokens)
		config.Cert, config.Key = filepath.Join(folder, "relay.pem"), filepath.Join(folder, "relay.key")
	}
	s, err := bridge.NewServer(config, newLogger(p, "text", slog.LevelInfo))
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "viewers:  %s\ntrackers: ws%sws/gps-tracking/{device_id}/  token in %s\n",
		s.URL(), strings.TrimPrefix(s.URL(), "http"), tokens)
	if print := s.Fingerprint(); print != "" {
		fmt.Fprintf(p.stdout, "certificate: %s  SHA-256 %s\n", config.Cert, print)
	}
	return s.Run(ctx)
}

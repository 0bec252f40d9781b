package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"gpsbridge/bridge"
	"gpsbridge/bridge/relay"
	"gpsbridge/cmd/internal/command"
)

func runRelay(ctx context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	var config bridge.ServerConfig
	fs.StringVar(&config.Listen, "listen", relay.DefaultListen, "`ADDRESS` to listen at")
	fs.BoolVar(&config.Open, "open", false, "serve viewers without a token at an address that is not loopback")
	fs.StringVar(&config.ViewerToken, "token-file", "", "`FILE` with the viewers' token; created if missing")
	fs.StringVar(&config.DeviceTokens, "device-tokens-file", "", "`FILE` with a device ID and its own token on each line")
	fs.IntVar(&config.History, "history", relay.DefaultHistory, "`NUMBER` of messages kept for each device")
	fs.IntVar(&config.MaxConns, "max-conns", relay.DefaultMaxConns, "`NUMBER` of WebSockets at the same time")
	fs.StringVar(&config.Basemap, "basemap", "", "`FILE` of map tiles (.pmtiles) for the page")
	fs.StringVar(&config.Cert, "tls-cert-file", "", "`FILE` with a certificate in PEM: serve https and wss")
	fs.StringVar(&config.Key, "tls-key-file", "", "`FILE` with its key")
	fs.BoolVar(&config.SelfSigned, "tls-self-signed", false, "create both if missing; by default relay.pem and relay.key beside the tokens")
	fs.Func("origin", "further `ORIGIN` that pages may come from, repeatable",
		func(v string) error { config.Origins = append(config.Origins, v); return nil })
	publish := fs.String("publish-token-file", "", "`FILE` with the token that trackers present; created if missing")
	if _, err := c.Parse(p, fs, args, 0); err != nil {
		return err
	}
	if err := checkRelay(config); err != nil {
		return err
	}
	tokens, err := relayTokens(&config, *publish)
	if err != nil {
		return err
	}
	if config.SelfSigned && config.Cert == "" && config.Key == "" {
		dir := filepath.Dir(tokens)
		config.Cert, config.Key = filepath.Join(dir, "relay.pem"), filepath.Join(dir, "relay.key")
	}
	log := newLogger(p, "text", slog.LevelInfo)
	s, err := bridge.NewServer(config, log)
	if err != nil {
		return serverError(s, err)
	}
	warnOfSecrets(log, []string{*publish, config.DeviceTokens, config.ViewerToken, config.Key})
	viewers := s.URL()
	if config.ViewerToken != "" {
		viewers += "  token in " + config.ViewerToken
	}
	fmt.Fprintf(p.Stdout, "viewers:  %s\ntrackers: ws%sws/gps-tracking/{device_id}/  token in %s\n",
		viewers, strings.TrimPrefix(s.URL(), "http"), tokens)
	if print := s.Fingerprint(); print != "" {
		fmt.Fprintf(p.Stdout, "certificate: %s  SHA-256 %s\n", config.Cert, print)
	}
	return s.Run(ctx)
}

// checkRelay refuses values that would otherwise mean a default, or fail without an error.
func checkRelay(c bridge.ServerConfig) error {
	switch {
	case c.History < 0:
		return command.Misusef("--history %d: use 0 or more messages", c.History)
	case c.MaxConns < 1:
		return command.Misusef("--max-conns %d: use 1 or more WebSockets", c.MaxConns)
	case c.Basemap != "":
		if _, err := os.Stat(c.Basemap); err != nil {
			return command.Misusef("--basemap: %w: name a .pmtiles file", err)
		}
	}
	return nil
}

// relayTokens reads the trackers' token, creates the token files that are missing, and returns the trackers' file.
func relayTokens(c *bridge.ServerConfig, publish string) (file string, err error) {
	switch {
	case publish != "":
		file = publish
		if c.PublishToken, err = bridge.Token(publish); err != nil {
			return "", command.Misusef("--publish-token-file: %w", err)
		}
	case c.DeviceTokens != "":
		file = c.DeviceTokens
	default:
		return "", command.Misusef("no tracker could send: name a file with --publish-token-file FILE (created if missing)" +
			" or --device-tokens-file FILE")
	}
	if c.ViewerToken != "" {
		if _, err := bridge.Token(c.ViewerToken); err != nil {
			return "", command.Misusef("--token-file: %w", err)
		}
	}
	return file, nil
}

// relayFlags are the flags for what a configuration file calls by a key: package relay's errors name the keys.
var relayFlags = strings.NewReplacer(
	"relay.listen", "--listen", "relay.token_file", "--token-file", "relay.publish_token_file", "--publish-token-file",
	"relay.open = true", "--open", "relay.origins", "--origin", "relay.device_tokens_file", "--device-tokens-file",
	"relay.tls_cert_file", "--tls-cert-file", "relay.tls_key_file", "--tls-key-file",
)

// serverError names flags in the error of bridge.NewServer. It is wrong usage, unless the address cannot be listened at.
func serverError(s *bridge.Server, err error) error {
	said := errors.New(relayFlags.Replace(err.Error()))
	if s != nil {
		return said
	}
	return command.AsMisuse(said)
}

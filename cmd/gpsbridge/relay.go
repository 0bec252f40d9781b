package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"gpsbridge/bridge"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
	"gpsbridge/cmd/internal/command"

	"golang.org/x/sync/errgroup"
)

func runRelay(ctx context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	var config bridge.ServerConfig
	fs.StringVar(&config.Listen, "listen", relay.DefaultListen, "`ADDRESS` to listen at")
	fs.BoolVar(&config.Open, "open", false, "serve viewers without a token at an address that is not loopback")
	fs.StringVar(&config.TokenFile, "token-file", "", "`FILE` with the viewers' token; created if missing")
	fs.StringVar(&config.DeviceTokensFile, "device-tokens-file", "", "`FILE` with a device ID and its own token on each line")
	fs.IntVar(&config.History, "history", relay.DefaultHistory, "`NUMBER` of messages kept for each device")
	fs.IntVar(&config.MaxConns, "max-conns", relay.DefaultMaxConns, "`NUMBER` of WebSockets at the same time")
	fs.IntVar(&config.MaxMessage, "max-message", relay.DefaultMaxMessage, "`BYTES` of the longest message that a tracker may send")
	fs.StringVar(&config.Basemap, "basemap", "", "`FILE` of map tiles (.pmtiles) for the page")
	fs.StringVar(&config.CertFile, "tls-cert-file", "", "`FILE` with a certificate in PEM: serve https and wss")
	fs.StringVar(&config.KeyFile, "tls-key-file", "", "`FILE` with its key")
	fs.BoolVar(&config.SelfSigned, "tls-self-signed", false, "create both if missing; by default relay.pem and relay.key beside the tokens")
	fs.Func("origin", "further `ORIGIN` that pages may come from, repeatable",
		func(v string) error { config.Origins = append(config.Origins, v); return nil })
	fs.StringVar(&config.PublishTokenFile, "publish-token-file", "", "`FILE` with the token that trackers present; created if missing")
	if _, err := c.Parse(p, fs, args, 0); err != nil {
		return err
	}
	if err := checkRelay(config); err != nil {
		return err
	}
	tokens, err := relayTokens(config)
	if err != nil {
		return err
	}
	if config.History == 0 {
		config.History = -1 // package relay's 0 is its default
	}
	if config.SelfSigned && config.CertFile == "" && config.KeyFile == "" {
		dir := filepath.Dir(tokens)
		config.CertFile, config.KeyFile = filepath.Join(dir, "relay.pem"), filepath.Join(dir, "relay.key")
	}
	hangup := hangups()
	log := newLogger(p, "text", slog.LevelInfo)
	s, err := bridge.NewServer(config, log)
	if err != nil {
		return serverError(s, err)
	}
	warnOfSecrets(log, []string{config.PublishTokenFile, config.DeviceTokensFile, config.TokenFile, config.KeyFile})
	viewers := s.URL()
	if config.TokenFile != "" {
		viewers += "  token in " + config.TokenFile
	}
	fmt.Fprintf(p.Stdout, "viewers:  %s\ntrackers: ws%sws/gps-tracking/{device_id}/  token in %s\n",
		viewers, strings.TrimPrefix(s.URL(), "http"), tokens)
	if print := s.Fingerprint(); print != "" {
		fmt.Fprintf(p.Stdout, "certificate: %s  SHA-256 %s\n", config.CertFile, print)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error { return reloadOn(ctx, hangup, log, func() ([]string, error) { return nil, s.Reload() }) })
	return g.Wait()
}

// checkRelay refuses values that would otherwise mean a default, or fail without an error.
func checkRelay(c bridge.ServerConfig) error {
	switch {
	case c.History < 0:
		return command.Misusef("--history %d: use 0 or more messages", c.History)
	case c.MaxConns < 1:
		return command.Misusef("--max-conns %d: use 1 or more WebSockets", c.MaxConns)
	case c.MaxMessage < 1:
		return command.Misusef("--max-message %d: use 1 or more bytes", c.MaxMessage)
	case c.Basemap != "":
		if _, err := os.Stat(c.Basemap); err != nil {
			return command.Misusef("--basemap: %w: name a .pmtiles file", err)
		}
	}
	return nil
}

// relayTokens creates the token files that are missing, and returns the trackers' file.
func relayTokens(c bridge.ServerConfig) (file string, err error) {
	for name, path := range map[string]string{"token-file": c.TokenFile, "publish-token-file": c.PublishTokenFile} {
		if path == "" {
			continue
		}
		if _, err := secret.ReadOrCreate(path); err != nil {
			return "", command.Misusef("--%s: %w", name, err)
		}
	}
	if file = cmp.Or(c.PublishTokenFile, c.DeviceTokensFile); file == "" {
		return "", command.Misusef("no tracker could send: name a file with --publish-token-file FILE (created if missing)" +
			" or --device-tokens-file FILE")
	}
	return file, nil
}

// serverError names flags in the error of bridge.NewServer. It is wrong usage, unless the address cannot be listened at.
func serverError(s *bridge.Server, err error) error {
	err = byFlag(err)
	if s != nil {
		return err
	}
	return command.AsMisuse(err)
}

// byFlag names the flags whose values the problems of an error are about: they have the names of the configuration's keys.
func byFlag(err error) error {
	var all []error
	for _, p := range problem.All(err) {
		all = append(all, errors.New(flagOf(p.Key)+p.Text()))
	}
	return errors.Join(all...)
}

// flagOf is the flag for a key with a colon after it; "" for no key.
func flagOf(key string) string {
	switch key {
	case "":
		return ""
	case "origins":
		key = "origin" // the flag is repeatable
	}
	return "--" + strings.ReplaceAll(key, "_", "-") + ": "
}

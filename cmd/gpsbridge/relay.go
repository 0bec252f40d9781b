package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"gpsbridge/bridge"
	"gpsbridge/bridge/config"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
	"gpsbridge/cmd/internal/command"
	"gpsbridge/systemd"

	"golang.org/x/sync/errgroup"
)

func runRelay(ctx context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	flags := addServerFlags(fs)
	asJSON := fs.Bool("json", false, "doctor: print what is found as JSON")
	pid := fs.Int("pid", 0, "drain: the relay that is process `N`; default the only one of this machine")
	words, err := c.Parse(p, fs, args, 1)
	if err != nil {
		return err
	}
	action := strings.Join(words, "")
	switch {
	case *pid != 0 && action != "drain":
		return command.Misusef("--pid is of drain: leave it out, or use gpsbridge relay drain --pid %d", *pid)
	case *asJSON && action != "doctor":
		return command.Misusef("--json is of doctor: leave it out, or use gpsbridge relay doctor --json")
	case action == "drain":
		return drainRelay(p, *pid)
	}
	config, err := config.LoadServer(flags.path, p.Environ, flags.values)
	switch {
	case err != nil:
		return command.AsMisuse(err)
	case action == "":
	case action == "doctor":
		return examineLayer(ctx, p, config, *asJSON)
	case action == "check":
		return checkServer(p, flags.path, config)
	default:
		return command.Misusef("unknown action %q: use check, doctor or drain, or none to serve", action)
	}
	tokens, err := relayTokens(config)
	if err != nil {
		return err
	}
	hangup, rebalance := hangups(), make(chan os.Signal, 1)
	signal.Notify(rebalance, syscall.SIGUSR1)
	defer signal.Stop(rebalance)
	log := newLogger(p, "text", slog.LevelInfo)
	s, err := bridge.NewServer(config, log)
	switch {
	case s == nil:
		return command.AsMisuse(config.Explain("relay", err))
	case err != nil: // the address cannot be listened at
		return config.Explain("relay", err)
	}
	warnOfSecrets(log, config.Secrets())
	viewers := s.URL()
	if config.TokenFile != "" {
		viewers += "  token in " + config.TokenFile
	}
	fmt.Fprintf(p.Stdout, "viewers:  %s\ntrackers: ws%sws/gps-tracking/{device_id}/  %s\n",
		viewers, strings.TrimPrefix(s.URL(), "http"), allowing(config, tokens))
	if print := s.Fingerprint(); print != "" {
		fmt.Fprintf(p.Stdout, "certificate: %s  SHA-256 %s\n", config.CertFile, print)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-rebalance:
				s.Rebalance(ctx)
			}
		}
	})
	g.Go(func() error { return reloadOn(ctx, hangup, log, func() ([]string, error) { return nil, s.Reload() }) })
	listening := make(chan struct{})
	close(listening)
	g.Go(func() error {
		return systemd.Notify(ctx, listening, func() string { return serverLine(s.Status().Relay) })
	})
	g.Go(func() error {
		return systemd.Watchdog(ctx, func() bool {
			s.Status() // takes the locks: it does not return where one hangs
			return true
		})
	})
	return g.Wait()
}

// serverLine is the status in one line.
func serverLine(st relay.Status) string {
	return fmt.Sprintf("%d trackers, %d viewers, %d groups", st.Publishers, st.Viewers, st.Groups)
}

// allowing describes what allows trackers to send.
func allowing(c config.Server, tokens string) string {
	var all []string
	if tokens != "" {
		all = append(all, "token in "+tokens)
	}
	if c.AuthURL != "" {
		all = append(all, "as "+c.AuthURL+" decides")
	}
	return strings.Join(all, ", or ")
}

// relayTokens creates the token files that are missing, and returns the trackers' file.
func relayTokens(c config.Server) (file string, err error) {
	for key, path := range map[string]string{"token_file": c.TokenFile, "publish_token_file": c.PublishTokenFile} {
		if path == "" {
			continue
		}
		if _, err := secret.ReadOrCreate(path); err != nil {
			return "", command.AsMisuse(c.Explain("relay."+key, err))
		}
	}
	return trackerTokens(c)
}

// trackerTokens returns the file with the tokens of trackers, "" where an application decides which may send.
func trackerTokens(c config.Server) (file string, err error) {
	if file = cmp.Or(c.PublishTokenFile, c.DeviceTokensFile); file == "" && c.AuthURL == "" {
		return "", command.Misusef("no tracker could send: name a file with --publish-token-file FILE (created if missing)" +
			" or --device-tokens-file FILE, or a view that decides with --auth-url URL")
	}
	return file, nil
}

// checkServer checks a configuration, and prints that it is good.
func checkServer(p command.Process, path string, c config.Server) error {
	if path == "" {
		return command.Misusef("name the file to check: gpsbridge relay check -c FILE")
	}
	if _, err := trackerTokens(c); err != nil {
		return err
	}
	if err := bridge.CheckServer(c); err != nil {
		return command.AsMisuse(err)
	}
	warnOfSecrets(newLogger(p, "text", slog.LevelWarn), c.Secrets())
	_, err := fmt.Fprintf(p.Stdout, "%s is a good configuration of a tracking server\n", path)
	return err
}

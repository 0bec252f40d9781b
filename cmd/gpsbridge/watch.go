package main

import (
	"cmp"
	"context"
	"log/slog"
	"net/url"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge"
	"gpsbridge/bridge/config"
	"gpsbridge/bridge/problem"
	"gpsbridge/cmd/internal/command"
)

func runWatch(ctx context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	flags := addConfigFlags(fs, "listen")
	askedAt(fs)
	var watch bridge.WatchConfig
	fs.StringVar(&watch.TokenFile, "token-file", "", "`FILE` with the viewers' token")
	fs.StringVar(&watch.CAFile, "ca-file", "", "`FILE` with a certificate to trust besides the system's authorities")
	lines := fs.Bool("lines", false, "print messages on a terminal too, instead of showing them")
	words, err := c.Parse(p, fs, args, 1)
	if err != nil {
		return err
	}
	if len(words) == 1 {
		watch.URL = words[0]
	} else {
		flags.useService(p, c)
		config, err := flags.load(p)
		if err != nil {
			return err
		}
		if err := watchHere(ctx, config.Relay, &watch); err != nil {
			return err
		}
	}
	group, err := groupOf(watch.URL)
	if err != nil {
		return err
	}
	for name, file := range map[string]string{"token-file": watch.TokenFile, "ca-file": watch.CAFile} {
		if _, err := os.Stat(file); file != "" && err != nil {
			return command.Misusef("--%s: %w", name, err)
		}
	}
	if t, ok := drawable(p.Stdout); ok && !*lines {
		return onScreen(t, func() error { return watchPanel(ctx, t, watch, *group) })
	}
	return bridge.Watch(ctx, watch, logJoined(newLogger(p, "text", slog.LevelInfo), group.Redacted()), func(msg []byte) error {
		_, err := p.Stdout.Write(append(msg, '\n'))
		return err
	})
}

// watchHere names the group of the daemon on this machine, with what its relay asks of viewers.
func watchHere(ctx context.Context, c config.Relay, w *bridge.WatchConfig) error {
	st, err := askDaemon(ctx, c)
	if err != nil {
		return err
	}
	address, err := localAddress(c.Listen)
	if err != nil {
		return err
	}
	scheme := "ws://"
	if c.CertFile != "" {
		scheme = "wss://"
	}
	w.URL = scheme + address + "/ws/gps-tracking/" + st.DeviceID + "/"
	w.TokenFile, w.CAFile = cmp.Or(w.TokenFile, c.TokenFile), cmp.Or(w.CAFile, c.CertFile)
	return nil
}

// groupOf checks the URL of a group.
func groupOf(text string) (*url.URL, error) {
	const example = "name a group's WebSocket URL, such as ws://127.0.0.1:8947/ws/gps-tracking/van_7/, or none for the daemon on this machine"
	group, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, command.Misusef("%q is not a URL: %w", text, err)
	case group.Scheme != "ws" && group.Scheme != "wss" || group.Host == "":
		return nil, command.Misusef("%q is not a WebSocket URL: "+example, text)
	case group.Path == "":
		return nil, command.Misusef("%q names a server but not a group: "+example, text)
	}
	return group, nil
}

// logJoined logs each change of the connection once.
func logJoined(log *slog.Logger, url string) func(error) {
	var changes problem.Changes
	return func(err error) {
		worth, _ := changes.Report(problem.Of(err), time.Now())
		switch {
		case err == nil:
			log.Info("joined", "url", url)
		case worth:
			log.Warn("not joined", "err", byFlag(err))
		}
	}
}

// panelEvery is how often the panel is drawn: ages count in tenths, and a person reads no faster.
const panelEvery = 200 * time.Millisecond

// watchPanel shows a group on a terminal until ctx ends.
func watchPanel(ctx context.Context, t *command.Terminal, c bridge.WatchConfig, group url.URL) error {
	shown := group.Redacted()
	query := group.Query()
	query.Set("sky", "1") // a server that does not know it sends no satellites
	group.RawQuery = query.Encode()
	c.URL = group.String()

	p := newPanel(shown, time.Now())
	changes := make(chan func(), 16)
	change := func(f func()) error {
		select {
		case changes <- f:
		case <-ctx.Done():
		}
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return bridge.Watch(ctx, c, func(err error) {
			now, state, why := time.Now(), "joined", ""
			if err != nil {
				state, why = "not joined", command.OneLine(byFlag(err))
			}
			change(func() { p.enter(state, why, now) })
		}, func(msg []byte) error {
			now := time.Now()
			return change(func() { p.message(msg, now) })
		})
	})
	g.Go(func() error { return drawPanel(ctx, t, p, changes) })
	return g.Wait()
}

// drawPanel applies the changes and draws the panel until ctx ends; no other goroutine touches the panel.
func drawPanel(ctx context.Context, t *command.Terminal, p *panel, changes <-chan func()) error {
	ticker := time.NewTicker(panelEvery)
	defer ticker.Stop()
	for {
		if err := paint(t, p.text(time.Now())+"\nCtrl-C ends; piped, or with --lines, it prints the messages\n"); err != nil {
			return err
		}
		for drawn := false; !drawn; {
			select {
			case f := <-changes:
				f()
			case <-ticker.C:
				drawn = true
			case <-ctx.Done():
				return nil
			}
		}
	}
}

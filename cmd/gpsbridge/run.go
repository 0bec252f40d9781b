package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/spool"
	"gpsbridge/cmd/internal/command"
	"gpsbridge/systemd"
)

func runDaemon(ctx context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	flags := addConfigFlags(fs, "device", "device-id", "server", "listen", "record", "log-level", "token-file", "ca-file")
	if _, err := c.Parse(p, fs, args, 0); err != nil {
		return err
	}
	config, err := flags.load(p)
	if err != nil {
		return err
	}
	modest()
	hangup := hangups()
	level := logLevel(config.Log)
	log := newLogger(p, config.Log.Format, level)
	d, err := bridge.New(config, log)
	switch {
	case problem.CodeOf(err) == spool.CodeInUse: // another daemon: no fault of the configuration, and over when that ends
		return err
	case err != nil:
		return command.AsMisuse(err)
	}
	warnOfSecrets(log, config.Secrets())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error {
		defer cancel()
		return d.Run(ctx)
	})
	g.Go(func() error { return systemd.Notify(ctx, d.Ready(), func() string { return d.Status().Line() }) })
	g.Go(func() error { return systemd.Watchdog(ctx, d.Progress().Made) })
	g.Go(func() error {
		return reloadOn(ctx, hangup, log, func() ([]string, error) {
			config, err := flags.load(p)
			if err != nil {
				d.RejectReload(err)
				return nil, err
			}
			needRestart, err := d.Reload(config)
			if err == nil {
				level.Set(config.Log.Level)
			}
			return needRestart, err
		})
	})
	return g.Wait()
}

// modest limits what the daemon uses of a small board, unless GOMAXPROCS or GOGC is set. One core: the work is a chain of small
// steps, and at ten fixes a second a quarter of the CPU time went into passing them between cores. A heap that is collected
// twice as often: half a megabyte less is resident, and no more CPU time was measured at ten fixes a second.
func modest() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// hangups receives the signals that request a reload. With a terminal, or where it is ignored, SIGHUP keeps its usual
// meaning: the terminal has closed.
func hangups() <-chan os.Signal {
	if tty, err := os.Open("/dev/tty"); err == nil {
		tty.Close()
		return nil
	}
	if signal.Ignored(syscall.SIGHUP) {
		return nil
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return hangup
}

// reloadOn reloads the configuration at each signal until ctx ends.
func reloadOn(ctx context.Context, hangup <-chan os.Signal, log *slog.Logger, reload func() (needRestart []string, err error)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
		}
		needRestart, err := reload()
		switch {
		case err != nil:
			log.Error("configuration not reloaded, the old one is kept", "err", err)
		case len(needRestart) > 0:
			log.Warn("configuration reloaded, but some of it needs a restart", "restart", strings.Join(needRestart, ", "))
		default:
			log.Info("configuration reloaded")
		}
	}
}

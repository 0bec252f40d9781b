package main

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge"
	"gpsbridge/systemd"
)

func runDaemon(ctx context.Context, p process, c command, args []string) error {
	fs := newFlags(c)
	flags := addConfigFlags(fs)
	if _, err := parse(p, c, fs, args, 0); err != nil {
		return err
	}
	config, err := flags.load(p)
	if err != nil {
		return err
	}
	d, err := bridge.New(config, newLogger(p, config.Log))
	switch {
	case errors.Is(err, bridge.ErrSpoolInUse):
		return err
	case err != nil:
		return usageError{err}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error {
		defer cancel()
		return d.Run(ctx)
	})
	g.Go(func() error { return systemd.Notify(ctx, d.Ready(), func() string { return d.Status().Line() }) })
	return g.Wait()
}

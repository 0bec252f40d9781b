package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge"
	"gpsbridge/bridge/config"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
	"gpsbridge/cmd/internal/command"
)

// runDemo runs the whole chain on this machine: a simulated vehicle on a pseudo-terminal, the daemon that reads it,
// a tracking server, and between the two the same WebSocket and the same token as in the field.
func runDemo(ctx context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	rate := fs.Int("rate", 5, "fixes a second, 1 to 25, in `HZ`")
	listen := fs.String("listen", "", "`ADDRESS` of the viewer page (default "+relay.DefaultListen+", or a free port where that is taken)")
	if _, err := c.Parse(p, fs, args, 0); err != nil {
		return err
	}
	if err := checkRate(*rate); err != nil {
		return err
	}
	log := newLogger(p, "text", slog.LevelWarn)
	token, err := demoToken()
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(token))
	server, err := demoServer(*listen, token, log)
	switch {
	case err != nil && server == nil:
		return command.Misusef("--listen %q: the demo serves only this machine: use host:port, such as %q", *listen, relay.DefaultListen)
	case err != nil:
		return byFlag(err)
	}
	van := config.Default()
	van.DeviceID = "demo_van"
	van.Receivers = []config.ReceiverSection{{Source: fmt.Sprintf("sim:?rate=%d", *rate)}}
	van.Uplinks = []config.UplinkSection{{Name: "demo", Server: "ws://" + server.Addr(), Token: token}}
	van.Report.Sky = true
	van.Relay.Listen = "127.0.0.1:0"
	checked, err := van.Check()
	if err != nil {
		return err
	}
	d, err := bridge.New(checked, log)
	if err != nil {
		return command.AsMisuse(err)
	}
	return runTogether(ctx, p, server, d, van.DeviceID)
}

// runTogether stops the daemon before the server, so that the last fixes are acknowledged.
func runTogether(ctx context.Context, p command.Process, server *bridge.Server, d *bridge.Daemon, deviceID string) error {
	serverCtx, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServer()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { defer cancel(); return server.Run(serverCtx) })
	g.Go(func() error { defer stopServer(); defer cancel(); return d.Run(ctx) })
	g.Go(func() error {
		select {
		case <-d.Ready():
			fmt.Fprintf(p.Stdout, "Tracking server, as every viewer sees it:  http://%s/?device=%s\nIn the vehicle, as the technician sees it: %s\nCtrl-C ends both. Each line counts fixes, and messages that the server has acknowledged (fixes and lists of satellites).\n",
				server.Addr(), deviceID, d.Page())
			showLine(ctx, p.Stdout, func() string { return d.Status().Line() })
		case <-ctx.Done():
		}
		return nil
	})
	return g.Wait()
}

// demoServer listens at an address; without one at the usual, or where that is in use at any free port.
func demoServer(listen, token string, log *slog.Logger) (*bridge.Server, error) {
	open := func(listen string) (*bridge.Server, error) {
		return bridge.NewServer(config.Server{Config: relay.Config{Listen: listen}, PublishTokenFile: token}, log)
	}
	if listen != "" {
		return open(listen)
	}
	if s, err := open(relay.DefaultListen); err == nil {
		return s, nil
	}
	return open("127.0.0.1:0")
}

// demoToken creates a token in a directory of its own, and returns its file.
func demoToken() (file string, err error) {
	dir, err := os.MkdirTemp("", "gpsbridge-demo-")
	if err != nil {
		return "", fmt.Errorf("keep the demo's token: %w: have TMPDIR name a directory", err)
	}
	file = filepath.Join(dir, "token")
	_, err = secret.ReadOrCreate(file)
	return file, err
}

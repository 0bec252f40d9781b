package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
)

// newRelay makes the relay of the daemon.
func (d *Daemon) newRelay() (*relay.Relay, error) {
	r := d.config.Relay
	token, err := config.ReadSecret(r.Token)
	if err != nil {
		return nil, fmt.Errorf("relay.token_file: %w", err)
	}
	built, err := relay.New(relay.Config{
		Listen: r.Listen, Open: r.Open, Token: token, Origins: r.Origins,
		History: kept(r.History), SlowTimeout: time.Duration(r.SlowTimeout), MaxConns: r.MaxConns, Basemap: r.Basemap,
		CertFile: r.Cert, KeyFile: r.Key, SelfSigned: r.TLS == config.SelfSigned,
		Status: func() any { return d.Status() }, Ready: func() error { return observe.Health(d.Status()) }, Log: d.log,
		Metrics: observe.TrackerMetrics(d.Status, func() []relay.Metric { return d.relay.Metrics() }),
	})
	return built, inSection("relay", err)
}

// inSection returns the problems of err with a section in front of their keys.
func inSection(section string, err error) error {
	var errs []error
	for _, p := range problem.All(err) {
		errs = append(errs, p.In(section))
	}
	return errors.Join(errs...)
}

// kept is a history as package relay counts it, whose 0 means its default: here 0 means none.
func kept(history int) int {
	if history == 0 {
		return -1
	}
	return history
}

// relayRetry paces the attempts at an address that another program holds.
const relayRetry = 10 * time.Second

// serveViewers runs the relay. An address that cannot be had does not stop tracking: it is logged once and tried again.
func (d *Daemon) serveViewers(ctx context.Context) error {
	if d.relay == nil {
		close(d.ready)
		return nil
	}
	for first := true; ; first = false {
		err := d.relay.Listen()
		if first {
			close(d.ready)
		}
		if err == nil {
			d.log.Info("serving viewers", "page", d.Page())
			return d.relay.Serve(ctx)
		}
		if first {
			d.log.Error("no viewers can be served, tracking goes on", "err", inSection("relay", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(relayRetry):
		}
	}
}

// Page returns the address of the viewer page, "" while viewers are not served.
func (d *Daemon) Page() string {
	if d.relay == nil || d.relay.Addr() == nil {
		return ""
	}
	return d.relay.URL() + "?device=" + d.devices[0].id
}

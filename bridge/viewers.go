package bridge

import (
	"context"
	"time"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
)

// newRelay makes the relay of the daemon.
func (d *Daemon) newRelay() (*relay.Relay, error) {
	c := d.config.Relay.Config
	if err := d.tokenFiles().read(&c); err != nil {
		return nil, err
	}
	c.Status, c.Ready = func() any { return d.Status() }, func() error { return observe.Health(d.Status()) }
	c.Metrics, c.Log = observe.TrackerMetrics(d.Status, func() []relay.Metric { return d.relay.Metrics() }), d.log
	return relay.New(c)
}

func (d *Daemon) tokenFiles() tokenFiles { return tokenFiles{viewer: d.config.Relay.TokenFile} }

// relayRetry paces the attempts at an address that another program holds.
const relayRetry = 10 * time.Second

// serveViewers runs the relay. An address that cannot be had does not stop tracking: it is logged and tried again.
func (d *Daemon) serveViewers(ctx context.Context) error {
	if d.relay == nil {
		close(d.ready)
		return nil
	}
	var changes problem.Changes
	for first := true; ; first = false {
		err := d.relay.Listen()
		if first {
			close(d.ready)
		}
		if err == nil {
			d.log.Info("serving viewers", "page", d.Page())
			return d.relay.Serve(ctx)
		}
		if worth, _ := changes.Report(problem.Of(err), time.Now()); worth {
			d.log.Error("no viewers can be served, tracking goes on", "err", d.config.Explain("relay", err))
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

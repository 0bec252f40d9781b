package bridge

import (
	"context"
	"time"
)

// relayRetry paces the attempts at a port that somebody else holds.
const relayRetry = 10 * time.Second

// serveViewers runs the relay. A port that cannot be had is no reason to stop tracking: it is said once and tried
// again.
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
			d.log.Error("no viewers can be served, tracking goes on", "err", err)
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
	return d.relay.URL() + "?device=" + d.tracks[0].deviceID
}

package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"time"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
)

// newRelay makes the relay of the daemon; nil when viewers cannot be served. Its files do not stop tracking: with a token that is
// missing or not allowed the relay is locked, by one that no viewer knows, until the file is right; without its certificate there
// is no relay until the next start.
func (d *Daemon) newRelay() (*relay.Relay, error) {
	c := d.config.Relay.Config
	c.Status, c.Ready = func() any { return d.Status() }, func() error { return observe.Health(d.Status()) }
	c.Metrics, c.Log = observe.TrackerMetrics(d.Status, func() []relay.Metric { return d.relay.Metrics() }), d.log
	c.Track = d.day
	lock := func(err error) {
		d.locked.Store(problem.Of(err).In("relay"))
		c.Token = rand.Text()
	}
	if err := d.tokenFiles().read(&c); err != nil {
		lock(err)
	}
	r, err := relay.New(c)
	if p := problem.Of(err); p != nil && p.Key == "token_file" {
		lock(err)
		r, err = relay.New(c)
	}
	if problem.CodeOf(err) == relay.CodeCertificateFile {
		lock(err)
		return nil, nil
	}
	return r, err
}

func (d *Daemon) tokenFiles() tokenFiles { return tokenFiles{viewer: d.config.Relay.TokenFile} }

// applyTokens reads the viewers' token again. An error leaves the one that is in use.
func (d *Daemon) applyTokens() error {
	err := d.tokenFiles().apply(d.relay)
	if err == nil {
		d.locked.Store(nil)
	}
	return err
}

// unlock creates the viewers' token where its file is missing.
func (d *Daemon) unlock() {
	p := d.locked.Load()
	if p == nil {
		return
	}
	if errors.Is(p, fs.ErrNotExist) {
		if _, err := secret.ReadOrCreate(d.config.Relay.TokenFile); err == nil && d.applyTokens() == nil {
			d.log.Info("created a token for viewers", "file", d.config.Relay.TokenFile)
			return
		}
	}
	d.log.Error("no viewer is admitted, tracking goes on", "err", d.config.Explain("", p))
}

// relayRetry paces the attempts at an address that another program holds.
const relayRetry = 10 * time.Second

// serveViewers runs the relay. An address that cannot be had does not stop tracking: it is logged and tried again.
func (d *Daemon) serveViewers(ctx context.Context) error {
	if d.relay == nil {
		if p := d.locked.Load(); p != nil {
			d.log.Error("no viewers are served until the next start, tracking goes on", "err", d.config.Explain("", p))
		}
		close(d.ready)
		return nil
	}
	d.unlock()
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

package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
)

// drainTimeout bounds the wait for acknowledgements at shutdown. An echo takes milliseconds to a second or two; who pressed
// Ctrl-C wants the prompt back within five, of which closing the connections may take two.
const drainTimeout = 2500 * time.Millisecond

// Daemon is a tracker: one receiver, the spool, the uplinks, the viewers' relay.
type Daemon struct {
	config  Config
	log     *slog.Logger
	started time.Time

	intakes []*intake
	spool   *spool.Spool
	uplinks []*uplink.Uplink
	relay   *relay.Relay // nil when off
	ready   chan struct{}

	networkChanged []chan struct{} // one an uplink
}

// New puts a daemon together from a validated configuration and opens its spool; nothing else is opened yet. An error is
// ErrSpoolInUse, or else the configuration's fault and names the key. Run closes what New opened.
func New(c Config, log *slog.Logger) (*Daemon, error) {
	d := &Daemon{config: c, log: log, started: time.Now(), ready: make(chan struct{})}
	var err error
	if d.spool, err = d.config.openSpool(log); err != nil {
		return nil, err
	}
	if err := d.assemble(); err != nil {
		d.spool.Close()
		return nil, err
	}
	return d, nil
}

// assemble builds what is around the spool, from the servers back to the receivers.
func (d *Daemon) assemble() error {
	for _, c := range d.config.Uplinks {
		u, err := c.build(d)
		if err != nil {
			return fmt.Errorf("uplink %q: %w", c.Name, err)
		}
		d.uplinks = append(d.uplinks, u)
	}
	show := func(string, string, []byte) {}
	if d.config.Relay.Listen != "off" {
		r, err := d.config.Relay.build(d)
		if err != nil {
			return err
		}
		d.relay, show = r, r.Publish
	}
	for _, c := range d.config.Receivers {
		in, err := c.build(d, show)
		if err != nil {
			return fmt.Errorf("receiver: %w", err)
		}
		d.intakes = append(d.intakes, in)
	}
	return nil
}

// Check says what is wrong with a validated configuration that only the parts know. Nothing is opened.
func Check(c Config) error {
	c.Spool.Dir, c.Spool.Runtime = "", ""
	d, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return d.spool.Close()
}

// Run works until ctx ends or every receiver has come to an end (a file, stdin), then stops in stages: intake first,
// then what is spooled is sent and acknowledged, then uplinks and viewers are closed. No goroutine is left.
func (d *Daemon) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	down, stopDown := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDown()
	downstream, dctx := errgroup.WithContext(down)
	context.AfterFunc(dctx, cancel) // a sink that fails stops the intake

	d.log.Info("starting", "version", Version(), "device_id", d.config.DeviceID)
	if len(d.uplinks) == 0 {
		d.log.Warn("no tracking server: fixes go to local viewers only; name a server with --server URL or [[uplink]]")
	}
	for _, u := range d.uplinks {
		downstream.Go(func() error { return u.Run(dctx) })
	}
	downstream.Go(func() error { return d.serveViewers(dctx) })
	downstream.Go(func() error { return d.reportDrops(dctx) })
	downstream.Go(func() error { return watchNetwork(dctx, network, d.networkChanged...) })

	intake, ictx := errgroup.WithContext(ctx)
	for _, in := range d.intakes {
		intake.Go(func() error { return in.Run(ictx) })
	}
	err := intake.Wait()
	d.drain(ctx, dctx)
	stopDown()
	return errors.Join(err, downstream.Wait(), d.closeSpool())
}

// drain waits for the acknowledgement of everything spooled: as long as it takes when the receivers came to their
// end by themselves, and once ctx has ended for drainTimeout at the most, by uplinks whose server can be reached.
func (d *Daemon) drain(ctx, dctx context.Context) {
	for _, u := range d.config.Uplinks {
		d.spool.Reader(u.Name).Drained(ctx)
	}
	limited, cancel := context.WithTimeout(dctx, drainTimeout)
	defer cancel()
	for _, u := range d.uplinks {
		u.Drain(limited) // what is left is said by closeSpool
	}
}

// Ready is closed when the receivers are being read and the relay has tried to listen.
func (d *Daemon) Ready() <-chan struct{} { return d.ready }

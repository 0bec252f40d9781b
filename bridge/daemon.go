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
}

// New puts a daemon together from a validated configuration. Nothing is opened yet; an error is the configuration's
// fault and names the key.
func New(c Config, log *slog.Logger) (*Daemon, error) {
	d := &Daemon{config: c, log: log, started: time.Now(), ready: make(chan struct{})}
	var names []string
	for _, u := range c.Uplinks {
		names = append(names, u.Name)
	}
	var err error
	if d.spool, err = spool.Open(spool.Options{Max: int64(c.Spool.Max), Readers: names}); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	for _, u := range c.Uplinks {
		up, err := u.build(d.spool.Reader(u.Name), log)
		if err != nil {
			return nil, fmt.Errorf("uplink %q: %w", u.Name, err)
		}
		d.uplinks = append(d.uplinks, up)
	}
	show := func(string, string, []byte) {}
	if c.Relay.Listen != "off" {
		if d.relay, err = c.Relay.build(d, log); err != nil {
			return nil, err
		}
		show = d.relay.Publish
	}
	for _, r := range c.Receivers {
		in, err := r.build(d, show)
		if err != nil {
			return nil, fmt.Errorf("receiver: %w", err)
		}
		d.intakes = append(d.intakes, in)
	}
	return d, nil
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

// closeSpool says what is lost with the process.
func (d *Daemon) closeSpool() error {
	if st := d.spool.Stats(); st.Records > 0 {
		d.log.Warn("fixes not delivered are lost: the spool is in memory", "records", st.Records)
	}
	return d.spool.Close()
}

// reportDrops says once a minute what a full spool has dropped since it last said so.
func (d *Daemon) reportDrops(ctx context.Context) error {
	var told uint64
	for ticker := time.NewTicker(time.Minute); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return nil
		case <-ticker.C:
		}
		if st := d.spool.Stats(); st.Dropped > told {
			d.log.Warn("spool is full and drops its oldest fixes: raise spool.max or mend the uplink",
				"dropped", st.Dropped-told, "max_bytes", st.MaxBytes)
			told = st.Dropped
		}
	}
}

// Ready is closed when the receivers are being read and the relay has tried to listen.
func (d *Daemon) Ready() <-chan struct{} { return d.ready }

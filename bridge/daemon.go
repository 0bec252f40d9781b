package bridge

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/spool"
)

// drainTimeout bounds the wait for acknowledgements at shutdown. An echo takes milliseconds to a second or two; who pressed
// Ctrl-C wants the prompt back within five, of which closing the connections may take two.
const drainTimeout = 2500 * time.Millisecond

// ErrSpoolInUse says that another daemon has the spool's folder: no fault of the configuration, and over when that ends.
var ErrSpoolInUse = spool.ErrInUse

// Daemon is a tracker: for each device ID its receivers, spool and uplinks, and one relay for the viewers of all.
type Daemon struct {
	config  Config
	log     *slog.Logger
	started time.Time
	relay   *relay.Relay // nil when off
	tracks  []*track
	loops   loops
	ready   chan struct{}
}

// New puts a daemon together from a validated configuration and opens its spool; nothing else is opened yet. An error is
// ErrSpoolInUse, or else the configuration's fault and names the key. Run closes what New opened.
func New(c Config, log *slog.Logger) (*Daemon, error) {
	d := &Daemon{config: c, log: log, started: time.Now(), ready: make(chan struct{})}
	if c.Relay.Listen != "off" {
		var err error
		if d.relay, err = c.Relay.build(d); err != nil {
			return nil, c.at("relay", err)
		}
	}
	for _, id := range c.DeviceIDs() {
		t, err := newTrack(d, id)
		if err != nil {
			return nil, errors.Join(err, d.closeTracks())
		}
		d.tracks = append(d.tracks, t)
	}
	return d, nil
}

// Check says what is wrong with a validated configuration that only the parts know. Nothing is opened.
func Check(c Config) error {
	c.Spool.Dir, c.Spool.Runtime = "", ""
	d, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return d.closeTracks()
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

	d.log.Info("starting", "version", Version(), "device_id", d.config.DeviceIDs())
	if len(d.tracks[0].links) == 0 {
		d.log.Warn("no tracking server: fixes go to local viewers only; name a server with --server URL or [[uplink]]")
	}
	for _, t := range d.tracks {
		t.run(dctx, downstream)
	}
	downstream.Go(func() error { return d.serveViewers(dctx) })
	downstream.Go(func() error { return watchNetwork(dctx, network, d.networkChanged()...) })

	intake, ictx := errgroup.WithContext(ctx)
	for _, t := range d.tracks {
		for _, in := range t.intakes {
			intake.Go(func() error { return in.Run(ictx) })
		}
	}
	err := intake.Wait()
	d.drain(ctx, dctx)
	stopDown()
	return errors.Join(err, downstream.Wait(), d.closeTracks())
}

// drain waits for the acknowledgement of everything spooled: as long as it takes when the receivers came to their
// end by themselves, and once ctx has ended for drainTimeout at the most, by uplinks whose server can be reached.
func (d *Daemon) drain(ctx, dctx context.Context) {
	for _, t := range d.tracks {
		t.drained(ctx)
	}
	limited, cancel := context.WithTimeout(dctx, drainTimeout)
	defer cancel()
	var draining sync.WaitGroup // a server that hangs has none of the others' time
	for _, t := range d.tracks {
		for _, l := range t.links {
			draining.Go(func() { l.current().Drain(limited) }) // what is left is said by close
		}
	}
	draining.Wait()
}

func (d *Daemon) closeTracks() error {
	var errs []error
	for _, t := range d.tracks {
		errs = append(errs, t.close())
	}
	return errors.Join(errs...)
}

// show gives a message to the viewers.
func (d *Daemon) show(deviceID, class string, msg []byte) {
	if d.relay != nil {
		d.relay.Publish(deviceID, class, msg)
	}
}

// networkChanged are the channels on which links are told.
func (d *Daemon) networkChanged() (all []chan struct{}) {
	for _, t := range d.tracks {
		for _, l := range t.links {
			all = append(all, l.changed)
		}
	}
	return all
}

// Ready is closed when the receivers are being read and the relay has tried to listen.
func (d *Daemon) Ready() <-chan struct{} { return d.ready }

package bridge

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/uplink"
)

// drainTimeout bounds the wait for acknowledgements at shutdown. An echo takes milliseconds to a second or two; a person who
// pressed Ctrl-C wants the prompt back within five, of which closing the connections may take two.
const drainTimeout = 2500 * time.Millisecond

// Daemon is a tracker: for each device ID its receivers, spool and uplinks, and one relay for the viewers of all.
type Daemon struct {
	config       config.Config
	log          *slog.Logger
	synchronised func() bool // the system's clock is
	started      time.Time
	relay        *relay.Relay // nil when off
	devices      []*device    // of the configuration, then former ones, see formerDevices
	beats        observe.Beats
	locked       atomic.Pointer[problem.Problem] // why no viewer is admitted; nil while viewers are
	rejected     atomic.Pointer[problem.Problem] // why the last reload was rejected; nil when it was not
	ready        chan struct{}
}

// New puts a daemon together from a checked configuration and opens its spools; nothing else is opened yet. Its errors are
// problems: that of spool.CodeInUse, or those of the configuration. Run closes what New opened.
func New(c config.Config, log *slog.Logger) (*Daemon, error) {
	return newDaemon(c, ClockSynchronised, log)
}

func newDaemon(c config.Config, synchronised func() bool, log *slog.Logger) (*Daemon, error) {
	d := &Daemon{config: c, log: log, synchronised: synchronised, started: time.Now(), ready: make(chan struct{})}
	if !c.Relay.Off() {
		var err error
		if d.relay, err = d.newRelay(); err != nil {
			return nil, c.Explain("relay", err)
		}
	}
	seldomSynchronised := seldom(synchronised)
	parts := surroundings{log: log, beats: &d.beats, relay: d.relay, clock: d.certificateTime,
		system: func() (time.Time, time.Duration) { return systemTime(seldomSynchronised()) },
	}
	for _, id := range c.DeviceIDs() {
		dv, err := newDevice(&c, id, parts)
		if err != nil {
			return nil, errors.Join(err, d.closeDevices())
		}
		d.devices = append(d.devices, dv)
	}
	d.devices = append(d.devices, formerDevices(&c, parts)...)
	return d, nil
}

// Check finds what is wrong with a configuration that only the parts know. Nothing is opened.
func Check(c config.Config) error {
	c.Spool.Dir, c.Spool.Runtime = "", ""
	d, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if p := d.locked.Load(); p != nil && !unseen(p) {
		err = c.Explain("", p)
	}
	return errors.Join(err, d.closeDevices())
}

// unseen reports whether a problem is of a file that the daemon may read and this process not: its user is another, or it has no
// credentials, which systemd gives to the commands of ExecReload= in Debian 12 (252) and not in Debian 13 (257).
func unseen(p *problem.Problem) bool {
	var file *fs.PathError
	return errors.Is(p, fs.ErrPermission) || errors.As(p, &file) && strings.Contains(file.Path, config.Credentials)
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
	if len(d.config.Uplinks) == 0 {
		d.log.Warn("no tracking server: fixes go to local viewers only; name a server with --server URL or [[uplink]]")
	}
	for _, dv := range d.devices {
		dv.run(dctx, downstream)
	}
	downstream.Go(func() error { return d.serveViewers(dctx) })
	if d.relay != nil {
		downstream.Go(func() error { return d.tokenFiles().watch(dctx, d.applyTokens, d.log) })
	}
	downstream.Go(func() error { return watchNetwork(dctx, network, d.linksUp, d.networkChanged()...) })

	intake, ictx := errgroup.WithContext(ctx)
	for _, dv := range d.devices {
		for _, in := range dv.intakes {
			intake.Go(func() error { return in.Run(ictx) })
		}
	}
	err := intake.Wait()
	d.drain(ctx, dctx)
	stopDown()
	return errors.Join(err, downstream.Wait(), d.closeDevices())
}

// drain waits for the acknowledgement of everything spooled: as long as it takes when the receivers came to their
// end by themselves, and once ctx has ended for drainTimeout at the most, by uplinks whose server can be reached.
func (d *Daemon) drain(ctx, dctx context.Context) {
	for _, dv := range d.devices {
		for _, l := range dv.links {
			l.queue.Release()
		}
	}
	for _, dv := range d.devices {
		dv.drained(ctx)
	}
	limited, cancel := context.WithTimeout(dctx, drainTimeout)
	defer cancel()
	var draining sync.WaitGroup // a server that hangs does not delay the others
	for _, dv := range d.devices {
		for _, l := range dv.links {
			draining.Go(func() { l.current().Drain(limited) }) // what is left is logged by close
		}
	}
	draining.Wait()
}

func (d *Daemon) closeDevices() error {
	var errs []error
	for _, dv := range d.devices {
		errs = append(errs, dv.close())
	}
	return errors.Join(errs...)
}

// certificateTime is CertificateTime now, with the latest time of the daemon's receivers.
func (d *Daemon) certificateTime() (time.Time, string) {
	now := time.Now()
	var receiver time.Time
	for _, dv := range d.devices {
		for _, in := range dv.intakes {
			if clock := in.Clock(now); clock.After(receiver) {
				receiver = clock
			}
		}
	}
	return CertificateTime(now, d.synchronised(), receiver)
}

// networkChanged are the channels of the links that are to try again when the network has changed.
func (d *Daemon) networkChanged() (all []chan struct{}) {
	for _, dv := range d.devices {
		for _, l := range dv.links {
			all = append(all, l.changed)
		}
	}
	return all
}

// linksUp reports whether every server is connected.
func (d *Daemon) linksUp() bool {
	for _, dv := range d.devices {
		for _, l := range dv.links {
			if l.current().Status().State != uplink.Connected {
				return false
			}
		}
	}
	return true
}

// Ready is closed when the receivers are being read and the relay has tried to listen.
func (d *Daemon) Ready() <-chan struct{} { return d.ready }

// Progress returns what watches the daemon for the watchdog.
func (d *Daemon) Progress() *observe.Progress { return observe.NewProgress(&d.beats, d.Status, d.log) }

// Status returns the state of every part. It may be called from any goroutine.
func (d *Daemon) Status() observe.Status {
	st := observe.Status{
		Role: "tracker", Version: Version(), DeviceID: d.devices[0].id,
		Started: d.started, Now: time.Now(), Uplinks: []observe.UplinkStatus{}, Problem: d.rejected.Load(),
	}
	for _, dv := range d.devices {
		if !dv.done.Load() {
			dv.status(&st)
		}
	}
	st.Spool = observe.SumOfSpools(st.Devices)
	if d.relay != nil {
		rs := d.relay.Status()
		rs.Problem = cmp.Or(rs.Problem.In("relay"), d.locked.Load())
		st.Relay = &rs
	}
	return st
}

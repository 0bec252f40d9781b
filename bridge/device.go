package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/kinds"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/track"
	"gpsbridge/nmea"
)

// device is one device ID's way through the daemon: its receivers, the feed that they come together in, its spool, and a
// link to each tracking server.
type device struct {
	id         string
	log        *slog.Logger
	spoolDir   string      // "" in memory
	runtimeDir string      // on a tmpfs, "" without one
	former     bool        // no receiver feeds it: it delivers what was spooled while one did
	done       atomic.Bool // of a former one: everything is delivered
	quarantine *quarantine
	servers    *servers

	day     *track.Day // its own track, nil where no relay serves it
	intakes []*pipeline.Intake
	feed    *pipeline.Feed
	spool   *spool.Spool
	links   []*link
}

// surroundings are what a device gets from its daemon.
type surroundings struct {
	log    *slog.Logger
	beats  *observe.Beats
	relay  *relay.Relay                                 // nil when off
	clock  func() (time.Time, string)                   // the time at which certificates are verified, and its source
	system func() (now time.Time, behind time.Duration) // see SystemTime
}

// newDevice opens the spool of a device ID and builds what is around it, from the servers back to the receivers.
func newDevice(c *config.Config, id string, s surroundings) (*device, error) {
	d := &device{id: id, log: s.log, former: !slices.Contains(c.DeviceIDs(), id)}
	if len(c.DeviceIDs()) > 1 {
		d.log = s.log.With("device_id", id)
	}
	if err := d.openSpool(c, s.beats.Add("spool of "+id)); err != nil {
		return nil, err
	}
	d.quarantine, d.servers = newQuarantine(d.spoolDir, d.log), newServers(d.spoolDir, d.log)
	if s.relay != nil && !d.former {
		d.day = openDay(d.spoolDir, d.runtimeDir, d.log)
	}
	if err := errors.Join(d.addLinks(c, s), d.addReceivers(c, s)); err != nil {
		d.spool.Close()
		return nil, err
	}
	return d, nil
}

// formerDevices are those whose fixes wait in a spool since the configuration was another: they go to the groups of the device
// IDs that they were made for, and not to that of another. A spool that another daemon uses is left to it.
func formerDevices(c *config.Config, s surroundings) (all []*device) {
	for _, id := range c.FormerIDs() {
		held, err := spool.Inspect(c.SpoolDirs(id))
		if errors.Is(err, fs.ErrNotExist) || err == nil && held.Records == 0 { // not a spool, or nothing waits in it
			continue
		}
		d, err := newDevice(c, id, s)
		if problem.CodeOf(err) == spool.CodeInUse {
			continue
		}
		if err != nil {
			s.log.Error("fixes of a former device ID cannot be delivered, they are kept", "device_id", id, "err", err)
			continue
		}
		s.log.Info("fixes of a former device ID wait, they are sent to its own group", "device_id", id, "records", held.Records)
		all = append(all, d)
	}
	return all
}

// openSpool opens the spool for the uplinks. A disk that cannot be used does not stop tracking: then fixes are held in
// memory, and the log shows it.
func (d *device) openSpool(c *config.Config, beat func(time.Duration)) error {
	o := c.Spool
	o.Beat, o.Log = beat, d.log
	o.Dir, o.Runtime = c.SpoolDirs(d.id)
	for _, u := range c.Uplinks {
		o.Readers = append(o.Readers, u.Name)
	}
	var err error
	if d.spool, err = spool.Open(o); err != nil && o.Dir != "" && problem.CodeOf(err) != spool.CodeInUse {
		d.log.Error("the spool's directory cannot be used, fixes are held in memory and end with the daemon: correct spool.dir", "err", c.Explain("spool", err))
		o.Dir, o.Runtime, o.Max = "", "", min(o.Max, spool.DefaultMax)
		d.spool, err = spool.Open(o)
	}
	d.spoolDir, d.runtimeDir = o.Dir, o.Runtime
	return c.Explain("spool", err)
}

func (d *device) addLinks(c *config.Config, s surroundings) error {
	for i, u := range c.Uplinks {
		l, err := newLink(d, u, c.Report.Batch, s)
		if err != nil {
			return c.Explain(fmt.Sprintf("uplink[%d]", i), err)
		}
		d.links = append(d.links, l)
	}
	return nil
}

func (d *device) addReceivers(c *config.Config, s surroundings) error {
	fc := pipeline.FeedConfig{DeviceID: d.id, Limits: c.Report, Keep: d.spool.Append, Show: func(string, string, []byte) {}, Log: s.log}
	if s.relay != nil {
		fc.Show = s.relay.Publish
	}
	fc.Kept = func(atOnce bool) {
		for _, l := range d.links {
			l.queue.Kept(atOnce)
		}
	}
	if d.day != nil {
		fc.Track = func(f *nmea.Fix) { d.day.Add(point(f)) }
	}
	d.feed = pipeline.NewFeed(fc)
	for i, r := range c.Receivers {
		if r.DeviceID != d.id {
			continue
		}
		if err := d.addReceiver(r, s); err != nil {
			return c.Explain(fmt.Sprintf("receiver[%d]", i), err)
		}
	}
	return nil
}

func (d *device) addReceiver(c config.Receiver, s surroundings) error {
	c.Log, c.Record.Log, c.Share.Log = s.log, s.log, s.log
	c.Alive = s.beats.Add("receiver " + c.Source)
	src, err := kinds.Parse(c.Source)
	if err != nil {
		return err
	}
	rec := receiver.New(src, c.Config)
	in := pipeline.IntakeConfig{
		Source: c.Source, Calendar: calendar(c.Rollover, rec.Finite(), s.system), AllowNoChecksum: c.AllowNoChecksum,
		Record: c.Record, Share: c.Share,
	}
	if s.relay != nil {
		in.Viewers = pipeline.RawViewers(s.relay, d.id, c.Source)
	}
	d.intakes = append(d.intakes, pipeline.NewIntake(rec, d.feed, in))
	return nil
}

// run works on the sending side of the device until ctx ends.
func (d *device) run(ctx context.Context, g *errgroup.Group) {
	if d.former {
		ctx = d.untilDelivered(ctx, g)
	}
	for _, l := range d.links {
		g.Go(func() error { return l.run(ctx) })
	}
	g.Go(func() error { return d.everyMinute(ctx) })
}

// untilDelivered returns a context that ends with ctx, and when every server has acknowledged everything.
func (d *device) untilDelivered(ctx context.Context, g *errgroup.Group) context.Context {
	until, stop := context.WithCancel(ctx)
	g.Go(func() error {
		defer stop()
		d.drained(ctx)
		if ctx.Err() == nil {
			d.done.Store(true)
			d.log.Info("all fixes of a former device ID are delivered", "device_id", d.id)
		}
		return nil
	})
	return until
}

// everyMinute does what is done once a minute, until ctx ends.
func (d *device) everyMinute(ctx context.Context) error {
	logged := d.spool.Stats().Dropped
	for ticker := time.NewTicker(time.Minute); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return nil
		case <-ticker.C:
		}
		logged = d.reportDrops(logged)
		if err := saveDay(d.day, d.runtimeDir); err != nil {
			d.log.Debug("the track is not on the tmpfs", "err", err)
		}
	}
}

// reportDrops logs what a full spool, or one whose disk has failed, has dropped since that was logged the last time.
func (d *device) reportDrops(logged uint64) uint64 {
	st := d.spool.Stats()
	if st.Dropped != logged {
		why := "spool is full and thins its oldest fixes: raise spool.max, or find out why the server is not reached"
		if st.Problem != nil {
			why = "spool's disk cannot be written and its oldest fixes are thinned: replace the disk, or set spool.dir to another"
		}
		d.log.Warn(why, "dropped", st.Dropped-logged, "max_bytes", st.MaxBytes, "problem", st.Problem)
	}
	return st.Dropped
}

// drained waits until every server has acknowledged everything, or ctx ends.
func (d *device) drained(ctx context.Context) {
	for _, l := range d.links {
		l.queue.Drained(ctx)
	}
}

// close saves the track, and logs what stays in the spool, or is lost with the process.
func (d *device) close() error {
	if err := saveDay(d.day, d.spoolDir); err != nil {
		d.log.Warn("the track of this run is lost", "err", err)
	}
	st, err := d.spool.Stats(), d.spool.Close()
	switch {
	case st.Records == 0:
	case d.spoolDir == "":
		d.log.Warn("fixes not delivered are lost: the spool is in memory, set spool.dir to keep it", "records", st.Records)
	case err == nil:
		d.log.Info("fixes not delivered yet are kept for the next start", "records", st.Records, "dir", d.spoolDir)
	}
	return err
}

// status adds the device to the daemon's.
func (d *device) status(st *observe.Status) {
	feed, held := d.feed.Status(), d.spool.Stats()
	held.Problem = held.Problem.In("spool")
	st.Takeovers += feed.Takeovers
	for _, in := range d.intakes {
		st.Receivers = append(st.Receivers, in.Status(feed))
	}
	for _, l := range d.links {
		st.Uplinks = append(st.Uplinks, l.status(feed))
	}
	st.Devices = append(st.Devices, observe.DeviceStatus{
		DeviceID: d.id, Run: feed.Run, Reported: feed.Reported, Takeovers: feed.Takeovers, Spool: held,
	})
}

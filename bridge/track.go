package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge/spool"
)

// track is one device ID's way through the daemon: its receivers, the feed that they come together in, its spool, and a
// link to each tracking server.
type track struct {
	deviceID string
	log      *slog.Logger
	folder   string // of the spool on disk; "" in memory
	asides   sync.Mutex

	intakes []*intake
	feed    *feed
	spool   *spool.Spool
	links   []*link
}

// DeviceIDs are those that the receivers feed, in the order of the configuration.
func (c *Config) DeviceIDs() (ids []string) {
	seen := map[string]bool{}
	for _, r := range c.Receivers {
		if !seen[r.DeviceID] {
			ids = append(ids, r.DeviceID)
		}
		seen[r.DeviceID] = true
	}
	return ids
}

// newTrack opens the spool of a device ID and builds what is around it, from the servers back to the receivers.
func newTrack(d *Daemon, deviceID string) (*track, error) {
	t := &track{deviceID: deviceID, log: d.log}
	if len(d.config.DeviceIDs()) > 1 {
		t.log = d.log.With("device_id", deviceID)
	}
	if err := t.openSpool(d); err != nil {
		return nil, err
	}
	if err := t.assemble(d); err != nil {
		t.spool.Close()
		return nil, err
	}
	return t, nil
}

func (t *track) assemble(d *Daemon) error {
	for i, c := range d.config.Uplinks {
		l, err := newLink(d, t, c)
		if err != nil {
			return d.config.at(numbered("uplink", i), fmt.Errorf("uplink %q: %w", c.Name, err))
		}
		t.links = append(t.links, l)
	}
	t.feed = &feed{
		deviceID: t.deviceID, keep: t.spool.Append, keepSky: d.config.Report.Sky, show: d.show,
		messages: newMessages(t.deviceID), report: reporter{limits: d.config.Report}, log: d.log,
	}
	for i, c := range d.config.Receivers {
		if c.DeviceID != t.deviceID {
			continue
		}
		in, err := c.build(d, t.feed)
		if err != nil {
			return d.config.at(numbered("receiver", i), fmt.Errorf("receiver: %w", err))
		}
		t.intakes = append(t.intakes, in)
	}
	t.feed.failover = newFailover(len(t.intakes))
	return nil
}

// openSpool opens the spool for the uplinks. A disk that cannot be used is no reason to stop tracking: then fixes are
// held in memory, and it is said.
func (t *track) openSpool(d *Daemon) error {
	c := &d.config
	o := spool.Options{Max: int64(c.Spool.Max), MinFree: int64(c.Spool.MinFree), Sync: time.Duration(c.Spool.Sync), Log: t.log}
	o.Turn = d.loops.add("spool of " + t.deviceID).turn
	o.Dir, o.Runtime = c.SpoolFolders(t.deviceID)
	for _, u := range c.Uplinks {
		o.Readers = append(o.Readers, u.Name)
	}
	var err error
	if t.spool, err = spool.Open(o); err != nil && o.Dir != "" && !errors.Is(err, ErrSpoolInUse) {
		t.log.Error("the spool's folder cannot be used, fixes are held in memory and end with the daemon: mend spool.dir", "err", err)
		o.Dir, o.Runtime, o.Max = "", "", min(o.Max, spool.DefaultMax)
		t.spool, err = spool.Open(o)
	}
	t.folder = o.Dir
	return err
}

// run works on the sending side of the track until ctx ends.
func (t *track) run(ctx context.Context, g *errgroup.Group) {
	for _, l := range t.links {
		g.Go(func() error { return l.run(ctx) })
	}
	g.Go(func() error { return t.reportDrops(ctx) })
}

// reportDrops says once a minute what a full spool, or one whose disk has failed, has dropped since it last said so.
func (t *track) reportDrops(ctx context.Context) error {
	told := t.spool.Stats().Dropped
	for ticker := time.NewTicker(time.Minute); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return nil
		case <-ticker.C:
		}
		st := t.spool.Stats()
		if st.Dropped == told {
			continue
		}
		why := "spool is full and thins its oldest fixes: raise spool.max or mend the uplink"
		if st.Fault != "" {
			why = "spool's disk takes nothing and its oldest fixes are thinned: mend the disk, or set spool.dir to another"
		}
		t.log.Warn(why, "dropped", st.Dropped-told, "max_bytes", st.MaxBytes, "fault", st.Fault)
		told = st.Dropped
	}
}

// drained waits until every server has acknowledged everything, or ctx ends.
func (t *track) drained(ctx context.Context) {
	for _, l := range t.links {
		l.reader.Drained(ctx)
	}
}

// close says what stays in the spool, or is lost with the process.
func (t *track) close() error {
	st, err := t.spool.Stats(), t.spool.Close()
	switch {
	case st.Records == 0:
	case t.folder == "":
		t.log.Warn("fixes not delivered are lost: the spool is in memory, set spool.dir to keep it", "records", st.Records)
	case err == nil:
		t.log.Info("fixes not delivered yet are kept for the next start", "records", st.Records, "dir", t.folder)
	}
	return err
}

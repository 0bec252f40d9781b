package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/kinds"
)

// daemon is the one that runs on this machine, if one does.
type daemon struct {
	find    func(context.Context) (*observe.Status, error) // Options.Daemon
	fixTime func(context.Context, string) time.Time        // Options.FixTime
	status  *observe.Status                                // the newest, nil without a daemon
	alone   bool                                           // no daemon runs, as far as can be known
}

// examine finds out whether one runs.
func (d *daemon) examine(ctx context.Context, c config.Config) Link {
	const name = "daemon"
	st, err := d.find(ctx)
	d.status, d.alone = st, err == nil && st == nil && !c.Relay.Off()
	switch {
	case err != nil:
		p := *problem.Of(err)
		p.Code = cmp.Or(p.Code, DaemonUnclear)
		return warning(name, &p)
	case st == nil && c.Relay.Off():
		return skipped(name, "its relay is off, so it cannot be asked: the port is opened here")
	case st == nil:
		return skipped(name, "none answers at "+c.Relay.Listen+": the port is opened here")
	case st.DeviceID != c.DeviceID:
		return warning(name, &problem.Problem{Code: OtherDaemon, Key: "device_id",
			Cause: fmt.Sprintf("running as device %s, which is not the configuration's", st.DeviceID), Fix: "name its configuration with -c FILE, or restart it"})
	}
	return ok(name, fmt.Sprintf("running for %v, version %s", st.Now.Sub(st.Started).Round(time.Second), st.Version))
}

// ask asks the daemon again, if one runs. The last status of one that has gone meanwhile stays.
func (d *daemon) ask(ctx context.Context) {
	if d.status == nil {
		return
	}
	if st, err := d.find(ctx); err == nil && st != nil {
		d.status = st
	}
}

// receiver is the daemon's status of the receiver of a source. A source that the daemon does not read is for the
// doctor to open; but when none was named, the daemon's one receiver is meant.
func (d *daemon) receiver(c config.Receiver) (pipeline.ReceiverStatus, bool) {
	if d.status == nil {
		return pipeline.ReceiverStatus{}, false
	}
	path, _, _ := strings.Cut(c.Source, "?")
	for _, r := range d.status.Receivers {
		if r.Source == c.Source || r.Port == path {
			return r, true
		}
	}
	if c.Source == kinds.Default && len(d.status.Receivers) == 1 {
		return d.status.Receivers[0], true
	}
	return pipeline.ReceiverStatus{}, false
}

// watch asks until what matters comes now, and not only came at some time since the daemon's start.
func (d *daemon) watch(ctx context.Context, c config.Receiver) observed {
	ctx, cancel := context.WithTimeout(ctx, quietWait)
	defer cancel()
	first, _ := d.receiver(c)
	return until(ctx, 5*lookEvery, false, first, func() observed {
		o := observed{beside: true}
		d.ask(ctx)
		o.ReceiverStatus, _ = d.receiver(c)
		return o
	})
}

// uplink is the daemon's status of its way to a server.
func (d *daemon) uplink(name, id string) (observe.UplinkStatus, bool) {
	if d.status == nil {
		return observe.UplinkStatus{}, false
	}
	for _, u := range d.status.Uplinks {
		if u.Name == name && u.DeviceID == id {
			return u, true
		}
	}
	return observe.UplinkStatus{}, false
}

// newFix returns a test of whether a message is a fix that the daemon has sent since its status was taken; it gives its seq.
// A server may greet with older ones. What is held back for a batch was not sent; where satellites are among that, it is not known
// how many fixes those are.
func (d *daemon) newFix(id string) func(msg []byte) uint64 {
	made := map[string]uint64{}
	if d.status != nil {
		held := uint64(0)
		for _, u := range d.status.Uplinks {
			if u.DeviceID == id && u.AckedSeq != nil {
				held = max(held, u.HeldBack)
			}
		}
		for _, r := range d.status.Receivers {
			if r.DeviceID == id {
				made[r.Run] = max(made[r.Run], r.Reported-min(held, r.Reported))
			}
		}
	}
	return func(msg []byte) uint64 {
		run, seq := keyOf(msg)
		if last, ours := made[run]; !ours || seq <= last {
			return 0
		}
		return seq
	}
}

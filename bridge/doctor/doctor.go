package doctor

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
)

// Options say what is examined.
type Options struct {
	Config config.Config // validated, and checked with bridge.Check
	Source string        // where the configuration came from, for people: a file's path, "" for none

	// Daemon asks the running daemon for its status. It returns nil when none runs, and a problem when something else
	// answers, or the daemon does not answer the question.
	Daemon func(context.Context) (*observe.Status, error)
	// FixTime asks the running daemon for the receiver's time in the last fix of a device ID, zero where there is none.
	FixTime func(ctx context.Context, deviceID string) time.Time

	// NoSend leaves out the one message to the group that proves the echo without a daemon.
	NoSend bool

	// Each, if set, is called with each link as soon as it has been examined.
	Each func(Link)
}

// examination is one walk along the chain.
type examination struct {
	Options
	links  []Link
	status *observe.Status // of the running daemon, nil without one
	alone  bool            // no daemon runs, as far as can be known
	time   time.Time       // the receiver's, zero while it is not known
	timeAt time.Time       // when the receiver stated it
}

// Examine walks the chain and returns its links in order. It ends early, with what it has, when ctx ends.
func Examine(ctx context.Context, o Options) []Link {
	e := &examination{Options: o}
	e.configuration()
	e.daemon(ctx)
	for _, r := range o.Config.Receivers {
		suffix := ""
		if len(o.Config.Receivers) > 1 {
			suffix = " " + r.Source
		}
		e.receiver(ctx, r, suffix)
	}
	e.clock()
	e.servers(ctx)
	for _, id := range o.Config.DeviceIDs() {
		e.spool(id)
	}
	return e.links
}

func (e *examination) add(l Link) {
	e.links = append(e.links, l)
	if e.Each != nil {
		e.Each(l)
	}
}

func (e *examination) configuration() {
	seen := "defaults"
	if e.Source != "" {
		seen = e.Source
	}
	e.add(ok("configuration", fmt.Sprintf("%s, device %s", seen, e.Config.DeviceID)))
}

// daemon finds out whether one runs.
func (e *examination) daemon(ctx context.Context) {
	const name = "daemon"
	st, err := e.Daemon(ctx)
	switch {
	case err != nil:
		p := *problem.Of(err)
		p.Code = cmp.Or(p.Code, DaemonUnclear)
		e.add(warning(name, &p))
	case st == nil && e.Config.Relay.Off():
		e.add(skipped(name, "its relay is off, so it cannot be asked: the port is opened here"))
	case st == nil:
		e.add(skipped(name, "none answers at "+e.Config.Relay.Listen+": the port is opened here"))
	case st.DeviceID != e.Config.DeviceID:
		e.add(warning(name, &problem.Problem{Code: OtherDaemon, Key: "device_id",
			Cause: fmt.Sprintf("running as device %s, which is not the configuration's", st.DeviceID), Fix: "name its configuration with -c FILE, or restart it"}))
	default:
		e.add(ok(name, fmt.Sprintf("running for %v, version %s", st.Now.Sub(st.Started).Round(time.Second), st.Version)))
	}
	e.status = st
	e.alone = err == nil && st == nil && !e.Config.Relay.Off()
}

// ask asks the daemon again, if one runs. The last status of one that has gone meanwhile stays.
func (e *examination) ask(ctx context.Context) {
	if e.status == nil {
		return
	}
	if st, err := e.Daemon(ctx); err == nil && st != nil {
		e.status = st
	}
}

// receiverTime is the receiver's time now, zero while it is not known.
func (e *examination) receiverTime() time.Time {
	if e.time.IsZero() {
		return time.Time{}
	}
	return e.time.Add(time.Since(e.timeAt))
}

package doctor

import (
	"context"
	"fmt"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
)

// Options choose what is examined.
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

// Examine walks the chain and returns its links in order. It ends early, with what it has, when ctx ends.
func Examine(ctx context.Context, o Options) []Link {
	c := &chain{each: o.Each}
	d := &daemon{find: o.Daemon, fixTime: o.FixTime}
	var clock receiverClock
	c.add(configuration(o))
	c.add(d.examine(ctx, o.Config))
	for _, r := range o.Config.Receivers {
		suffix := ""
		if len(o.Config.Receivers) > 1 {
			suffix = " " + r.Source
		}
		examineReceiver(ctx, c, d, &clock, r, suffix)
	}
	c.add(examineClock(clock.now()))
	examineServers(ctx, c, d, o, clock)
	for _, id := range o.Config.DeviceIDs() {
		suffix := ""
		if id != o.Config.DeviceID {
			suffix = " " + id
		}
		dir, runtime := o.Config.SpoolDirs(id)
		c.add(examineSpool("spool"+suffix, d.status, dir, runtime))
		c.add(examineDisk("disk"+suffix, dir, o.Config.Spool.MinFree))
	}
	return c.links
}

func configuration(o Options) Link {
	seen := "defaults"
	if o.Source != "" {
		seen = o.Source
	}
	return ok("configuration", fmt.Sprintf("%s, device %s", seen, o.Config.DeviceID))
}

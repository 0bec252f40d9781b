package bridge

import (
	"fmt"
	"reflect"
	"slices"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/problem"
)

// Reload lays a checked configuration over the running one without losing a fix. It takes over [report], the token in
// relay.token_file, and [[uplink]] while the servers' names are the same: an uplink whose settings changed connects again,
// and what waits for it stays.
// The level of the log is the caller's. needRestart names what else differs and stays as it was. An error leaves
// everything as it was and names the key. Only one call may be under way at a time.
func (d *Daemon) Reload(c config.Config) (needRestart []string, err error) {
	defer func() { d.RejectReload(err) }()
	old := d.config
	if d.relay != nil && old.Relay.TokenFile == c.Relay.TokenFile {
		if err := d.applyTokens(); err != nil {
			return nil, c.Explain("relay", err)
		}
	}
	if sameServers(old.Uplinks, c.Uplinks) {
		if err := d.reloadUplinks(c); err != nil {
			return nil, err
		}
		d.config.Uplinks = c.Uplinks
	} else {
		needRestart = append(needRestart, "[[uplink]]: servers added, removed or renamed")
	}
	if c.Report != old.Report {
		for _, t := range d.devices {
			t.feed.Limit(c.Report)
			for _, l := range t.links {
				l.queue.Collect(c.Report.Batch)
			}
		}
		d.config.Report = c.Report
	}
	for _, section := range []struct {
		name     string
		was, now any
	}{
		{"device_id", old.DeviceID, c.DeviceID},
		{"[[receiver]]", old.Receivers, c.Receivers},
		{"[spool]", old.Spool, c.Spool},
		{"[relay]", old.Relay, c.Relay},
		{"log.format", old.Log.Format, c.Log.Format},
	} {
		if !reflect.DeepEqual(section.was, section.now) {
			needRestart = append(needRestart, section.name)
		}
	}
	return append(needRestart, c.Replaced()...), nil
}

// RejectReload has the status show why a configuration was not reloaded: the error of config.Load. With nil it was.
func (d *Daemon) RejectReload(err error) { d.rejected.Store(problem.Of(err)) }

// sameServers reports whether two lists have the same servers by name, in any order.
func sameServers(a, b []config.Uplink) bool {
	names := func(list []config.Uplink) (names []string) {
		for _, u := range list {
			names = append(names, u.Name)
		}
		slices.Sort(names)
		return names
	}
	return slices.Equal(names(a), names(b))
}

// reloadUplinks replaces those whose settings changed, after all of them were checked.
func (d *Daemon) reloadUplinks(now config.Config) error {
	type change struct {
		l *link
		c config.Uplink
	}
	var changes []change
	for n, c := range now.Uplinks {
		i := slices.IndexFunc(d.config.Uplinks, func(u config.Uplink) bool { return u.Name == c.Name })
		if reflect.DeepEqual(d.config.Uplinks[i], c) {
			continue
		}
		for _, t := range d.devices {
			l := t.links[slices.IndexFunc(t.links, func(l *link) bool { return l.name == c.Name })]
			if _, err := l.build(c); err != nil {
				return now.Explain(fmt.Sprintf("uplink[%d]", n), err)
			}
			changes = append(changes, change{l, c})
		}
	}
	for _, ch := range changes {
		if err := ch.l.set(ch.c); err != nil {
			return fmt.Errorf("uplink %q: %w", ch.c.Name, err)
		}
	}
	return nil
}

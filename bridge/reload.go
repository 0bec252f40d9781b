package bridge

import (
	"fmt"
	"reflect"
	"slices"
)

// Reload lays a validated configuration over the running one without losing a fix. It takes over [report], and [[uplink]]
// while the servers' names are the same: an uplink whose settings changed connects anew, and what waits for it stays.
// The level of the log is the caller's. needRestart names what else differs and goes on as it was. An error leaves
// everything as it was and names the key. Only one call may be under way at a time.
func (d *Daemon) Reload(c Config) (needRestart []string, err error) {
	old := d.config
	if sameServers(old.Uplinks, c.Uplinks) {
		if err := d.reloadUplinks(c); err != nil {
			return nil, err
		}
		d.config.Uplinks = c.Uplinks
	} else {
		needRestart = append(needRestart, "[[uplink]]: servers added, removed or renamed")
	}
	if c.Report != old.Report {
		for _, t := range d.tracks {
			t.feed.reload(c.Report)
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
	return needRestart, nil
}

// sameServers says that two lists have the same servers by name, in any order.
func sameServers(a, b []UplinkConfig) bool {
	names := func(list []UplinkConfig) (names []string) {
		for _, u := range list {
			names = append(names, u.Name)
		}
		slices.Sort(names)
		return names
	}
	return slices.Equal(names(a), names(b))
}

// reloadUplinks replaces those whose settings changed, after all of them were found to be right.
func (d *Daemon) reloadUplinks(now Config) error {
	type change struct {
		t *track
		l *link
		c UplinkConfig
	}
	var changes []change
	for n, c := range now.Uplinks {
		i := slices.IndexFunc(d.config.Uplinks, func(u UplinkConfig) bool { return u.Name == c.Name })
		if reflect.DeepEqual(d.config.Uplinks[i], c) {
			continue
		}
		for _, t := range d.tracks {
			l := t.links[slices.IndexFunc(t.links, func(l *link) bool { return l.name == c.Name })]
			if _, err := c.build(d, t, l); err != nil {
				return now.at(numbered("uplink", n), fmt.Errorf("uplink %q: %w", c.Name, err))
			}
			changes = append(changes, change{t, l, c})
		}
	}
	for _, ch := range changes {
		if err := ch.l.set(d, ch.t, ch.c); err != nil {
			return fmt.Errorf("uplink %q: %w", ch.c.Name, err)
		}
	}
	return nil
}

// reload changes what is reported. What is known of the last report stays, so nothing is sent twice for it.
func (fd *feed) reload(c ReportConfig) {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	fd.report.limits, fd.keepSky = c, c.Sky
}

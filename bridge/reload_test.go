package bridge

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/receivertest"
)

// changed is the daemon's configuration with a change, validated as a reload has it.
func (r *running) changed(t *testing.T, change func(*config.File)) config.Config {
	t.Helper()
	f := r.file
	f.Receivers, f.Uplinks = slices.Clone(f.Receivers), slices.Clone(f.Uplinks)
	change(&f)
	c, err := f.Check()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReloadedServerGetsWhatWaited(t *testing.T) {
	t.Parallel()
	const n = 20
	pty := realtest.OpenPty(t)
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: pty.Path() + "?baud=9600"}}
		c.Uplinks = []config.UplinkSection{{Name: "fleet", Server: "ws://127.0.0.1:1"}}
	})
	d.await(t, "open port", func(st observe.Status) bool { return st.Receivers[0].Opens == 1 })
	send := func(from, to int) {
		for s := from; s < to; s++ {
			if _, err := pty.Write(receivertest.Epoch(s, true)); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(0, n/2)
	d.await(t, "fixes that wait", func(st observe.Status) bool { return st.Spool.Records == n/2 })
	uplink, group := trackingServer(t)
	member := realtest.Join(t, group)
	restart, err := d.Reload(d.changed(t, func(c *config.File) {
		uplink.Name = "fleet"
		c.Uplinks[0] = uplink
	}))
	if err != nil || restart != nil {
		t.Fatalf("reload: %v, %v, want all of it taken over", restart, err)
	}
	send(n/2, n)
	if got := member.WaitDistinct(n, patience); len(got) < n {
		t.Errorf("%d messages arrived, want %d", len(got), n)
	}
	d.await(t, "empty spool", func(st observe.Status) bool { return st.Spool.Records == 0 && st.Receivers[0].Opens == 1 })
}

func TestReloadedReportHoldsFromTheNextFix(t *testing.T) {
	t.Parallel()
	pty := realtest.OpenPty(t)
	d := start(t, func(c *config.File) { c.Receivers = []config.ReceiverSection{{Source: pty.Path() + "?baud=9600"}} })
	d.await(t, "open port", func(st observe.Status) bool { return st.Receivers[0].Opens == 1 })
	send := func(from, to int, reported uint64) {
		t.Helper()
		for s := from; s < to; s++ {
			if _, err := pty.Write(receivertest.Epoch(s, true)); err != nil {
				t.Fatal(err)
			}
		}
		d.await(t, "fixes", func(st observe.Status) bool { return st.Receivers[0].Fixes == uint64(to) })
		if got := d.Status().Receivers[0].Reported; got != reported {
			t.Errorf("%d of %d fixes reported, want %d", got, to, reported)
		}
	}
	send(0, 5, 5)
	if restart, err := d.Reload(d.changed(t, func(c *config.File) { c.Report.Interval = "10s" })); err != nil || restart != nil {
		t.Fatalf("reload: %v, %v", restart, err)
	}
	send(5, 25, 7) // the first under the limit, and another after ten seconds
}

// TestRejectedReloadIsInTheStatus until one succeeds.
func TestRejectedReloadIsInTheStatus(t *testing.T) {
	t.Parallel()
	d := start(t, func(f *config.File) { f.Receivers = []config.ReceiverSection{{Source: "sim:"}} })
	<-d.Ready()
	_, err := config.Load("/nonexistent/gpsbridge.toml", nil, nil)
	d.RejectReload(err)
	if p := d.Status().Problem; p == nil || p.Code != config.CodeFile || !strings.Contains(d.Status().Line(), "reload rejected") {
		t.Errorf("after a configuration that cannot be read: %v, %s", p, d.Status().Line())
	}
	if _, err := d.Reload(d.changed(t, func(*config.File) {})); err != nil || d.Status().Problem != nil {
		t.Errorf("after a reload that succeeded: %v, %v", err, d.Status().Problem)
	}
}

func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: "sim:"}}
		c.Uplinks = []config.UplinkSection{{Name: "a", Server: "ws://127.0.0.1:1"}}
	})
	<-d.Ready()
	for name, test := range map[string]struct {
		change func(*config.File)
		want   []string
	}{
		"nothing":      {func(*config.File) {}, nil},
		"log level":    {func(c *config.File) { c.Log.Level = "warn" }, nil},
		"device ID":    {func(c *config.File) { c.DeviceID = "other"; c.Receivers[0].DeviceID = "" }, []string{"device_id", "[[receiver]]"}},
		"receiver":     {func(c *config.File) { c.Receivers[0].Source = "sim:?rate=2" }, []string{"[[receiver]]"}},
		"spool":        {func(c *config.File) { c.Spool.Dir = "/elsewhere" }, []string{"[spool]"}},
		"relay":        {func(c *config.File) { c.Relay.History = 7 }, []string{"[relay]"}},
		"log format":   {func(c *config.File) { c.Log.Format = "json" }, []string{"log.format"}},
		"another name": {func(c *config.File) { c.Uplinks[0].Name = "b" }, []string{"[[uplink]]: servers added, removed or renamed"}},
	} {
		restart, err := d.Reload(d.changed(t, test.change))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, restart); diff != "" {
			t.Errorf("%s: needs a restart (-want +got):\n%s", name, diff)
		}
	}
	_, err := d.Reload(d.changed(t, func(c *config.File) { c.Uplinks[0].Window = 1000 }))
	if err == nil || !strings.Contains(err.Error(), "uplink[0].window") {
		t.Errorf("a window of 1000: %v, want an error that names the key", err)
	}
	if got := d.config.Uplinks[0].Window; got != 0 {
		t.Errorf("the window is %d after a reload that failed", got)
	}
}

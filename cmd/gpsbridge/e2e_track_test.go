package main

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
)

// track asks the daemon for its track from a time on, all of it from a zero one.
func (d *daemon) track(from time.Time) (times []time.Time) {
	d.t.Helper()
	address := "http://" + d.addr + "/api/v1/devices/" + deviceID + "/track.gpx"
	if !from.IsZero() {
		address += "?from=" + url.QueryEscape(from.Format(time.RFC3339Nano))
	}
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Close = true // no idle connection stays behind
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	var file struct {
		Times []time.Time `xml:"trk>trkseg>trkpt>time"`
	}
	if err := xml.NewDecoder(answer.Body).Decode(&file); err != nil || answer.StatusCode != http.StatusOK {
		d.t.Fatalf("track: %s, %v", answer.Status, err)
	}
	return file.Times
}

// TestTrackOutlivesARestart: the track of the day goes on after the program was stopped and started.
func TestTrackOutlivesARestart(t *testing.T) {
	t.Parallel()
	line, v := realtest.OpenPty(t), newVehicle()
	file := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, file, fmt.Sprintf("[spool]\ndir = %q\nmin_free = \"1MiB\"\n", t.TempDir()))
	const closed = 29 // an epoch may be open until the next one
	run := func(from, to int) *daemon {
		d := startDaemon(t, "-c", file, "--device", line.Path()+"?baud=115200")
		d.waitOpen()
		v.feed(d, line, from, to)
		d.waitStatus("fixes", func(st observe.Status) bool { return st.Receivers[0].Reported >= closed })
		return d
	}
	want := make([]time.Time, closed)
	for i := range want {
		want[i] = v.time(i)
	}
	first := run(0, 30)
	first.Signal(syscall.SIGTERM)
	if code, err := first.Exit(soon); err != nil || code != exitDone {
		t.Fatalf("exit code %d, %v", code, err)
	}
	second := run(6000, 6030)
	if n := len(second.track(v.time(6000))); n < closed || n > 30 {
		t.Errorf("%d fixes of the second run, want %d or 30", n, closed)
	}
	got := second.track(time.Time{})
	if len(got) < 2*closed || !slices.EqualFunc(got[:closed], want, time.Time.Equal) {
		t.Errorf("after the restart the track is %v, want it to begin with that of before: %v", got, want)
	}
}

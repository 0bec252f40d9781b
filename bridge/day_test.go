package bridge

import (
	"encoding/xml"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/track"
)

// trackTimes are the times of the track that a running daemon has of a device.
func (r *running) trackTimes(t *testing.T, device string) (times []time.Time) {
	t.Helper()
	<-r.Ready()
	answer, err := http.Get("http://" + r.relay.Addr().String() + "/api/v1/devices/" + device + "/track.gpx")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	var file struct {
		Times []time.Time `xml:"trk>trkseg>trkpt>time"`
	}
	if err == nil && answer.StatusCode == http.StatusOK {
		err = xml.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file.Times
}

// TestTrackOfFormerRuns: a daemon has the track of its device ID from the runs before, out of the newer of two files, and no other.
func TestTrackOfFormerRuns(t *testing.T) {
	t.Parallel()
	dir, runtime := t.TempDir(), t.TempDir()
	run := func(source, device string) *running {
		return start(t, func(f *config.File) {
			f.DeviceID, f.Receivers = device, []config.ReceiverSection{{Source: source}}
			f.Spool.Dir, f.Spool.Runtime, f.Spool.MinFree = dir, runtime, "1MiB"
		})
	}
	const silent = "tcp://127.0.0.1:9" // nothing listens there
	run("file:"+recording(t, 20)+"?rate=0", "van_7").wait(t)
	d := run(silent, "van_7")
	if times := d.trackTimes(t, "van_7"); len(times) != 20 {
		t.Errorf("%d fixes of the last run, want 20", len(times))
	}
	d.stop()
	d.wait(t)
	other := run(silent, "van_8")
	if times := other.trackTimes(t, "van_8"); len(times) != 0 {
		t.Errorf("%d fixes of another device ID", len(times))
	}
	other.stop()
	other.wait(t)

	// A run that was killed leaves a newer file on the tmpfs.
	killed := track.NewDay()
	if err := killed.Load(filepath.Join(dir, "van_7.track")); err != nil {
		t.Fatal(err)
	}
	killed.Add(track.Point{Time: time.Date(2026, 11, 23, 9, 5, 0, 0, time.UTC), Lat: new(51.5), Lon: new(-0.1)})
	if err := killed.Save(filepath.Join(runtime, "van_7.track")); err != nil {
		t.Fatal(err)
	}
	d = run(silent, "van_7")
	if times := d.trackTimes(t, "van_7"); len(times) != 21 {
		t.Errorf("%d fixes after a run that was killed, want 21", len(times))
	}
	d.stop()
	d.wait(t)

	// Damaged files are logged, and tracking begins without them.
	for _, path := range []string{dir, runtime} {
		if err := os.WriteFile(filepath.Join(path, "van_7.track"), []byte("gpsbridge"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d = run("file:"+recording(t, 5)+"?rate=0", "van_7")
	d.wait(t)
	if n := strings.Count(d.log.String(), "the file is damaged"); n != 2 {
		t.Errorf("%d damaged files are logged, want 2", n)
	}
	if times := run(silent, "van_7").trackTimes(t, "van_7"); len(times) != 5 {
		t.Errorf("%d fixes of the run after damage, want 5", len(times))
	}
}

package receiver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAutoTakesTheFirstThatSpeaks: a port that cannot be opened, one that is silent and one that babbles are passed over,
// and of the first that speaks not a byte is lost.
func TestAutoTakesTheFirstThatSpeaks(t *testing.T) {
	silent, babbler, speaker, later := newLine(t), newLine(t), newLine(t), newLine(t)
	said := "half a sentence,W*7F\r\n" + rmc("120000")
	src := auto{baud: 9600, probe: 200 * time.Millisecond, find: func() []string {
		return []string{"/dev/null", silent.path, babbler.path, speaker.path, later.path}
	}}
	for _, l := range []*line{babbler, speaker, later} {
		if err := l.raw(); err != nil {
			t.Fatal(err)
		}
	}
	for l, text := range map[*line]string{babbler: "no NMEA here\r\n", speaker: said, later: said} {
		if _, err := l.master.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	r, rec, stop := startSource(t, Config{}, src)
	rec.wait(t, "sentence", func(data string) bool { return strings.HasSuffix(data, rmc("120000")) })
	stop()
	if rec.data.String() != said {
		t.Errorf("read %q, want %q", rec.data.String(), said)
	}
	if s := r.Status(); s.Port != speaker.path || s.Opens != 1 {
		t.Errorf("status: %+v", s)
	}
}

func TestAutoFindsNothing(t *testing.T) {
	silent, babbler := newLine(t), newLine(t)
	if err := babbler.raw(); err != nil {
		t.Fatal(err)
	}
	if _, err := babbler.master.WriteString("no NMEA here\r\n"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		ports []string
		want  string
	}{
		{nil, "no receiver found (looked for /dev/serial/by-id/*, /dev/ttyACM*, /dev/ttyUSB*, /dev/serial0): plug one in, or name its port with --device"},
		{[]string{silent.path}, silent.path + " has sent nothing for 50ms: check the receiver's power and cable"},
		{[]string{babbler.path}, babbler.path + " sends no NMEA sentence at 9600 baud: name the port and its speed with --device " + babbler.path + "?baud=N"},
		{[]string{"/dev/null", "/dev/zero"}, "/dev/null is not a serial port: name one with --device; /dev/zero is not a serial port: name one with --device"},
	}
	before := descriptors(t)
	for _, test := range tests {
		src := auto{baud: 9600, probe: 50 * time.Millisecond, find: func() []string { return test.ports }}
		_, err := src.open(t.Context())
		if err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

func TestAutoIsInterrupted(t *testing.T) {
	silent := newLine(t)
	ctx, cancel := context.WithCancel(t.Context())
	src := auto{baud: 9600, probe: time.Hour, find: func() []string {
		time.AfterFunc(10*time.Millisecond, cancel)
		return []string{silent.path, "/dev/null"}
	}}
	if _, err := src.open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
}

// TestMatches: by rank, each device once, under its best name; what leads nowhere is none.
func TestMatches(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ttyUSB0", "ttyUSB1", "ttyACM0", "ttyS0"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "by-id"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"by-id/usb-gps": "../ttyUSB1", "by-id/usb-gone": "../ttyUSB7", "serial0": "ttyS0"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	var patterns []string
	for _, p := range portPatterns {
		patterns = append(patterns, strings.Replace(strings.Replace(p, "/dev/serial/", "/dev/", 1), "/dev", dir, 1))
	}
	var got []string
	for _, name := range matches(patterns) {
		got = append(got, strings.TrimPrefix(name, dir+"/"))
	}
	if diff := cmp.Diff([]string{"by-id/usb-gps", "ttyACM0", "ttyUSB0", "serial0"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

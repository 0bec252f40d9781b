package receiver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
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
		{nil, "no receiver found (looked for " + strings.Join(machine.patterns(), ", ") + "): plug one in, or name its port with --device"},
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

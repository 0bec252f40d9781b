package receiver

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/receiver/sim"
)

func TestParseSource(t *testing.T) {
	tests := []struct {
		source string
		want   opener
	}{
		{"-", stdin{}},
		{"/dev/ttyUSB0", &serialPort{path: "/dev/ttyUSB0", system: machine}},
		{"/dev/serial/by-id/usb-u-blox_7-if00?baud=115200", &serialPort{path: "/dev/serial/by-id/usb-u-blox_7-if00", baud: 115200, system: machine}},
		{"file:drive.nmea", logFile{path: "drive.nmea", rate: 1}},
		{"file:/var/log/a b.nmea?rate=0", logFile{path: "/var/log/a b.nmea", rate: 0}},
		{"file:what?.nmea?rate=2.5", logFile{path: "what?.nmea", rate: 2.5}},
		{"sim:", simulated{sim.Config{Rate: 1}}},
		{"sim:?rate=10&baud=115200&seed=7&tunnel=1", simulated{sim.Config{Rate: 10, Baud: 115200, Seed: 7, Tunnel: true}}},
	}
	for _, test := range tests {
		got, err := parseSource(test.source)
		if err != nil {
			t.Errorf("%s: %v", test.source, err)
			continue
		}
		all := cmp.AllowUnexported(stdin{}, serialPort{}, system{}, setting{}, lookout{}, logFile{}, simulated{})
		if diff := cmp.Diff(test.want, got, all); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.source, diff)
		}
	}
	if got, err := parseSource("auto?baud=38400"); err != nil || got.(*auto).baud != 38400 {
		t.Errorf("auto?baud=38400: %v, %v", got, err)
	}
}

func TestWrongSources(t *testing.T) {
	tests := []struct{ source, want string }{
		{"http://host:2947", `source: "http://host:2947" is not known: ` + allowedSources},
		{"ttyUSB0", `source: "ttyUSB0" is not known: ` + allowedSources},
		{"COM3?baud=9600", `source: "COM3?baud=9600" is not known: ` + allowedSources},
		{"sim", `source: "sim" is not known: ` + allowedSources},
		{"file:", `source: "file:": no path: use "file:PATH"`},
		{"-?rate=1", `source: "-?rate=1": option "rate" is not known: this source takes none`},
		{"/dev/ttyUSB0?speed=9600", `source: "/dev/ttyUSB0?speed=9600": option "speed" is not known: use baud`},
		{"/dev/ttyUSB0?baud=fast", `source: "/dev/ttyUSB0?baud=fast": option baud=fast: use a whole number from 300 to 4000000`},
		{"/dev/ttyUSB0?baud=0", `source: "/dev/ttyUSB0?baud=0": option baud=0: use a whole number from 300 to 4000000`},
		{"/dev/ttyUSB0?baud=9600&baud=4800", `source: "/dev/ttyUSB0?baud=9600&baud=4800": option "baud" is given 2 times: give it once`},
		{"/dev/ttyUSB0?baud=%zz", `source: "/dev/ttyUSB0?baud=%zz": options "baud=%zz" cannot be read: use name=value, joined by &`},
		{"file:a?rate=-1", `source: "file:a?rate=-1": option rate=-1: use 1 for real time, 10 for ten times as fast, 0 for as fast as possible`},
		{"file:a?rate=NaN", `source: "file:a?rate=NaN": option rate=NaN: use 1 for real time, 10 for ten times as fast, 0 for as fast as possible`},
		{"sim:?rate=26", `source: "sim:?rate=26": option rate=26: use a whole number from 1 to 25`},
		{"sim:?tunnel=yes", `source: "sim:?tunnel=yes": option tunnel=yes: use a whole number from 0 to 1`},
		{"sim:?hz=1", `source: "sim:?hz=1": option "hz" is not known: use rate, baud, seed, tunnel`},
		{"sim:?rate=10&baud=4800", `source: "sim:?rate=10&baud=4800": simulate a receiver: 10 Hz needs up to`},
	}
	for _, test := range tests {
		_, err := New(Config{Source: test.source})
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s\n got %v\nwant %s", test.source, err, test.want)
		}
	}
}

func TestDefaultSource(t *testing.T) {
	r, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Status(); s.Source != "auto" || s.State != Opening {
		t.Errorf("status: %+v", s)
	}
}

// TestSimulated: a simulated receiver comes through the serial code, and nothing of it is left behind.
func TestSimulated(t *testing.T) {
	before := descriptors(t)
	r, rec, stop := start(t, Config{Source: "sim:?rate=25&baud=460800&seed=2"})
	rec.wait(t, "10 epochs", func(data string) bool { return strings.Count(data, "$GNRMC,") >= 10 })
	stop()
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
	if s := r.Status(); !strings.HasPrefix(s.Port, "/dev/pts/") || s.Opens != 1 {
		t.Errorf("status: %+v", s)
	}
	if !strings.HasPrefix(rec.data.String(), "$GNRMC,") {
		t.Errorf("begins with %.80q", rec.data.String())
	}
}

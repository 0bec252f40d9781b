package kinds

import (
	"os"
	"strings"
	"testing"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
)

func TestSourcesAreKnown(t *testing.T) {
	for _, text := range []string{
		"", "auto", "auto?baud=38400", "-", "/dev/ttyUSB0", "/dev/serial/by-id/usb-u-blox_7-if00?baud=115200", "gpsd://", "gpsd://boat:1234/dev/ttyUSB0",
		"tcp://boat:10110", "udp://:10110", "udp://:10110?from=10.0.0.2", "file:drive.nmea", "file:/var/log/a b.nmea?rate=0", "file:what?.nmea?rate=2.5",
		"sim:", "sim:?rate=10&baud=115200&seed=7&tunnel=1",
	} {
		if _, err := Parse(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWrongSources(t *testing.T) {
	tests := []struct{ source, want string }{
		{"http://host:2947", `source: "http://host:2947" is not known: use ` + Forms()},
		{"ttyUSB0", `source: "ttyUSB0" is not known: use /dev/ttyUSB0`},
		{"kinds.go", `source: "kinds.go" is not known: use file:kinds.go`},
		{".", `source: "." is not known: use ` + Forms()},
		{"COM3?baud=9600", `source: "COM3?baud=9600" is not known: use ` + Forms()},
		{"sim", `source: "sim" is not known: use ` + Forms()},
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
		_, err := Parse(test.source)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s\n got %v\nwant %s", test.source, err, test.want)
		}
	}
}

// TestSimulated: a simulated receiver comes through the serial code, and nothing of it is left behind.
func TestSimulated(t *testing.T) {
	before := descriptors(t)
	src, err := Parse("sim:?rate=25&baud=460800&seed=2")
	if err != nil {
		t.Fatal(err)
	}
	r, rec, stop := receivertest.Start(t, src, receiver.Config{})
	rec.Wait(t, "10 epochs", func(data string) bool { return strings.Count(data, "$GNRMC,") >= 10 })
	stop()
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
	if s := r.Status(); !strings.HasPrefix(s.Port, "/dev/pts/") || s.Opens != 1 {
		t.Errorf("status: %+v", s)
	}
	if !strings.HasPrefix(rec.All(), "$GNRMC,") {
		t.Errorf("begins with %.80q", rec.All())
	}
}

// descriptors counts what is open, and what the runtime opens once, to poll, with the first pipe or socket.
func descriptors(t *testing.T) int {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

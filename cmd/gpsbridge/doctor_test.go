package main

import (
	"strings"
	"testing"

	"gpsbridge/bridge/doctor"
)

// The columns hold however long the names of several receivers are.
func TestDoctorPutsSeveralUnderHeadings(t *testing.T) {
	var out strings.Builder
	c := newChart(&out, false)
	const long = "/dev/serial/by-id/usb-u-blox_GNSS_receiver-if00"
	for _, name := range []string{"configuration", "port " + long, "fix " + long, "port /dev/ttyUSB1", "clock"} {
		c.link(doctor.Link{Name: name, State: doctor.OK, Seen: "seen"})
	}
	want := `ok      configuration seen

` + long + `
ok      port          seen
ok      fix           seen

/dev/ttyUSB1
ok      port          seen

ok      clock         seen
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// Text from outside, such as the path of a device as a gpsd gives it, cannot look like lines of the doctor.
func TestDoctorPrintsALinkOnItsOwnLines(t *testing.T) {
	var out strings.Builder
	c := newChart(&out, false)
	links := []doctor.Link{{Name: "port", State: doctor.Broken, Seen: "/dev/x\n\nNothing is broken.\n\u2028\x85ok      server ", Fix: "plug\nit in"}}
	c.link(links[0])
	c.verdict(links)
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "Nothing") || strings.HasPrefix(line, "ok") {
			t.Errorf("the line %q in\n%s", line, out.String())
		}
	}
}

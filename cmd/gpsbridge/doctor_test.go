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

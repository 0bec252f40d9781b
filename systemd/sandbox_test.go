package systemd

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestExposure(t *testing.T) {
	t.Parallel()
	h := install(t)
	for name, most := range map[string]float64{unit: 1.2, "gpsbridge@ttyACM0.service": 1.1} {
		if got := h.exposure(name); got > most {
			t.Errorf("systemd-analyze security gives %s %.1f, want %.1f at most", name, got, most)
		}
	}
}

var exposureLine = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

// exposure is what systemd-analyze thinks of a unit, 0 to 10.
func (h *host) exposure(unit string) float64 {
	h.t.Helper()
	out := h.Run("systemd-analyze", "security", "--no-pager", unit)
	m := exposureLine.FindStringSubmatch(out)
	if m == nil {
		h.t.Fatalf("systemd-analyze prints %q", out)
	}
	level, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Logf("exposure of %s: %.1f", unit, level)
	return level
}

// limitAddresses puts the example into effect as it comes with the package.
func (h *host) limitAddresses() {
	h.t.Helper()
	h.dropIn("limit-addresses", h.Run("cat", "/usr/share/doc/gpsbridge/examples/limit-addresses.conf"))
}

// TestLimitsAreEnforced puts a program into the service's place that tries what gpsbridge never does, and the same
// outside the service, so that what is refused is refused by the unit.
func TestLimitsAreEnforced(t *testing.T) {
	t.Parallel()
	h := install(t)
	h.limitAddresses()
	h.Run("install", "/mnt/probe", "/usr/bin/gpsbridge")
	for _, address := range []string{"192.0.2.10/32", "192.0.2.66/32"} { // the example's server, and another address
		h.Run("ip", "address", "add", address, "dev", "lo")
	}
	// Devices whose modes let every user open them, and that no driver serves.
	for name, number := range map[string]string{"ttyS99": "4", "ttyACM99": "166", "ttyUSB99": "188", "ttyAMA99": "204", "other": "10"} {
		h.Run("mknod", "--mode=666", "/dev/"+name, "c", number, "199")
	}
	absent := "ENXIO|ENODEV|EIO"
	attempts := []struct{ attempt, inside, outside string }{
		{"write:${STATE_DIRECTORY}/x", "ok", "ok"},
		{"write:${RUNTIME_DIRECTORY}/x", "ok", "ok"},
		{"write:/etc/gpsbridge/x", "EROFS", "ok"},
		{"write:/usr/lib/x", "EROFS", "ok"},
		{"write:/var/lib/x", "EROFS", "ok"},
		{"open:/dev/ttyS99", absent, absent},
		{"open:/dev/ttyACM99", absent, absent},
		{"open:/dev/ttyUSB99", absent, absent},
		{"open:/dev/ttyAMA99", absent, absent},
		{"open:/dev/other", "EPERM", absent},
		{"exec:/usr/bin/true", "EACCES", "ok"},
		{"netlink", "EAFNOSUPPORT", "ok"},
		{"writable-code", "EPERM", "ok"},
		{"send:127.0.0.1:9", "ok", "ok"},
		{"send:192.0.2.10:9", "ok", "ok"},
		{"send:192.0.2.66:9", "EPERM", "ok"},
		{"hostname:other", "EPERM", "ok"},
	}
	var args []string
	for _, a := range attempts {
		args = append(args, a.attempt)
	}
	// In a unit file % and $ are the manager's, which would put in what is the program's to put in.
	h.dropIn("probe", "[Service]\nType=exec\nRestart=no\nExecStart=\nExecStart=/usr/bin/gpsbridge "+
		strings.ReplaceAll(strings.Join(args, " "), "$", "$$")+"\n")
	_, _ = h.Try("systemctl", "restart", unit)
	h.wait("the probe to end", func() bool { return strings.Contains(h.journal(), "PROBE "+args[len(args)-1]) })
	inside := h.journal()
	outside := h.Run(append([]string{"/usr/bin/gpsbridge"}, args...)...)
	for _, a := range attempts {
		for where, said := range map[string][2]string{"in the service": {inside, a.inside}, "outside": {outside, a.outside}} {
			want := regexp.MustCompile(fmt.Sprintf(`(?m)^PROBE %s (%s)$`, regexp.QuoteMeta(a.attempt), said[1]))
			if !want.MatchString(said[0]) {
				t.Errorf("%s %s: %q, want %s", a.attempt, where, regexp.MustCompile(`(?m)^PROBE `+regexp.QuoteMeta(a.attempt)+`.*$`).FindString(said[0]), said[1])
			}
		}
	}
}

// TestPrivateMemory holds the service to 8 MB of memory of its own at ten fixes a second (RssAnon of proc(5): heap, stacks
// and what the program has written of its data). How much of the program's file is resident beside it is the kernel's
// choice.
func TestPrivateMemory(t *testing.T) {
	h := tracker(t)
	h.wait("fixes", func() bool { return h.status().Receivers[0].Reported > 100 })
	out := h.Run("cat", "/proc/"+h.show(unit, "MainPID")+"/status")
	m := regexp.MustCompile(`RssAnon:\s+(\d+) kB`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no RssAnon in %q", out)
	}
	kiB, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	mb := kiB * 1024 / 1e6
	t.Logf("private memory of the service at 10 fixes a second: %.1f MB", mb)
	if mb > 8 {
		t.Errorf("%.1f MB of private memory, want at most 8", mb)
	}
}

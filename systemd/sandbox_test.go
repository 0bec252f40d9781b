package systemd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestExposure(t *testing.T) {
	t.Parallel()
	h := install(t)
	for name, most := range map[string]float64{unit: 1.2, "gpsbridge@ttyACM0.service": 1.1, relayUnit: 1.1} {
		if got := h.exposure(name); got > most {
			t.Errorf("systemd-analyze security gives %s %.1f, want %.1f at most", name, got, most)
		}
	}
	h.relayService()
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
		{"writable-code", "EPERM|EACCES", "ok"}, // by a filter of calls, or by PR_SET_MDWE where the kernel has it
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

// memoryMax bounds the memory of the service, whose main process has just started, and returns how often the kernel has killed for
// it. Where the controller of memory is not in the hierarchy that systemd uses (cgroup v1), the process is put into a group of
// its own, less the memory that it has already: that stays in the account of its old group.
func (h *host) memoryMax(bytes int) (killed func() int) {
	h.t.Helper()
	kills := func(text string, err error) int {
		m := regexp.MustCompile(`oom_kill (\d+)`).FindStringSubmatch(text)
		if err != nil || m == nil {
			h.t.Fatalf("no count of kills in %q, %v", text, err)
		}
		n, _ := strconv.Atoi(m[1]) // digits
		return n
	}
	const group = "/sys/fs/cgroup/system.slice/" + unit
	if limit, err := h.Try("cat", group+"/memory.max"); err == nil {
		if strings.TrimSpace(limit) != strconv.Itoa(bytes) {
			h.t.Fatalf("memory.max is %s", limit)
		}
		return func() int { return kills(h.Try("cat", group+"/memory.events")) }
	}
	const root = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(root + "/memory.oom_control"); err != nil {
		h.t.Skip("no controller of memory")
	}
	pid := h.HostPID(h.number("MainPID"))
	own := filepath.Join(root, fmt.Sprint("gpsbridge-test-", pid))
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	m := regexp.MustCompile(`RssAnon:\s+(\d+) kB`).FindStringSubmatch(string(status))
	if err != nil || m == nil {
		h.t.Fatalf("no RssAnon in %q, %v", status, err)
	}
	private, _ := strconv.Atoi(m[1]) // digits
	put := func(file, text string) error { return os.WriteFile(file, []byte(text), 0) }
	if err := errors.Join(os.Mkdir(own, 0o700), put(own+"/memory.limit_in_bytes", strconv.Itoa(bytes-private<<10)), put(own+"/cgroup.procs", strconv.Itoa(pid))); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = put(root+"/cgroup.procs", strconv.Itoa(pid)) // it may have ended
		if err := os.Remove(own); err != nil && !errors.Is(err, fs.ErrNotExist) {
			h.t.Error(err)
		}
	})
	return func() int {
		text, err := os.ReadFile(own + "/memory.oom_control")
		return kills(string(text), err)
	}
}

// TestHostilePartiesDoNotExhaustTheMemory: with 64 MiB, and a limit of Go's that is three quarters of it as the unit's, the service goes on beside servers that send without bounds, one of each
// kind, and hundreds of viewers that take all of a long history and read nothing.
func TestHostilePartiesDoNotExhaustTheMemory(t *testing.T) {
	h := install(t)
	h.dropIn("memory", "[Service]\nMemoryMax=64M\nEnvironment=GOMEMLIMIT=48MiB\n")
	servers := []string{"line", "headers", "status", "body", "messages", "message", "fragments", "pings", "deflate", "small"}
	config := "device_id = \"van_7\"\n[[receiver]]\nsource = \"tcp://127.0.0.1:7000\"\n[relay]\nhistory = 20000\n"
	for _, name := range servers {
		config += fmt.Sprintf("[[uplink]]\nname = %q\nserver = \"ws://%s/%s/{device_id}/\"\n", name, trackingAt, name)
	}
	h.Write(configFile, config)
	h.Run("systemctl", "restart", unit)
	pid := h.show(unit, "MainPID")
	killed := h.memoryMax(64 << 20)
	h.Run("systemd-run", "--quiet", "--unit=receiver", "/mnt/hostile", "receiver", "127.0.0.1:7000")
	h.wait("a long history", func() bool { return h.status().Receivers[0].Reported > 20_000 })
	h.Run("systemd-run", "--quiet", "--unit=server", "/mnt/hostile", "server", trackingAt)
	h.wait("each server", func() bool {
		log := h.Run("journalctl", "--no-pager", "--output=cat", "--unit=server")
		for _, name := range servers {
			if !strings.Contains(log, "attacked by /"+name+"/") {
				return false
			}
		}
		return true
	})
	before := h.status().Receivers[0].Reported
	h.Run("/mnt/hostile", "viewers", "127.0.0.1:8947")
	h.wait("further fixes", func() bool { return h.status().Receivers[0].Reported > before+10 })
	if now, n := h.show(unit, "MainPID"), killed(); now != pid || n != 0 || h.number("NRestarts") != 0 {
		t.Errorf("process %s is now %s, killed %d times, want the same and never", pid, now, n)
	}
}

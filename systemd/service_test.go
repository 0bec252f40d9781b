package systemd

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestInstalledServiceRunsByItself(t *testing.T) {
	t.Parallel()
	h := boot(t)
	h.Write("/etc/apt/sources.list", "deb [trusted=yes] file:/mnt/apt ./\n") // in place of Debian's, which are out of reach
	h.Run("apt-get", "update", "--error-on=any")
	h.Run("apt-get", "install", "--quiet", "--yes", "gpsbridge")
	if state := h.show(unit, "ActiveState"); state != "active" { // systemctl start returned, so READY was sent
		t.Errorf("after the installation the service is %s, want active", state)
	}
	if enabled := strings.TrimSpace(h.Run("systemctl", "is-enabled", unit)); enabled != "enabled" {
		t.Errorf("after the installation the service is %s, want enabled", enabled)
	}
	h.wait("a status", func() bool { return strings.Contains(h.show(unit, "StatusText"), "receiver ") })
	if out := h.Run("gpsbridge", "version"); !regexp.MustCompile(`\bg[0-9a-f]{12}\b`).MatchString(out) {
		t.Errorf("gpsbridge version prints %q, want the commit in it", out)
	}
	if out := h.Run("gpsbridge", "status"); !strings.Contains(out, "receiver") {
		t.Errorf("gpsbridge status prints %q", out)
	}
	for _, script := range []string{"bash-completion/completions/gpsbridge", "zsh/vendor-completions/_gpsbridge", "fish/vendor_completions.d/gpsbridge.fish"} {
		h.Run("grep", "-q", "completion for gpsbridge", "/usr/share/"+script)
	}
	h.Run("systemctl", "stop", unit)
	if result := h.show(unit, "Result"); result != "success" {
		t.Errorf("a stop ends with %q, want success", result)
	}
}

// listen joins the group in the background; what it prints is kept in a file on the machine.
func (h *host) listen() {
	h.t.Helper()
	h.Run("systemd-run", "--quiet", "--unit=listener", "--property=StandardOutput=append:/srv/heard",
		"gpsbridge", "watch", group+"?history=100000")
	h.wait("the listener", func() bool { highest, _ := h.heard(); return len(highest) > 0 })
}

// heard returns of each run the highest number that the listener heard, and how many different ones.
func (h *host) heard() (highest, different map[string]int) {
	h.t.Helper()
	highest, different = map[string]int{}, map[string]int{}
	text, err := h.Try("cat", "/srv/heard")
	if err != nil {
		return highest, different // nothing yet
	}
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		var m struct {
			Run string `json:"run"`
			Seq int    `json:"seq"`
		}
		key := line
		if json.Unmarshal([]byte(line), &m) == nil {
			key = fmt.Sprint(m.Run, m.Seq)
		}
		if m.Run != "" && !seen[key] {
			seen[key] = true
			different[m.Run]++
			highest[m.Run] = max(highest[m.Run], m.Seq)
		}
	}
	return highest, different
}

// status is what the tests look at in the daemon's status.
type status struct {
	Receivers []struct {
		Run      string `json:"run"`
		Reported int    `json:"reported"`
	} `json:"receivers"`
	Spool struct {
		Records int `json:"records"`
	} `json:"spool"`
}

// status asks the daemon; while it does not answer the status is empty.
func (h *host) status() status {
	h.t.Helper()
	var st status
	out, err := h.Try("sh", "-c", "gpsbridge status --json 2>/dev/null") // stderr names the configuration
	if err == nil {
		err = json.Unmarshal([]byte(out), &st)
	}
	if err != nil || len(st.Receivers) != 1 {
		st.Receivers = make([]struct {
			Run      string `json:"run"`
			Reported int    `json:"reported"`
		}, 1)
	}
	return st
}

func TestKilledServiceComesBackAndLosesNothing(t *testing.T) {
	t.Parallel()
	h := tracker(t)
	h.dropIn("fast", "[Service]\nRestartSec=100ms\n")
	h.listen()
	h.Run("systemctl", "stop", "server")
	h.wait("fixes to wait for the server", func() bool { return h.status().Spool.Records >= 20 })
	before := h.status().Receivers[0]
	h.Run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", unit)
	h.wait("the restart", func() bool { return h.number("NRestarts") == 1 && h.show(unit, "ActiveState") == "active" })
	h.startServer()
	h.wait("what was spooled", func() bool {
		highest, _ := h.heard()
		return highest[before.Run] >= before.Reported && len(highest) == 2
	})
	h.wait("the rest of it", func() bool { return h.status().Spool.Records < 10 })
	highest, different := h.heard()
	for run, last := range highest {
		if different[run] < last && run == before.Run {
			t.Errorf("of the %d fixes before SIGKILL %d arrived", last, different[run])
		}
	}
}

func TestFrozenServiceIsRestartedAndLogsWhere(t *testing.T) {
	t.Parallel()
	h := tracker(t)
	h.dropIn("fast", "[Service]\nWatchdogSec=10s\nRestartSec=100ms\n")
	h.Run("systemctl", "restart", unit)
	h.wait("more than a watchdog interval at work", func() bool { return h.status().Receivers[0].Reported > 120 })
	if n := h.number("NRestarts"); n != 0 {
		t.Fatalf("restarted %d times while it worked", n)
	}
	h.Run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", unit)
	h.wait("the restart", func() bool { return h.number("NRestarts") == 1 && h.show(unit, "ActiveState") == "active" })
	journal := h.journal()
	for _, want := range []string{"Watchdog timeout", "SIGABRT: abort", "goroutine 1 "} {
		if !strings.Contains(journal, want) {
			t.Errorf("the journal does not hold %q", want)
		}
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	h := install(t)
	pid := h.show(unit, "MainPID")
	h.Run("systemctl", "reload", unit)
	h.wait("the daemon to log it", func() bool { return strings.Contains(h.journal(), "configuration reloaded") })
	h.Write(configFile, "device_id = \"van_7\"\n[relay]\nlissten = \"127.0.0.1:1\"\n")
	if out, err := h.Try("systemctl", "reload", unit); err == nil {
		t.Errorf("the reload of a wrong file reports success: %s", out)
	}
	if now := h.show(unit, "MainPID"); now != pid || h.show(unit, "ActiveState") != "active" {
		t.Errorf("process %s is now %s, %s; want the same, active", pid, now, h.show(unit, "ActiveState"))
	}

	// Some versions of systemd hand credentials over at the start alone (257), others at a reload too (252). Where the old ones stay,
	// the log names them, or one would believe that a token was revoked.
	const token = "/etc/gpsbridge/viewer-token"
	h.Write(token, "0123456789abcdef\n")
	h.Write(configFile, "device_id = \"van_7\"\n[relay]\ntoken_file = \"${CREDENTIALS_DIRECTORY}/viewer-token\"\n")
	h.Run("systemctl", "restart", unit)
	h.Write(token, "fedcba9876543210\n")
	h.Run("systemctl", "reload", unit)
	h.wait("the new token to be used or named", func() bool {
		return regexp.MustCompile("tokens read again|needs a restart\" restart=\"credential viewer-token\"").MatchString(h.journal())
	})
}

func TestWrongConfigurationIsLoggedAndNotTriedAgain(t *testing.T) {
	t.Parallel()
	h := install(t)
	h.Write(configFile, "device_id = \"van_7\"\n[relay]\nlissten = \"127.0.0.1:1\"\n")
	if _, err := h.Try("systemctl", "restart", unit); err == nil {
		t.Error("systemctl restart reports success")
	}
	h.wait("the service to fail", func() bool { return h.show(unit, "ActiveState") == "failed" })
	if code, restarts := h.number("ExecMainStatus"), h.number("NRestarts"); code != 2 || restarts != 0 {
		t.Errorf("exit code %d, restarted %d times, want 2 and none", code, restarts)
	}
	if journal := h.journal(); !strings.Contains(journal, configFile+`:3: unknown key "relay.lissten"`) {
		t.Errorf("the journal does not name the line:\n%s", journal)
	}
}

func TestUpgradeKeepsWhatWasChanged(t *testing.T) {
	t.Parallel()
	h := install(t)
	h.Write(configFile, "device_id = \"changed\"\n")
	first := h.show(unit, "InvocationID")
	h.Run("dpkg", "--install", "/mnt/gpsbridge.deb")
	if state, now := h.show(unit, "ActiveState"), h.show(unit, "InvocationID"); state != "active" || now == first {
		t.Errorf("after an upgrade the service is %s, invocation %s, want active and another than %s", state, now, first)
	}
	if got := h.Run("cat", configFile); got != "device_id = \"changed\"\n" {
		t.Errorf("after an upgrade the configuration is %q", got)
	}
	h.Run("systemctl", "disable", "--now", unit)
	h.Run("dpkg", "--install", "/mnt/gpsbridge.deb")
	if state := h.show(unit, "ActiveState"); state != "inactive" {
		t.Errorf("after an upgrade of what was disabled the service is %s, want inactive", state)
	}
}

// relayService is the tracking server as a service: it is not enabled by the package, starts as installed, takes its secrets from files that
// root alone can read, uses changed tokens after a reload without another process, and drains when it is stopped.
func (h *host) relayService() {
	h.t.Helper()
	if state, _ := h.Try("systemctl", "is-enabled", relayUnit); strings.TrimSpace(state) != "disabled" {
		h.t.Errorf("after the installation the tracking server is %q", state)
	}
	h.Run("systemctl", "stop", unit) // which has the port
	h.Run("systemctl", "start", relayUnit)
	h.Run("test", "-s", "/var/lib/private/gpsbridge-relay/tracker-token")
	const before, after = "0123456789abcdef", "fedcba9876543210"
	h.Write("/etc/gpsbridge/device-tokens", "van_7 "+before+"\n")
	h.Run("chmod", "600", "/etc/gpsbridge/device-tokens")
	h.Write("/etc/gpsbridge/relay.toml", "[relay]\ndevice_tokens_file = \"${CREDENTIALS_DIRECTORY}/device-tokens\"\ndrain = \"2s\"\n")
	h.Run("systemctl", "restart", relayUnit)
	if files := h.show(relayUnit, "LimitNOFILE"); files != "110000" {
		h.t.Errorf("the tracking server may open %s files", files)
	}
	pid := h.show(relayUnit, "MainPID")
	accepts := func(token string) bool {
		const ask = `exec 3<>/dev/tcp/127.0.0.1/8947; printf 'GET /api/v1/devices/van_7 HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n' "$0" >&3; head -n 1 <&3`
		return !strings.Contains(h.Run("bash", "-c", ask, token), "401")
	}
	if !accepts(before) || accepts(after) {
		h.t.Error("the tokens are not those of the file")
	}
	h.Write("/etc/gpsbridge/device-tokens", "van_7 "+after+"\n")
	h.Run("systemctl", "reload", relayUnit)
	h.wait("the new token", func() bool { return accepts(after) })
	if now := h.show(relayUnit, "MainPID"); now != pid || accepts(before) {
		h.t.Errorf("after a reload process %s is %s, and the old token is accepted: %t", pid, now, accepts(before))
	}
	if out, err := h.Try("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "ls", "/run/gpsbridge-relay/"); err == nil {
		h.t.Errorf("another user sees the copies: %s", out)
	}
	h.Write("/srv/token", after+"\n")
	h.Run("systemd-run", "--quiet", "--unit=member", "gpsbridge", "watch", "--token-file", "/srv/token", "ws://127.0.0.1:8947/ws/gps-tracking/van_7/")
	h.wait("a member", func() bool { return strings.HasPrefix(h.show(relayUnit, "StatusText"), "1 trackers, 0 viewers") })
	h.Run("systemctl", "stop", relayUnit)
	log := h.Run("journalctl", "--no-pager", "--output=cat", "--unit="+relayUnit)
	if result := h.show(relayUnit, "Result"); result != "success" || !strings.Contains(log, "drain") {
		h.t.Errorf("a stop ends with %q, log:\n%s", result, log)
	}
}

// files lists everything on the machine but what changes by itself.
func (h *host) files() []string {
	h.t.Helper()
	changing := regexp.MustCompile(`^/(run/(systemd|log|udev|credentials|receiver|private|agetty.reload)|var/(log|cache|backups|lib/(dpkg|apt))|root/heard|tmp|var/tmp|etc/systemd/system/gpsbridge.service.d)(/|$)`)
	all := strings.Split(h.Run("find", "/", "/run", "-xdev"), "\n")
	return slices.DeleteFunc(all, changing.MatchString)
}

func TestPurgeLeavesNothing(t *testing.T) {
	t.Parallel()
	h := boot(t)
	h.Run("mkdir", "/var/lib/gpsbridge-backup", "/run/gpsbridge-notes") // the administrator's own
	before := h.files()
	h.install()
	h.Run("sh", "-c", "mkdir -p /var/lib/private/gpsbridge-ttyACM0 && ln -s private/gpsbridge-ttyACM0 /var/lib") // as an instance leaves it
	h.Run("systemctl", "stop", unit)
	h.Run("systemctl", "enable", "--now", relayUnit)
	h.Run("systemctl", "stop", relayUnit)
	h.startReceiver()
	h.startServer()
	h.Write(configFile, "device_id = \"van_7\"\n[[receiver]]\nsource = \"/run/receiver\"\n[[uplink]]\nserver = \"ws://127.0.0.1:1\"\n")
	h.Run("systemctl", "restart", unit)
	h.wait("a spool on the disk", func() bool {
		out, _ := h.Try("find", "/var/lib/private/gpsbridge", "/run/private/gpsbridge", "-type", "f")
		return strings.Contains(out, "/var/lib/") && strings.Contains(out, "/run/")
	})
	h.Run("systemctl", "stop", "receiver", "server")
	h.Run("apt-get", "remove", "--quiet", "--yes", "gpsbridge")
	if state := h.show(unit, "ActiveState"); state != "inactive" {
		t.Errorf("after the removal the service is %s", state)
	}
	h.Run("test", "-d", "/var/lib/gpsbridge/spool")
	h.Run("apt-get", "purge", "--quiet", "--yes", "gpsbridge")
	after := h.files()
	for _, path := range after {
		if !slices.Contains(before, path) {
			t.Errorf("left: %s", path)
		}
	}
	for _, path := range before {
		if strings.Contains(path, "gpsbridge-") && !slices.Contains(after, path) {
			t.Errorf("gone: %s", path)
		}
	}
}

// TestCommandsOutsideTheService has a relay for phones, with every secret that root alone can read. What check calls good
// starts, root's commands find nothing wrong, and another user gets the reason why a file cannot be read.
func TestCommandsOutsideTheService(t *testing.T) {
	t.Parallel()
	h := tracker(t)
	h.Write("/etc/gpsbridge/viewer-token", "0123456789abcdef\n")
	h.Run("chmod", "600", "/etc/gpsbridge/viewer-token")
	const receiver = "device_id = \"van_7\"\n[[receiver]]\nsource = \"/run/receiver\"\n"
	h.Write(configFile, receiver+"[[uplink]]\nserver = \"ws://"+trackingAt+"\"\ntoken_file = \"${CREDENTIALS_DIRECTORY}/token\"\n"+
		"[relay]\nlisten = \"0.0.0.0:8947\"\ntls = \"self-signed\"\ntoken_file = \"${CREDENTIALS_DIRECTORY}/viewer-token\"\n")
	h.Run("sh", "-c", "gpsbridge check && systemctl restart gpsbridge")
	h.wait("acknowledged fixes", func() bool {
		return regexp.MustCompile(`delivery +[1-9]\d* messages acknowledged`).MatchString(h.Run("gpsbridge", "status"))
	})
	const asUser = "setpriv --reuid nobody --regid nogroup --clear-groups "
	for _, test := range []struct{ line, want string }{
		{"gpsbridge check", "is a good configuration of device van_7"},
		{"gpsbridge status", "TLS       SHA-256 "},
		{"gpsbridge doctor", "Nothing is broken."},
		{"gpsbridge spool", "server " + trackingAt + ": "},
		{asUser + "gpsbridge check", "is a good configuration of device van_7"},
		{asUser + "gpsbridge status", "/etc/gpsbridge/viewer-token is not readable by this user: use sudo"},
		{asUser + "gpsbridge doctor", "/etc/gpsbridge/viewer-token is not readable by this user: use sudo"},
		{asUser + "gpsbridge spool", "/var/lib/gpsbridge/spool/van_7 is not readable by this user: use sudo"},
		{"gpsbridge spool drop", "another gpsbridge is using this spool"},
	} {
		out, err := h.Try("sh", "-c", test.line)
		if failed := strings.Contains(test.want, "use sudo") || strings.Contains(test.line, "drop"); !strings.Contains(out, test.want) || (err != nil) != failed {
			t.Errorf("%s: %v, without %q:\n%s", test.line, err, test.want, out)
		}
	}

	// A viewers' token that the service cannot read is an error for check, and never stops tracking.
	h.Write(configFile, receiver+"[relay]\nlisten = \"0.0.0.0:8947\"\ntoken_file = \"/etc/gpsbridge/viewer-token\"\n")
	if out, err := h.Try("gpsbridge", "check"); err == nil || !strings.Contains(out, "the service's user cannot read file") {
		t.Errorf("check: %v, %s", err, out)
	}
	h.Run("systemctl", "restart", unit)
	h.wait("the receiver", func() bool { return strings.Contains(h.show(unit, "StatusText"), "D fix") })
	if out, err := h.Try("gpsbridge", "status"); err == nil || !strings.Contains(out, "does not accept the token in /etc/gpsbridge/viewer-token") {
		t.Errorf("status: %v, %s", err, out)
	}
}

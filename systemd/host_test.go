package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gpsbridge/bridge/realtest"
)

// The tests of the service install the package, as it is built for this machine, on a machine of their own.

const (
	// soon bounds what needs less than a second on a quiet machine, and a minute on one that is as busy as can be.
	soon = 4 * time.Minute
	// pollEvery is how often a machine is asked for what it does not announce.
	pollEvery = 100 * time.Millisecond

	unit       = "gpsbridge.service"
	relayUnit  = "gpsbridge-relay.service"
	configFile = "/etc/gpsbridge/gpsbridge.toml"
	trackingAt = "127.0.0.1:9000" // of the server inside
	group      = "ws://" + trackingAt + "/ws/gps-tracking/van_7/"
)

// built holds what the tests build once: a release with the package, and the programs that they run in the machine.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gpsbridge-systemd-test-")
	if err != nil {
		return "", err
	}
	builtDir = dir
	if err := os.Chmod(dir, 0o755); err != nil { // apt reads as a user of its own
		return dir, err
	}
	arch := map[string]string{"arm": "armhf"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	for _, args := range [][]string{
		{"-C", "package", "run", ".", "release", "-o", filepath.Join(dir, "apt"), "-arch", arch},
		{"build", "-o", filepath.Join(dir, "probe"), "./testdata/probe"},
		{"build", "-o", filepath.Join(dir, "hostile"), "./testdata/hostile"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return dir, os.Link(firstMatch(filepath.Join(dir, "apt", "*.deb")), filepath.Join(dir, "gpsbridge.deb"))
})

func firstMatch(pattern string) string {
	paths, _ := filepath.Glob(pattern)
	return append(paths, pattern)[0]
}

// builtDir is where it is, "" while no test has asked for it.
var builtDir string

// removeBuilt is for the end of all tests.
func removeBuilt(int) {
	if builtDir != "" {
		_ = os.RemoveAll(builtDir)
	}
}

// host is a container on which the package has been installed.
type host struct {
	*realtest.Container
	t *testing.T
}

// boot starts a machine; /mnt holds what was built.
func boot(t *testing.T) *host {
	t.Helper()
	realtest.Need(t, realtest.Root, realtest.Nspawn)
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	h := &host{Container: realtest.StartContainer(t, dir), t: t}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := h.Try("journalctl", "--no-pager", "--lines=60")
			t.Logf("the end of the journal:\n%s", log)
		}
	})
	return h
}

// install boots a machine and installs the package.
func install(t *testing.T) *host {
	t.Helper()
	h := boot(t)
	h.install()
	return h
}

func (h *host) install() {
	h.t.Helper()
	h.Run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", "/mnt/gpsbridge.deb")
}

// show returns one property of a unit.
func (h *host) show(unit, property string) string {
	h.t.Helper()
	return strings.TrimSpace(h.Run("systemctl", "show", "--value", "--property="+property, unit))
}

func (h *host) journal() string {
	h.t.Helper()
	return h.Run("journalctl", "--no-pager", "--output=cat", "--unit="+unit)
}

// wait calls reached until it returns true.
func (h *host) wait(what string, reached func() bool) {
	h.t.Helper()
	deadline := time.After(soon)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !reached() {
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("waited %v for %s", soon, what)
		}
	}
}

// dropIn adds settings to the service.
func (h *host) dropIn(name, settings string) {
	h.t.Helper()
	h.Write("/etc/systemd/system/"+unit+".d/"+name+".conf", settings)
	h.Run("systemctl", "daemon-reload")
}

// startServer starts a tracking server, whose token the service gets as a credential.
func (h *host) startServer() {
	h.t.Helper()
	h.wait("the start of the tracking server", func() bool {
		if _, err := h.Try("systemctl", "start", "server"); err == nil { // one that was stopped may still be loaded
			return true
		}
		_, err := h.Try("systemd-run", "--quiet", "--unit=server", "gpsbridge", "relay", "--history=100000",
			"--publish-token-file=/etc/gpsbridge/token", "--listen="+trackingAt)
		return err == nil
	})
	h.wait("the tracking server", func() bool { _, err := h.Try("test", "-s", "/etc/gpsbridge/token"); return err == nil })
}

// startReceiver starts a receiver with 10 fixes a second on a pseudo-terminal, which the service may open as if it were
// a serial port: systemd always allows pseudo-terminals.
func (h *host) startReceiver() {
	h.t.Helper()
	h.Run("systemd-run", "--quiet", "--unit=receiver", "gpsbridge", "sim", "--rate=10", "--link=/run/receiver")
	h.wait("the receiver", func() bool { _, err := h.Try("chmod", "666", "/run/receiver"); return err == nil })
}

// tracker starts all of a tracker that drives: server, receiver, and the service configured for them.
func tracker(t *testing.T) *host {
	t.Helper()
	h := install(t)
	h.startServer()
	h.startReceiver()
	h.Write(configFile, fmt.Sprintf("device_id = \"van_7\"\n[[receiver]]\nsource = \"/run/receiver\"\n"+
		"[[uplink]]\nserver = \"ws://%s\"\ntoken_file = \"${CREDENTIALS_DIRECTORY}/token\"\n", trackingAt))
	h.Run("systemctl", "restart", unit)
	return h
}

// number reads a property that is a number.
func (h *host) number(property string) int {
	h.t.Helper()
	n, err := strconv.Atoi(h.show(unit, property))
	if err != nil {
		h.t.Fatalf("%s: %v", property, err)
	}
	return n
}

package systemd

import (
	"regexp"
	"strings"
	"testing"

	"gpsbridge/bridge/realtest"
)

// speedShown is a speed in the page.
var speedShown = regexp.MustCompile(`id="speed"[^>]*>\d`)

// TestSetup is the way of a new user: the package, one command, and fixes are at the server, and on a phone
// by the code on the terminal.
func TestSetup(t *testing.T) {
	t.Parallel()
	h := install(t)
	h.Run("ip", "address", "add", "192.0.2.7/24", "dev", "lo") // a machine without a network has no page for phones
	h.startServer()
	h.startReceiver()
	h.Run("cp", "/etc/gpsbridge/token", "/srv/token")
	before := h.show(unit, "InvocationID")
	out, err := h.Try("gpsbridge", "setup", "--device-id=van_7", "--device=/run/receiver", "--server=ws://"+trackingAt, "--token-file=/srv/token", "--phones")
	token := strings.TrimSpace(h.Run("cat", "/etc/gpsbridge/viewer-token"))
	page := "Page: http://192.0.2.7:8947/?device=van_7#token=" + token + "\n"
	if (err == nil) != strings.Contains(out, "Nothing is broken") || !strings.Contains(out, "\nok      port ") || !strings.HasSuffix(out, page) || len(token) < 16 {
		t.Errorf("setup: %v, it prints\n%s\nwant what doctor finds and %q", err, out, page)
	}
	h.wait("nothing to be broken", func() bool { _, err := h.Try("gpsbridge", "doctor"); return err == nil })
	if now := h.show(unit, "InvocationID"); now == before {
		t.Error("the service has not been restarted")
	}
	if modes := h.Run("stat", "--format=%a %U %n", configFile, "/etc/gpsbridge/token", "/etc/gpsbridge/viewer-token"); modes !=
		"644 root "+configFile+"\n600 root /etc/gpsbridge/token\n600 root /etc/gpsbridge/viewer-token\n" {
		t.Errorf("modes and owners:\n%s", modes)
	}
	h.listen() // until there is a fix at the server
	shown := h.Run("gpsbridge", "status", "--qr")
	if !strings.Contains(shown, page) {
		t.Errorf("status --qr prints\n%s", shown)
	}
	phone := ""
	h.wait("a fix on a phone that has read the code", func() (there bool) {
		phone, _ = h.Browse(realtest.ScanQR(t, shown), 390, 844)
		return speedShown.MatchString(phone)
	})
	if journal := h.journal(); strings.Contains(journal, token) || strings.Contains(journal, strings.TrimSpace(h.Run("cat", "/srv/token"))) {
		t.Error("a token is in the journal")
	}

	// A second setup keeps what it is not given, and another user is sent to sudo.
	kept := h.Run("cat", configFile)
	if out, _ := h.Try("gpsbridge", "setup", "--phones"); !strings.Contains(out, page) || h.Run("cat", configFile) != kept {
		t.Errorf("the second setup prints\n%s\nand has changed the file:\n%s", out, h.Run("cat", configFile))
	}
	out, err = h.Try("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "gpsbridge", "setup", "--server=none")
	if err == nil || !regexp.MustCompile(`gpsbridge\.toml is not writable by this user: use sudo`).MatchString(out) {
		t.Errorf("as another user: %v, %s", err, out)
	}
}

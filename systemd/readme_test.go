package systemd

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// A command of the manual is a line of an indented block, or text in backquotes, that begins with a program.
var (
	inManual  = regexp.MustCompile("(?m)`([^`\n]+)`|^ {4,}(\\S.*)$")
	isCommand = regexp.MustCompile(`^(sudo|gpsbridge|systemctl|journalctl|apt|dpkg|ls|ssh|go|mmcli|systemd-analyze|raspi-config) [^:]`)
)

// elsewhere are the commands that need what a container has not: what they begin with, and why.
var elsewhere = map[string]string{
	"go -C systemd/package run .": "the package is built before",
	"sudo raspi-config":           "on a Raspberry Pi alone",
	"ssh ":                        "at the laptop",
	"ls -l /dev/serial/by-id/":    "nothing is plugged in",
	"sudo fuser ":                 "no port is busy",
	"sudo wget ":                  "no network; the signatures have a test beside package",
	"sudo udevadm ":               "udev does not run; TestHotPlug has it",
	"mmcli ":                      "no modem",
	"sudo systemctl disable --now gpsbridge &": "no port /dev/ttyACM0; TestInstanceComesAndGoesWithItsDevice has it, and TestExposure the tracking server",
	"sudo systemctl reload gpsbridge-relay":    "the same",
}

// manual is what README.md has the reader do, in order.
func manual(t *testing.T) (steps []string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	installed, _, found := strings.Cut(string(text), "\n## Changing this directory\n")
	if !found {
		t.Fatal("the part for developers has another heading")
	}
	for _, m := range inManual.FindAllStringSubmatch(installed, -1) {
		step := m[1] + m[2]
		step, _, _ = strings.Cut(step, "  #") // a comment
		if isCommand.MatchString(step) {
			steps = append(steps, strings.TrimSpace(step))
		}
	}
	return steps
}

// beginsWith is the entry of elsewhere that a command has, "" for none.
func beginsWith(command string) string {
	for with := range elsewhere {
		if strings.HasPrefix(command, with) {
			return with
		}
	}
	return ""
}

// answered has a person answer the questions of a command, at a terminal. What follows a hidden answer at once is dropped: the
// last answer is typed when its question, about phones, is there.
func answered(command, last string, answers ...string) string {
	return "rm -f shown; { printf '" + strings.Join(answers, `\n`) + `\n'; until grep -qi phones shown; do sleep 0.1; done; echo ` + last +
		`; } 2>/dev/null | timeout 200 script -qefc "` + command + `" shown`
}

// TestManual does what README.md says, from the package to its removal. For the reader's receiver, server and token there are
// a simulated receiver, a server on the same machine and its token.
func TestManual(t *testing.T) {
	t.Parallel()
	h := boot(t)
	h.Write("/usr/bin/sudo", "#!/bin/sh\nexec \"$@\"\n")
	h.Run("chmod", "+x", "/usr/bin/sudo")
	h.Run("cp", "/mnt/gpsbridge.deb", "/srv/gpsbridge_1_arm64.deb") // its name does not matter to apt
	h.Write("/etc/apt/sources.list", "")                            // Debian's servers are out of reach
	here := strings.NewReplacer("wss://tracking.example.org", "ws://"+trackingAt, "https://apt.example.org/gpsbridge", "file:/mnt/apt")
	ran, skipped := 0, map[string]bool{}
	for _, step := range manual(t) {
		if with := beginsWith(step); with != "" {
			skipped[with] = true
			continue
		}
		line := "yes | { " + here.Replace(step) + "; }" // apt asks
		if step == "sudo gpsbridge setup" {
			line = answered(step, "n", "van_7", "/run/receiver", "ws://"+trackingAt, strings.TrimSpace(h.Run("cat", "/srv/token")))
		}
		out, err := h.Try("sh", "-c", "cd /srv; "+line)
		if strings.HasPrefix(step, "sudo gpsbridge doctor") || strings.HasPrefix(step, "sudo gpsbridge setup") {
			h.wait(step+" to find nothing broken", func() bool { // a busy machine may be late the first time
				if err == nil && strings.Contains(out, "Nothing is broken") {
					return true
				}
				out, err = h.Try("sh", "-c", "cd /srv; "+line)
				return false
			})
		}
		if ran++; err != nil {
			t.Errorf("%s\n%v", step, err)
		}
		switch {
		case strings.HasPrefix(step, "sudo apt install"):
			h.startServer()
			h.Run("cp", "/etc/gpsbridge/token", "/srv/token")
			h.startReceiver()
		case step == "gpsbridge status":
			h.wait("the server to have fixes", func() bool {
				return regexp.MustCompile(`connected[^$]*delivery +[1-9]\d* messages acknowledged`).MatchString(h.Run("gpsbridge", "status"))
			})
		}
	}
	if ran < 12 {
		t.Errorf("%d commands found in the manual, want at least 12", ran)
	}
	for with := range elsewhere {
		if !skipped[with] {
			t.Errorf("the manual does not have %q any more", with)
		}
	}
	if _, err := h.Try("test", "-e", "/etc/gpsbridge/gpsbridge.toml"); err == nil {
		t.Error("after the last command of the manual, the removal, the configuration is still there")
	}
}

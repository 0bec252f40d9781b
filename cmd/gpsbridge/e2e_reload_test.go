package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
)

// TestHangupReloadsTheConfiguration has the running daemon take a server over that it did not know at its start.
func TestHangupReloadsTheConfiguration(t *testing.T) {
	t.Parallel()
	caught := make(chan os.Signal, 1) // where the tests run under nohup the program would ignore it too, and rightly
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	server := realtest.StartDjango(t, realtest.Options{})
	path := filepath.Join(t.TempDir(), "gpsbridge.toml")
	write := func(text string) { writeFile(t, path, text) }
	const fleet = "[[uplink]]\nname = \"fleet\"\nserver = "
	write(fleet + `"ws://127.0.0.1:1"`)
	line := realtest.OpenPty(t)
	cmd := gpsbridge(t, "run", "-c", path, "--device-id", deviceID, "--listen", "127.0.0.1:0", "--device", line.Path()+"?baud=9600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a service has no terminal
	d := startDaemonCmd(t, cmd)
	d.waitOpen()

	hangup := func(want string) {
		t.Helper()
		before := len(d.Output())
		d.Signal(syscall.SIGHUP)
		_, err := d.WaitOutput(soon, func(out string) bool { return len(out) > before && strings.Contains(out[before:], want) })
		if err != nil {
			t.Fatal(err)
		}
	}
	write("[[uplink]]\nserver = \"http://wrong\"")
	hangup("configuration not reloaded, the old one is kept")
	write(fleet + `"ws://127.0.0.1:1"` + "\n[relay]\nhistory = 7")
	hangup("needs a restart\" restart=[relay]")

	newVehicle().feed(d, line, 0, 20)
	member := realtest.Join(t, server.GroupURL(deviceID))
	write(fleet + `"` + server.URL() + `"`)
	hangup("configuration reloaded\"\n")
	if got := member.WaitDistinct(19, soon); len(got) < 19 { // the last epoch may still be open
		t.Errorf("%d messages at the server, want 19", len(got))
	}
	if st := d.waitStatus("an empty spool", func(st observe.Status) bool { return st.Spool.Records == 0 }); st.Receivers[0].Opens != 1 {
		t.Errorf("the port was opened %d times", st.Receivers[0].Opens)
	}
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
)

// asOnAService runs a command line where /etc/gpsbridge/gpsbridge.toml is a configuration: in a mount namespace of its own.
func asOnAService(t *testing.T, config string, args ...string) *exec.Cmd {
	t.Helper()
	realtest.Need(t, realtest.Namespaces)
	const etc = `mount -t tmpfs etc /etc && mkdir /etc/gpsbridge && cp "$0" /etc/gpsbridge/gpsbridge.toml && exec "$@"`
	cmd := gpsbridge(t, args...)
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = append([]string{unshare, "--mount", "sh", "-c", etc, config, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = unshare
	return cmd
}

// TestServiceConfigurationIsTheDefault: a person on the tracker names neither file nor address.
func TestServiceConfigurationIsTheDefault(t *testing.T) {
	t.Parallel()
	line, v := realtest.OpenPty(t), newVehicle()
	d := startDaemon(t, "--device", line.Path()+"?baud=115200")
	d.waitOpen()
	v.feed(d, line, 0, 20)
	file := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, file, fmt.Sprintf("device_id = %q\n[relay]\nlisten = %q\n[spool]\ndir = %q\n", deviceID, d.addr, filepath.Join(t.TempDir(), "none")))
	for _, test := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"status"}, exitDone, []string{"device    " + deviceID, "position  51.500", "50.0 km/h, course 84°"}},
		{[]string{"check"}, exitDone, []string{"gpsbridge.toml is a good configuration of device " + deviceID}},
		{[]string{"spool"}, exitFailed, []string{"holds no spool"}},
		{[]string{"doctor"}, exitFailed, []string{"configuration /etc/gpsbridge/gpsbridge.toml, device " + deviceID, "running for"}},
	} {
		p := start(t, asOnAService(t, file, test.args...))
		code, err := p.Exit(2 * soon)
		for _, want := range append(test.want, "gpsbridge "+test.args[0]+": reading /etc/gpsbridge/gpsbridge.toml\n") {
			if !strings.Contains(p.Output(), want) {
				t.Errorf("%q: no %q in\n%s", test.args, want, p.Output())
			}
		}
		if code != test.code || err != nil {
			t.Errorf("%q: exit code %d, %v", test.args, code, err)
		}
	}
	watch := start(t, asOnAService(t, file, "watch"))
	d.waitStatus("a viewer", func(st observe.Status) bool { return st.Relay.Viewers > 0 })
	if _, err := watch.WaitOutput(soon, func(out string) bool { return strings.Contains(out, `{"class":"TPV","device_id":"`+deviceID) }); err != nil {
		t.Error(err)
	}
	watch.Signal(os.Interrupt)
	if code, err := watch.Exit(soon); code != exitDone || err != nil {
		t.Errorf("watch: exit code %d, %v", code, err)
	}
}

// TestSpoolDropAsksAtATerminal: what a person does not agree to lose stays.
func TestSpoolDropAsksAtATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spool := filepath.Join(dir, deviceID) // each device ID has its own in it
	line, v := realtest.OpenPty(t), newVehicle()
	file := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, file, fmt.Sprintf("[spool]\ndir = %q\nmin_free = \"1MiB\"\n", dir))
	d := startDaemon(t, "-c", file, "--device", line.Path()+"?baud=115200", "--server", "ws://"+realtest.Refusing(t))
	d.waitOpen()
	v.feed(d, line, 0, 20)
	d.waitStatus("fixes to wait", func(st observe.Status) bool { return st.Spool.Records == 20 })
	if err := d.Stop(soon); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		answer, want string
		code         int
	}{
		{"\n", "nothing was dropped: answer y, or give --yes", exitFailed},
		{"n\n", "nothing was dropped", exitFailed},
		{"y\n", "20 records dropped", exitDone},
	} {
		said, code := answer(t, gpsbridge(t, "spool", "--dir", spool, "drop"), "[y/N]", test.answer)
		if code != test.code || !strings.Contains(said, "Drop 20 records in "+spool) || !strings.Contains(said, test.want) {
			t.Errorf("answer %q: exit code %d, %q; want %d, %q", test.answer, code, said, test.code, test.want)
		}
	}
	if said, code := answer(t, gpsbridge(t, "spool", "--dir", spool, "--yes", "drop"), "records dropped", ""); code != exitDone || strings.Contains(said, "[y/N]") {
		t.Errorf("--yes: exit code %d, %q", code, said)
	}
}

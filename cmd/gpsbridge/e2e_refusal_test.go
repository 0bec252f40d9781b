package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/source"
)

// refuse runs gpsbridge to its end, and checks that it refuses in one line.
func refuse(t *testing.T, cmd *exec.Cmd, wants ...string) {
	t.Helper()
	p := start(t, cmd)
	code, err := p.Exit(soon)
	if err != nil || code != exitUsage {
		t.Errorf("exit code %d, %v; want %d", code, err, exitUsage)
	}
	out := p.Output()
	if strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "\n") {
		t.Errorf("said %q, want one line", out)
	}
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("said %q, want %q in it", out, want)
		}
	}
}

func TestWrongKeyIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, file, "device_id = \"van_7\"\n\n[relay]\nlissten = \"127.0.0.1:0\"\n")
	refuse(t, gpsbridge(t, "run", "-c", file), file+":4", "relay.lissten")
}

func TestWrongDeviceIDIsRefused(t *testing.T) {
	t.Parallel()
	refuse(t, gpsbridge(t, "run", "--device-id", "van-7"), `"van-7"`, "letters, digits and underscores", `"van_7"`)
}

// oneWarning checks that a daemon has warned of a thing once, however often it has tried since, with the fix.
func oneWarning(t *testing.T, d *daemon, about string, fixes ...string) {
	t.Helper()
	if _, err := d.WaitOutput(soon, func(out string) bool { return strings.Contains(out, about) }); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range d.warnings() {
		if strings.Contains(line, about) {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 {
		t.Errorf("warned %d times of %s, want once:\n%s", len(lines), about, strings.Join(lines, ""))
	}
	for _, fix := range fixes {
		if !strings.Contains(lines[0], fix) {
			t.Errorf("warned %q, want %q in it", lines[0], fix)
		}
	}
}

// goesOn checks that fixes reach the viewers in the vehicle.
func goesOn(t *testing.T, d *daemon, line *realtest.Pty, viewer *realtest.Member) {
	t.Helper()
	v := newVehicle()
	d.waitOpen()
	v.feed(d, line, 0, 50)
	v.checkAll(t, viewer.WaitDistinct(50, soon), 50)
}

func TestNoReceiver(t *testing.T) {
	t.Parallel()
	server := realtest.StartDjango(t, realtest.Options{})
	d := startDaemon(t, "--device", "/dev/gpsbridge-no-such-port", "--server", server.URL())
	st := d.waitStatus("the uplink to connect without a receiver", func(st observe.Status) bool { return st.Uplinks[0].State == "connected" })
	if r := st.Receivers[0]; r.State != "waiting" || r.Problem == nil || r.Problem.Code != source.PortMissing {
		t.Errorf("status: receiver %s, %v; want it waiting for its port", r.State, r.Problem)
	}
	oneWarning(t, d, "/dev/gpsbridge-no-such-port does not exist", "plug the receiver in")
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	addr := realtest.Refusing(t)
	line := realtest.OpenPty(t)
	d := startDaemon(t, "--device", line.Path()+"?baud=9600", "--server", "ws://"+addr)
	viewer := d.group()
	goesOn(t, d, line, viewer)
	oneWarning(t, d, "cannot connect", addr, "nothing listens on port", "check that the server runs")
	if st := d.waitStatus("fixes kept for the server", func(st observe.Status) bool { return st.Spool.Records == 50 }); st.Uplinks[0].Problem == nil {
		t.Error("the status does not show why there is no connection")
	}
}

func TestServerForbids(t *testing.T) {
	t.Parallel()
	server, line := realtest.StartDjango(t, realtest.Options{Refuse: true}), realtest.OpenPty(t)
	d := startDaemon(t, "--device", line.Path()+"?baud=9600", "--server", server.URL())
	viewer := d.group()
	goesOn(t, d, line, viewer)
	oneWarning(t, d, "403 Forbidden", "check token_file and origin")
}

// nobody is a user who has no rights to anything (Debian's nobody).
const nobody = 65534

func TestPortWithoutPermission(t *testing.T) {
	t.Parallel()
	realtest.Need(t, realtest.Root)
	line := realtest.OpenPty(t)
	if err := os.Chmod(line.Path(), 0o660); err != nil {
		t.Fatal(err)
	}
	cmd := gpsbridge(t, "run", "--device-id", deviceID, "--device", line.Path()+"?baud=9600", "--listen", "127.0.0.1:0")
	cmd.Path = forEveryUser(t, cmd.Path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	d := startDaemonCmd(t, cmd)
	viewer := d.group()
	oneWarning(t, d, line.Path()+": permission denied", "usermod -aG")

	if err := os.Chmod(line.Path(), 0o666); err != nil {
		t.Fatal(err)
	}
	goesOn(t, d, line, viewer)
}

// forEveryUser copies a program to where every user can run it: go test keeps its own in a directory of the caller's.
func forEveryUser(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gpsbridge-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := filepath.Join(dir, "gpsbridge")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, readFile(t, path), 0o755)); err != nil {
		t.Fatal(err)
	}
	return program
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

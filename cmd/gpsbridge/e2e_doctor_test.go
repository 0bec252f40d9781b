package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gpsbridge/bridge/doctor"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/sim"
	"gpsbridge/bridge/receiver/source"
)

// consult runs gpsbridge doctor with --json to its end, and returns its links and its exit code.
func consult(t *testing.T, cmd *exec.Cmd) ([]doctor.Link, int) {
	t.Helper()
	cmd.Args = append(cmd.Args, "--json")
	p := start(t, cmd)
	code, err := p.Exit(2 * soon)
	if err != nil {
		t.Fatal(err)
	}
	var links []doctor.Link
	if err := json.Unmarshal([]byte(p.Output()), &links); err != nil {
		t.Fatalf("exit code %d, said %q: %v", code, p.Output(), err)
	}
	return links, code
}

// doctorOf is a doctor that cannot know whether a daemon runs.
func doctorOf(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return gpsbridge(t, append([]string{"doctor", "--device-id", deviceID, "--listen", "off"}, args...)...)
}

// aloneDoctor is a doctor that sees that no daemon runs.
func aloneDoctor(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return gpsbridge(t, append([]string{"doctor", "--device-id", deviceID, "--listen", realtest.Refusing(t)}, args...)...)
}

// oneBroken checks that one link is broken and nothing else, by a problem of this code whose text holds the wants.
func oneBroken(t *testing.T, cmd *exec.Cmd, name string, code problem.Code, wants ...string) {
	t.Helper()
	links, exit := consult(t, cmd)
	if exit != exitFailed {
		t.Errorf("exit code %d, want %d", exit, exitFailed)
	}
	blocked := "not checked: " + name + " is broken"
	for _, l := range links {
		switch {
		case l.Name == name && l.State == doctor.Broken:
			if l.Code != code {
				t.Errorf("%s: code %q, want %q", name, l.Code, code)
			}
			for _, want := range wants {
				if !strings.Contains(l.Text(), want) {
					t.Errorf("%s: %q lacks %q", name, l.Text(), want)
				}
			}
			continue
		case l.State == doctor.Broken, l.Name == name, l.State == doctor.Warning && l.Name != "clock":
			t.Errorf("%s is %s: %s; want %s broken and nothing else", l.Name, l.State, l.Text(), name)
		case l.State == doctor.Skipped && strings.HasPrefix(l.Seen, "not checked: ") && l.Seen != blocked:
			t.Errorf("%+v; want %q", l, blocked)
		}
	}
	if !slices.ContainsFunc(links, func(l doctor.Link) bool { return l.Name == name }) {
		t.Errorf("no link %s", name)
	}
}

// allWell checks that the named links are ok, nothing is broken and nothing warns; the test machine's clock may not be
// synchronised.
func allWell(t *testing.T, cmd *exec.Cmd, names ...string) []doctor.Link {
	t.Helper()
	links, code := consult(t, cmd)
	if code != exitDone {
		t.Errorf("exit code %d, want %d", code, exitDone)
	}
	for _, l := range links {
		if l.State == doctor.Broken || l.State == doctor.Warning && l.Name != "clock" || slices.Contains(names, l.Name) && l.State != doctor.OK {
			t.Errorf("%+v", l)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(links, func(l doctor.Link) bool { return l.Name == name }) {
			t.Errorf("no link %s", name)
		}
	}
	return links
}

// asNobody has a program run as a user without rights.
func asNobody(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	realtest.Need(t, realtest.Root)
	cmd.Path = forEveryUser(t, cmd.Path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// simulate runs a simulated receiver until the test ends, and returns its port.
func simulate(t *testing.T, c sim.Config) string {
	t.Helper()
	r, err := sim.Open(c, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		_ = r.Close()
		running.Wait()
	})
	return r.Path()
}

// repeat sends the same bytes twice a second until the test ends.
func repeat(t *testing.T, line *realtest.Pty, text []byte) {
	t.Helper()
	end := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = line.Write(text) // who reads it is judged
			case <-end:
				return
			}
		}
	})
	t.Cleanup(func() {
		close(end)
		line.Unplug()
		running.Wait()
	})
}

func TestDoctorPortWithoutPermission(t *testing.T) {
	t.Parallel()
	line := realtest.OpenPty(t)
	if err := os.Chmod(line.Path(), 0o660); err != nil {
		t.Fatal(err)
	}
	oneBroken(t, asNobody(t, doctorOf(t, "--device", line.Path())), "permission", source.Permission, line.Path()+": permission denied", "usermod -aG")
}

func TestDoctorPortHeld(t *testing.T) {
	t.Parallel()
	line := realtest.OpenPty(t)
	if err := os.Chmod(line.Path(), 0o666); err != nil {
		t.Fatal(err)
	}
	holder := start(t, asNobody(t, gpsbridge(t, "run", "--device-id", deviceID, "--device", line.Path(), "--listen", "off")))
	repeat(t, line, newVehicle().epochs(0, 1))
	if _, err := holder.WaitOutput(soon, func(out string) bool { return strings.Contains(out, "receiver reading") }); err != nil {
		t.Fatal(err)
	}
	oneBroken(t, asNobody(t, doctorOf(t, "--device", line.Path())), "holder", source.Held, line.Path()+" is held by gpsbridge (pid ", "it is being read already")
}

// TestDoctorAlone: a healthy chain without a daemon, over TLS. One message comes back from the group.
func TestDoctorAlone(t *testing.T) {
	t.Parallel()
	server := realtest.StartDjango(t, realtest.Options{})
	url, authority := behindTLS(t, server.URL(), -time.Hour, time.Hour)
	file := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, file, fmt.Sprintf("[spool]\ndir = %q\nmin_free = \"1MiB\"\n[[uplink]]\nserver = %q\nca_file = %q\n", t.TempDir(), url, authority))
	links := allWell(t, aloneDoctor(t, "-c", file, "--device", simulate(t, sim.Config{Rate: 1, Baud: 9600, Garble: true})),
		"configuration", "port", "permission", "console", "holder", "bytes", "baud", "sentences", "satellites", "fix",
		"clock", "dns", "tcp", "tls", "upgrade", "echo", "spool", "disk")
	if i := slices.IndexFunc(links, func(l doctor.Link) bool { return l.Name == "echo" }); i < 0 || !strings.Contains(links[i].Seen, "echoed after ") {
		t.Errorf("%+v; want an echo seen", links)
	}
	life := regexp.MustCompile(`^\{"class": ?"TPV", ?"device_id": ?"van_7", ?"run": ?"[0-9a-f]{16}", ?"mode": ?1, ?"seq": ?1\}$`)
	if sent, err := server.Processed(); len(sent) != 1 || err != nil || !life.Match(sent[0]) {
		t.Errorf("the group was sent %s, %v; want one message without a position", sent, err)
	}
}

// TestDoctorBesideDaemon: a healthy chain beside a daemon, which does not notice; its fixes are seen to come back.
func TestDoctorBesideDaemon(t *testing.T) {
	t.Parallel()
	server := realtest.StartDjango(t, realtest.Options{})
	d := startDaemon(t, "--device", simulate(t, sim.Config{Rate: 5, Baud: 115200, Garble: true}), "--server", server.URL())
	d.waitStatus("fixes to be acknowledged", func(st observe.Status) bool { return st.Uplinks[0].Acked > 2 })
	cmd := gpsbridge(t, "doctor", "--device-id", deviceID, "--listen", d.addr, "--server", server.URL())
	links := allWell(t, cmd, "daemon", "port", "permission", "holder", "bytes", "sentences", "satellites", "fix",
		"clock", "dns", "tcp", "upgrade", "echo", "spool")
	for _, l := range links {
		if l.Name == "echo" && !strings.Contains(l.Seen, "came back from the group") {
			t.Errorf("%+v; want the daemon's fix seen", l)
		}
	}
	taken, err := server.Taken()
	for _, m := range taken {
		if m.Connection != taken[0].Connection {
			t.Errorf("a second connection sent %s", m.Message)
		}
	}
	if st, statusErr := d.status(); err != nil || statusErr != nil || st.Uplinks[0].Connects != 1 || st.Receivers[0].Opens != 1 {
		t.Errorf("the daemon was disturbed: %v, %v, %+v", err, statusErr, st)
	}
}

// TestDoctorWithoutTheDaemonsConfiguration: "gpsbridge doctor" alone shows what the daemon reports of its
// server, and that the rest needs its configuration.
func TestDoctorWithoutTheDaemonsConfiguration(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "--device", simulate(t, sim.Config{Rate: 1, Baud: 38400, Garble: true}), "--server", "ws://127.0.0.1:1")
	d.waitStatus("the server to be missed", func(st observe.Status) bool { return st.Uplinks[0].Problem != nil })
	links, code := consult(t, gpsbridge(t, "doctor", "--device-id", "van_8", "--listen", d.addr))
	wants := map[string]string{
		"daemon":             "running as device van_7, which is not the configuration's: name its configuration with -c FILE",
		"server 127.0.0.1:1": "connection refused, nothing listens on port 1 of 127.0.0.1",
		"dns":                "give it with -c FILE",
	}
	for _, l := range links {
		if want, named := wants[l.Name]; named && strings.Contains(l.Text(), want) {
			delete(wants, l.Name)
		}
	}
	if code != exitFailed || len(wants) > 0 {
		t.Errorf("exit code %d, %+v lack %v", code, links, wants)
	}
}

// TestDoctorBesideDaemonWithTrouble: what the daemon sees is said, in its words.
func TestDoctorBesideDaemonWithTrouble(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "--device", "/dev/gpsbridge-no-such-port")
	d.waitStatus("the port to be missed", func(st observe.Status) bool { return st.Receivers[0].State == "waiting" })
	oneBroken(t, gpsbridge(t, "doctor", "--device-id", deviceID, "--listen", d.addr), "port", source.PortMissing, "/dev/gpsbridge-no-such-port does not exist", "plug the receiver in")

	p := start(t, gpsbridge(t, "doctor", "--device-id", deviceID, "--listen", d.addr))
	code, err := p.Exit(soon)
	lines := strings.Split(strings.TrimSpace(p.Output()), "\n")
	if err != nil || code != exitFailed || !strings.HasPrefix(p.Output(), "ok      configuration defaults, device van_7\n") ||
		!strings.Contains(strings.Join(lines[max(0, len(lines)-3):], " "), "Broken: port: /dev/gpsbridge-no-such-port does not exist: plug the receiver in") {
		t.Errorf("exit code %d, %v:\n%s", code, err, p.Output())
	}
	for _, line := range lines {
		if len(line) > chartColumns || strings.Contains(line, "\x1b") {
			t.Errorf("%q is too long, or colored, where no terminal is", line)
		}
	}
}

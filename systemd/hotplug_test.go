package systemd

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/sim"
)

// envQEMU asks for the tests in a virtual machine, which download a kernel and need some minutes.
const envQEMU = "TEST_GPSBRIDGE_QEMU"

// bootTimeout bounds the start of an emulated machine, 10 s where there is nothing else to do.
const bootTimeout = 3 * time.Minute

// emulated is a virtual machine on which a USB serial adapter (FTDI, 0403:6001) can be plugged in.
type emulated struct {
	t       *testing.T
	dir     string
	control net.Conn
	answers *bufio.Reader
}

// emulate boots a machine with the package on it, not installed.
func emulate(t *testing.T) *emulated {
	t.Helper()
	if os.Getenv(envQEMU) == "" {
		t.Skipf("needs some minutes: set %s=1 to run it", envQEMU)
	}
	realtest.Need(t, realtest.Root, realtest.Nspawn, realtest.QEMU)
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	m := &emulated{t: t, dir: t.TempDir()}
	image := exec.Command("testdata/qemu-image", realtest.RootFS(), filepath.Join(dir, "gpsbridge.deb"),
		filepath.Join(cache, "gpsbridge", "kernel"), m.dir)
	if out, err := image.CombinedOutput(); err != nil {
		t.Fatalf("make the image: %v\n%s", err, out)
	}
	cmd := exec.Command("qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "512",
		"-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio", "-kernel", "vmlinuz", "-initrd", "initrd.gz",
		"-append", "console=ttyS0 root=/dev/vda rw quiet mitigations=off no_timer_check panic=-1 systemd.show_status=0",
		"-drive", "file=root.img,format=raw,if=virtio",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=control,path=control.sock,server=on,wait=off",
		"-device", "virtconsole,chardev=control",
		"-device", "qemu-xhci", "-chardev", "socket,id=adapter,path=adapter.sock,server=on,wait=off",
		"-device", "usb-serial,chardev=adapter")
	cmd.Dir = m.dir
	realtest.Start(t, "qemu-system-x86_64", cmd)
	m.connect()
	return m
}

// connect waits for the shell in the machine.
func (m *emulated) connect() {
	m.t.Helper()
	deadline := time.After(bootTimeout)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for m.control == nil {
		if conn, err := net.Dial("unix", filepath.Join(m.dir, "control.sock")); err == nil {
			m.control = conn
			m.t.Cleanup(func() { conn.Close() })
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			m.t.Fatal("the virtual machine has not started")
		}
	}
	m.answers = bufio.NewReader(m.control)
	if out, err := m.answer(bootTimeout); err != nil {
		m.t.Fatalf("the virtual machine has not booted: %v: %s", err, out)
	}
}

// answer reads the output of the shell up to the exit code, which is an error unless 0.
func (m *emulated) answer(timeout time.Duration) (string, error) {
	if err := m.control.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	var out strings.Builder
	for {
		line, err := m.answers.ReadString('\n')
		if err != nil {
			return out.String(), err
		}
		if code, last := strings.CutPrefix(line, "::"); last {
			if code = strings.TrimSpace(code); code != "0" {
				err = fmt.Errorf("exit code %s", code)
			}
			return out.String(), err
		}
		out.WriteString(line)
	}
}

// try runs a line of shell in the machine.
func (m *emulated) try(line string) (string, error) {
	if _, err := fmt.Fprintln(m.control, line); err != nil {
		return "", err
	}
	return m.answer(bootTimeout)
}

func (m *emulated) run(line string) string {
	m.t.Helper()
	out, err := m.try(line)
	if err != nil {
		m.t.Fatalf("%s: %v: %s", line, err, out)
	}
	return out
}

// wait runs a line of shell until it succeeds.
func (m *emulated) wait(line string) {
	m.t.Helper()
	deadline := time.After(2 * soon)
	tick := time.NewTicker(5 * pollEvery)
	defer tick.Stop()
	for {
		out, err := m.try(line)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			log, _ := m.try("systemctl status --no-pager --full --lines=30 gpsbridge 'gpsbridge@*'; journalctl -b --no-pager --lines=30")
			m.t.Fatalf("waited %v for %q: %v: %s\n%s", 2*soon, line, err, out, log)
		}
	}
}

// plug plugs the adapter in, behind which a receiver sends once a second, and returns how to pull it.
func (m *emulated) plug() (unplug func()) {
	m.t.Helper()
	line, err := net.Dial("unix", filepath.Join(m.dir, "adapter.sock"))
	if err != nil {
		m.t.Fatal(err)
	}
	receiver, err := sim.New(sim.Config{Start: time.Now().UTC()})
	if err != nil {
		m.t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			for sentence := range strings.Lines(string(receiver.Epoch())) {
				// Two a second: the emulated adapter holds 384 bytes, and with more the emulator is busy with it alone.
				if !strings.Contains(sentence, "RMC,") && !strings.Contains(sentence, "GGA,") {
					continue
				}
				if _, err := io.WriteString(line, sentence); err != nil {
					return // pulled
				}
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	unplug = sync.OnceFunc(func() {
		close(stop)
		line.Close()
		<-stopped
	})
	m.t.Cleanup(unplug)
	return unplug
}

// The lines of the rules from which the test removes the # are those of the adapter that QEMU emulates.
const (
	installOnMachine = `dpkg --install /srv/gpsbridge.deb`
	useFTDI          = `sed 's/^#\(.*0403.*\)/\1/' /usr/lib/udev/rules.d/60-gpsbridge.rules >/etc/udev/rules.d/60-gpsbridge.rules && udevadm control --reload`
	serve            = `systemd-run --quiet --unit=server gpsbridge relay --publish-token-file=/etc/gpsbridge/token --listen=127.0.0.1:9000`
	configure        = `printf 'device_id = "van_7"\n[[uplink]]\nserver = "ws://127.0.0.1:9000"\ntoken_file = "${CREDENTIALS_DIRECTORY}/token"\n' >/etc/gpsbridge/`
	atServer         = `timeout 5 gpsbridge watch ws://127.0.0.1:9000/ws/gps-tracking/van_7/ | grep --max-count=1 '"run":"'`
)

func TestHotPlug(t *testing.T) {
	m := emulate(t)
	m.run(installOnMachine)
	m.run(useFTDI)
	m.run(serve)
	m.wait("test -s /etc/gpsbridge/token")
	m.run(configure + "gpsbridge.toml && systemctl restart gpsbridge")
	started := m.run("systemctl show --property=InvocationID,NRestarts gpsbridge")
	for range 2 {
		unplug := m.plug()
		m.wait("test -e /dev/gps0")
		if target := strings.TrimSpace(m.run("readlink --canonicalize /dev/gps0")); target != "/dev/ttyUSB0" {
			t.Errorf("/dev/gps0 is %s, want /dev/ttyUSB0", target)
		}
		m.run("udevadm settle && udevadm info --query=property /dev/ttyUSB0 | grep '^ID_MM_PORT_IGNORE=1'")
		m.run("udevadm info --query=property /sys/class/tty/ttyUSB0/device/../.. | grep '^ID_MM_DEVICE_IGNORE=1'")
		m.wait(`gpsbridge status --json | grep '"state": *"reading"'`)
		m.wait(atServer)
		unplug()
		m.wait("test ! -e /dev/ttyUSB0 && test ! -e /dev/gps0")
		m.wait(`gpsbridge status --json | grep '"state": *"waiting"'`)
	}
	if now := m.run("systemctl show --property=InvocationID,NRestarts gpsbridge"); now != started {
		t.Errorf("the service was started again: %s, before %s", now, started)
	}
	// "permission denied" may be logged in the moment before udev has given the port to its group; EPERM would be the unit's.
	if log, err := m.try("journalctl --unit=gpsbridge --output=cat | grep -i 'not permitted'"); err == nil {
		t.Errorf("the journal has %s", log)
	}
}

func TestInstanceComesAndGoesWithItsDevice(t *testing.T) {
	m := emulate(t)
	m.run(installOnMachine)
	m.run(useFTDI)
	m.run("systemctl disable --now gpsbridge")
	m.run(serve)
	m.wait("test -s /etc/gpsbridge/token")
	m.run(configure + `gps0.toml && printf '[relay]\nlisten = "off"\n' >>/etc/gpsbridge/gps0.toml && systemctl enable gpsbridge@gps0`)
	for range 2 {
		unplug := m.plug()
		m.wait("systemctl is-active gpsbridge@gps0")
		m.wait(atServer)
		unplug()
		m.wait("systemctl show --property=ActiveState gpsbridge@gps0 | grep inactive")
	}
}

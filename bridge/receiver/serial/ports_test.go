package serial

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// tree is a machine of directories. Its ports are links to pseudo-terminals.
type tree struct {
	t *testing.T
	system
}

func newTree(t *testing.T) tree {
	dir := t.TempDir()
	m := tree{t, system{dev: filepath.Join(dir, "dev"), sys: filepath.Join(dir, "sys"), proc: filepath.Join(dir, "proc")}}
	for _, d := range []string{m.dev, m.sys, m.proc} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// file writes a file, and the directories above it.
func (m tree) file(path, text string) {
	m.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		m.t.Fatal(err)
	}
}

// link makes a link, or moves it.
func (m tree) link(path, target string) {
	m.t.Helper()
	temp := filepath.Join(filepath.Dir(path), ".new") // which no pattern matches
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.Symlink(target, temp), os.Rename(temp, path)); err != nil {
		m.t.Fatal(err)
	}
}

// plug makes a device lead to a terminal.
func (m tree) plug(name, terminal string) { m.t.Helper(); m.link(filepath.Join(m.dev, name), terminal) }

// usb describes a device as a part of a USB device.
func (m tree) usb(name, ids, manufacturer, product, driver string) {
	m.t.Helper()
	device := filepath.Join(m.sys, "devices/usb1", "of-"+name)
	vendor, productID, _ := strings.Cut(ids, ":")
	m.file(filepath.Join(device, "idVendor"), vendor+"\n")
	m.file(filepath.Join(device, "idProduct"), productID+"\n")
	m.file(filepath.Join(device, "manufacturer"), manufacturer+"\n")
	m.file(filepath.Join(device, "product"), product+"\n")
	m.file(filepath.Join(device, "1-1:1.0", name, "uevent"), "")
	m.link(filepath.Join(device, "1-1:1.0", name, "driver"), "../../drivers/"+driver)
	m.link(filepath.Join(m.sys, "class/tty", name, "device"), filepath.Join(device, "1-1:1.0", name))
}

// TestPorts: by rank, each device once, under its best name, with what the hardware says.
func TestPorts(t *testing.T) {
	m := newTree(t)
	for _, name := range []string{"ttyUSB0", "ttyUSB1", "ttyUSB2", "ttyACM0", "ttyAMA0", "ttyS0", "ttyprintk"} {
		m.plug(name, newLine(t).path)
	}
	m.link(filepath.Join(m.dev, "serial/by-id/usb-u-blox_GNSS"), "../../ttyACM0")
	m.link(filepath.Join(m.dev, "serial/by-id/usb-gone"), "../../ttyUSB7")
	m.link(filepath.Join(m.dev, "serial/by-path/1-1.2"), "../../ttyUSB1")
	m.link(filepath.Join(m.dev, "serial/by-path/1-1.4"), "../../ttyACM0")
	m.link(filepath.Join(m.dev, "serial0"), "ttyAMA0")
	m.usb("ttyACM0", "1546:01a8", "u-blox AG - www.u-blox.com", "u-blox GNSS receiver", "cdc_acm")
	m.usb("ttyUSB1", "1a86:7523", "", "USB Serial", "ch341-uart")
	m.usb("ttyUSB0", "2c7c:0125", "Quectel", "EG25-G", "option1")
	m.usb("ttyUSB2", "067b:2303", "Prolific Technology\x07Inc.", "USB-Serial Controller", "pl2303")
	want := []Port{
		{Path: "serial/by-id/usb-u-blox_GNSS", Device: "ttyACM0", Name: "u-blox AG - www.u-blox.com u-blox GNSS receiver", Driver: "cdc_acm", IDs: "1546:01a8"},
		{Path: "serial/by-path/1-1.2", Device: "ttyUSB1", Name: "USB Serial", Driver: "ch341-uart", IDs: "1a86:7523"},
		{Path: "ttyUSB2", Device: "ttyUSB2", Name: "Prolific Technology Inc. USB-Serial Controller", Driver: "pl2303", IDs: "067b:2303"},
		{Path: "serial0", Device: "ttyAMA0"},
		{Path: "ttyUSB0", Device: "ttyUSB0", Name: "Quectel EG25-G", Driver: "option1", IDs: "2c7c:0125"},
	}
	got := m.ports()
	for i := range got {
		got[i].Path, got[i].Device = strings.TrimPrefix(got[i].Path, m.dev+"/"), strings.TrimPrefix(got[i].Device, m.dev+"/")
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Port{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestConsoles: the three places that name a console, and the links that lead to one.
func TestConsoles(t *testing.T) {
	m := newTree(t)
	for _, name := range []string{"ttyAMA0", "ttyUSB0", "ttyUSB1", "ttyUSB2", "ttyACM0"} {
		m.plug(name, newLine(t).path)
	}
	m.link(filepath.Join(m.dev, "serial0"), "ttyAMA0")
	m.file(filepath.Join(m.sys, "class/tty/console/active"), "tty0 ttyUSB0\n")
	m.file(filepath.Join(m.proc, "consoles"), "ttyUSB1              -W- (EC  p a)  188:1\n")
	m.file(filepath.Join(m.proc, "cmdline"), "root=/dev/mmcblk0p2 console=serial0,115200 console=ttyUSB2 quiet\n")
	for _, p := range m.ports() {
		console := strings.Contains(receivertest.Text(p.Problem), p.Path+" is the system console: ") && strings.Contains(receivertest.Text(p.Problem), "raspi-config")
		if want := !strings.HasSuffix(p.Path, "ttyACM0"); console != want || !want && receivertest.Text(p.Problem) != "" {
			t.Errorf("%s: trouble %q", p.Path, receivertest.Text(p.Problem))
		}
	}
}

// TestHeldPort: another process has a port open, without any claim on it.
func TestHeldPort(t *testing.T) {
	m, l, free := newTree(t), newLine(t), newLine(t)
	m.plug("ttyUSB0", l.path)
	m.plug("ttyUSB1", free.path)
	program := exec.Command("sleep", "60")
	program.Stdin = l.slave
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Process.Kill(); _ = program.Wait() })
	pid := strconv.Itoa(program.Process.Pid)
	m.link(filepath.Join(m.proc, pid), "/proc/"+pid)
	m.file(filepath.Join(m.proc, "1/comm"), "init\n") // whose descriptors are not ours to see
	got := m.ports()
	want := got[0].Path + " is held by sleep (pid " + pid + "): stop it, or name another port with --device"
	if len(got) != 2 || receivertest.Text(got[0].Problem) != want || receivertest.Text(got[1].Problem) != "" {
		t.Errorf("got %+v", got)
	}
	if p := m.inspect(filepath.Join(m.dev, "ttyUSB0")); receivertest.Text(p.Problem) != want {
		t.Errorf("got %+v", p)
	}
	if p := m.inspect(filepath.Join(m.dev, "ttyUSB9")); !strings.Contains(receivertest.Text(p.Problem), "ttyUSB9 does not exist: plug the receiver in") {
		t.Errorf("got %+v", p)
	}
}

// TestClaimedPort: a port that another program has claimed is refused, even to root, and who it is is said.
func TestClaimedPort(t *testing.T) {
	l := newLine(t)
	if err := unix.Flock(int(l.slave.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	h, _ := receivertest.NewHost()
	_, err := fixed(l.path, 9600).Open(t.Context(), h)
	want := fmt.Sprintf("%s is held by %s (pid %d): ", l.path, attribute("/proc/self", "comm"), os.Getpid())
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if l.isRaw() {
		t.Error("it was set up all the same")
	}
}

// TestLookout: the processes are not looked through again while nothing has changed, and are at once when a holder is gone.
func TestLookout(t *testing.T) {
	m, l := newTree(t), newLine(t)
	m.file(filepath.Join(m.proc, "7/comm"), "gpsd\n")
	m.link(filepath.Join(m.proc, "7/fd/3"), l.path)
	var look lookout
	nodes := []string{l.path}
	if got := look.look(m.system, nodes, false); got[l.path].program != "gpsd" {
		t.Fatalf("held by %+v", got)
	}
	m.file(filepath.Join(m.proc, "8/comm"), "cat\n")
	m.link(filepath.Join(m.proc, "8/fd/0"), l.path)
	if got := look.look(m.system, nodes, false); got[l.path].program != "gpsd" {
		t.Errorf("looked again: %+v", got)
	}
	if err := os.Remove(filepath.Join(m.proc, "7/fd/3")); err != nil {
		t.Fatal(err)
	}
	if got := look.look(m.system, nodes, false); got[l.path].program != "cat" {
		t.Errorf("when the holder is gone: %+v", got)
	}
}

// TestModemManager: it matters when it runs, unless a udev rule keeps it off.
func TestModemManager(t *testing.T) {
	m := newTree(t)
	m.udev = filepath.Join(t.TempDir(), "udev")
	check := func(running, keptOff bool) {
		t.Helper()
		if r, k := m.runs("ModemManager"), m.keptOff("/dev/null"); r != running || k != keptOff { // any character device will do: 1:3
			t.Errorf("runs %v, kept off %v; want %v, %v", r, k, running, keptOff)
		}
	}
	m.file(filepath.Join(m.proc, "7", "comm"), "gpsd\n")
	check(false, false)
	m.file(filepath.Join(m.proc, "8", "comm"), "ModemManager\n")
	check(true, false)
	m.file(filepath.Join(m.udev, "c1:3"), "E:ID_MM_PORT_IGNORE=1\n")
	check(true, true)
}

// TestLastPorts: the ports of PCs and other boards are looked at too, but for those without hardware.
func TestLastPorts(t *testing.T) {
	m := newTree(t)
	for _, name := range []string{"ttyS0", "ttyS1", "rfcomm0", "ttySC0", "ttyTHS1", "ttyUSB0"} {
		m.plug(name, newLine(t).path)
	}
	m.file(filepath.Join(m.sys, "class/tty/ttyS0/type"), "4\n")
	m.file(filepath.Join(m.sys, "class/tty/ttyS1/type"), "0\n")
	var got []string
	for _, p := range m.ports() {
		got = append(got, filepath.Base(p.Path))
	}
	if diff := cmp.Diff([]string{"ttyUSB0", "ttyTHS1", "ttySC0", "ttyS0", "rfcomm0"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRaspberryPi5: /dev/serial0 is its debug connector, which is tried last, and named when nothing comes.
func TestRaspberryPi5(t *testing.T) {
	m := newTree(t)
	m.file(filepath.Join(m.proc, "device-tree/model"), "Raspberry Pi 5 Model B Rev 1.0\x00")
	if p := m.noPort(); !strings.Contains(p.Fix, "dtparam=uart0=on") {
		t.Errorf("without a port: %v", p)
	}
	m.plug("ttyAMA10", newLine(t).path)
	m.plug("ttyAMA0", newLine(t).path)
	m.link(filepath.Join(m.dev, "serial0"), "ttyAMA10")
	ports := m.ports()
	if len(ports) != 2 || filepath.Base(ports[0].Path) != "ttyAMA0" || filepath.Base(ports[1].Path) != "serial0" {
		t.Fatalf("ports: %+v", ports)
	}
	if p := m.silent(ports[1]); p.Code != source.DebugPort || !strings.Contains(p.Fix, "/dev/ttyAMA0") {
		t.Errorf("serial0: %v", p)
	}
	if p := m.silent(ports[0]); p.Code != source.Silent {
		t.Errorf("ttyAMA0: %v", p)
	}
	m.file(filepath.Join(m.proc, "device-tree/model"), "Raspberry Pi 4 Model B Rev 1.4\x00")
	if p := m.silent(m.ports()[0]); p.Code != source.Silent {
		t.Errorf("on a Raspberry Pi 4: %v", p)
	}
}

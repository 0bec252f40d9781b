package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/record"
)

// gpsdPath is Debian's gpsd. Distributions install it where users' PATH does not lead.
func gpsdPath(t *testing.T) string {
	t.Helper()
	realtest.Need(t, realtest.GPSD)
	path, err := exec.LookPath("gpsd")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// startGPSD starts gpsd on a port and returns when it listens. It reads its devices when a client asks, and writes nothing to
// them (-b).
func startGPSD(t *testing.T, port int, arguments ...string) *realtest.Process {
	t.Helper()
	args := append([]string{"-N", "-b", "-S", strconv.Itoa(port)}, arguments...)
	p := realtest.Start(t, "gpsd", exec.Command(gpsdPath(t), args...))
	await(t, "gpsd to listen", func() bool {
		c, err := net.DialTimeout("tcp", loopback(port), time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return p
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// await polls for a condition outside of this process.
func await(t *testing.T, what string, reached func() bool) {
	t.Helper()
	deadline := time.After(soon)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !reached() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for %s", soon, what)
		}
	}
}

// openFor opens a pseudo-terminal for gpsd, which gives root's rights up.
func openFor(t *testing.T) *realtest.Pty {
	t.Helper()
	line := realtest.OpenPty(t)
	if err := os.Chmod(line.Path(), 0o666); err != nil {
		t.Fatal(err)
	}
	return line
}

// emit sends what next returns ten times a second, until the test ends or stop is called.
func emit(t *testing.T, line *realtest.Pty, next func(i int) []byte) (stop func()) {
	t.Helper()
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			_, _ = line.Write(next(i)) // who reads it is judged
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			close(end)
			<-ended
		}
	}
	t.Cleanup(stop)
	return stop
}

// follows checks that messages are of the vehicle: some epochs of it in order, whatever their numbers. A machine that holds a program
// on the way up for a moment ends an epoch before its last sentence: of such a one the mode is 2.
func (v vehicle) follows(t *testing.T, messages []realtest.Message) {
	t.Helper()
	last, whole := -1, 0
	for _, m := range messages {
		var p position
		if err := json.Unmarshal(m.Text, &p); err != nil {
			t.Fatal(err)
		}
		i := int(p.Time.Sub(v.start) / (100 * time.Millisecond))
		p.Seq = i + 1
		if p.Mode == 3 {
			whole++
		} else if p.Mode == 2 {
			p.Mode = 3
		}
		if err := v.check(p); err != nil {
			t.Errorf("epoch %d: %v", i, err)
		}
		if i <= last {
			t.Errorf("epoch %d came after %d", i, last)
		}
		last = i
	}
	if whole == 0 {
		t.Errorf("none of %d epochs is whole", len(messages))
	}
}

// gpsd has the port, and the daemon gets what the receiver sends, as often as gpsd goes and comes back.
func TestThroughGPSD(t *testing.T) {
	t.Parallel()
	port, line, v := realtest.FreePort(t), openFor(t), newVehicle()
	gpsd := startGPSD(t, port, line.Path())
	emit(t, line, func(i int) []byte { return v.epochs(i, i+1) })
	source := "gpsd://" + loopback(port)
	d := startDaemon(t, "--device", source)
	viewer := d.group()
	const epochs = 20
	v.follows(t, viewer.WaitDistinct(epochs, soon))
	st := d.waitStatus("the port", func(st observe.Status) bool { return st.Receivers[0].Port != "" })
	if got, want := st.Receivers[0].Port, source+line.Path(); got != want {
		t.Errorf("port %q, want %q", got, want)
	}
	gpsd.Kill()
	d.waitStatus("gpsd to be gone", func(st observe.Status) bool {
		return strings.Contains(st.Receivers[0].Problem.Error(), source+` refuses connections: is gpsd running? See "systemctl status gpsd.socket gpsd"`)
	})
	if err := line.Release(); err != nil {
		t.Fatal(err)
	}
	had := viewer.Received()
	startGPSD(t, port, line.Path())
	v.follows(t, viewer.WaitDistinct(had+epochs, soon))
}

// A device can be named, and the reason why gpsd does not give it is reported.
func TestDeviceOfGPSD(t *testing.T) {
	t.Parallel()
	port, other, line, v := realtest.FreePort(t), openFor(t), openFor(t), newVehicle()
	startGPSD(t, port, other.Path(), line.Path())
	emit(t, line, func(i int) []byte { return v.epochs(i, i+1) })
	emit(t, other, func(int) []byte { return appendSentence(nil, "GNRMC,,V,,,,,,,,,,N") })
	source := "gpsd://" + loopback(port)
	d := startDaemon(t, "--device", source+line.Path())
	v.follows(t, d.group().WaitDistinct(10, soon))

	wrong := startDaemon(t, "--device", source+"/dev/ttyNONE")
	want := fmt.Sprintf("%s has no /dev/ttyNONE, it has %s, %s: name one of those", source, other.Path(), line.Path())
	wrong.waitStatus("the wrong device to be reported", func(st observe.Status) bool { return st.Receivers[0].Problem.Error() == want })
}

// TestAISDeviceOfGPSD: an AIS receiver that gpsd has first is not what is followed.
func TestAISDeviceOfGPSD(t *testing.T) {
	t.Parallel()
	port, other, line, v := realtest.FreePort(t), openFor(t), openFor(t), newVehicle()
	startGPSD(t, port, other.Path(), line.Path())
	emit(t, other, func(int) []byte { return []byte("!AIVDM,1,1,,A,13HOI:0P0000VOHLCnHQKwvL05Ip,0*23\r\n") })
	emit(t, line, func(i int) []byte { return v.epochs(i, i+1) })
	d := startDaemon(t, "--device", "gpsd://"+loopback(port))
	v.follows(t, d.group().WaitDistinct(10, soon))
}

// A gpsd without a receiver is reported, and one whose receiver is pulled.
func TestGPSDWithoutReceiver(t *testing.T) {
	t.Parallel()
	port, line, v, control := realtest.FreePort(t), openFor(t), newVehicle(), filepath.Join(t.TempDir(), "control")
	startGPSD(t, port, "-F", control, line.Path())
	stop := emit(t, line, func(i int) []byte { return v.epochs(i, i+1) })
	source := "gpsd://" + loopback(port)
	d := startDaemon(t, "--device", source)
	v.follows(t, d.group().WaitDistinct(10, soon))
	stop()
	d.waitStatus("the silence to be reported", func(st observe.Status) bool {
		p := st.Receivers[0].Problem
		return p != nil && p.Code == "receiver-silent" && strings.Contains(p.Cause, line.Path())
	})
	line.Unplug()
	removeFromGPSD(t, control, line.Path())
	d.waitStatus("the missing receiver to be reported", func(st observe.Status) bool {
		return strings.HasPrefix(st.Receivers[0].Problem.Error(), source+" has no receiver: plug one in")
	})
}

// removeFromGPSD informs gpsd that a device is gone, as Debian's udev rules do when a receiver is pulled: gpsd 3.22 by itself
// does not always see that a terminal hung up (its select goes without the descriptor then).
func removeFromGPSD(t *testing.T, control, device string) {
	t.Helper()
	c, err := net.Dial("unix", control)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "-%s\r\n", device); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 256)
	n, err := c.Read(answer)
	// A word, from gpsd 3.25 in an object. Gpsd that saw it by itself has given the device up already, which is the error.
	if got := answer[:n]; err != nil || !regexp.MustCompile(`\b(OK|ACK|ERROR)\b`).Match(got) {
		t.Fatalf("gpsd had to remove %s, answers %q, %v", device, got, err)
	}
}

// A receiver that speaks a binary protocol works through gpsd, which makes sentences of what it sends.
func TestBinaryReceiverThroughGPSD(t *testing.T) {
	t.Parallel()
	port, line, v := realtest.FreePort(t), openFor(t), newVehicle()
	startGPSD(t, port, line.Path())
	emit(t, line, v.ubx)
	d := startDaemon(t, "--device", "gpsd://"+loopback(port))
	const tolerance = 1e-6                                   // degrees: gpsd writes minutes with four decimals, 1.7e-6 degrees apart
	for _, m := range d.group().WaitDistinct(20, soon)[5:] { // it begins in the middle
		var p position
		if err := json.Unmarshal(m.Text, &p); err != nil {
			t.Fatal(err)
		}
		i := int(p.Time.Sub(v.start) / (100 * time.Millisecond))
		if p.Mode != 3 || abs(p.Lat-v.lat(i)) > tolerance {
			t.Errorf("epoch %d: %s, want latitude %v", i, m.Text, v.lat(i))
		}
	}
}

// ubx makes what a u-blox receiver sends of an epoch without any NMEA: NAV-PVT and the end of the epoch, NAV-EOE (u-blox M8
// protocol specification).
func (v vehicle) ubx(i int) []byte {
	at := v.time(i)
	sinceSunday := time.Duration(at.Weekday())*24*time.Hour + at.Sub(at.Truncate(24*time.Hour))
	const leapSeconds = 18
	tow := uint32((sinceSunday + leapSeconds*time.Second) % (7 * 24 * time.Hour) / time.Millisecond)
	pvt := binary.LittleEndian.AppendUint32(nil, tow)
	pvt = binary.LittleEndian.AppendUint16(pvt, uint16(at.Year()))
	pvt = append(pvt, byte(at.Month()), byte(at.Day()), byte(at.Hour()), byte(at.Minute()), byte(at.Second()))
	pvt = append(pvt, 0x07)                         // date and time are valid
	pvt = binary.LittleEndian.AppendUint32(pvt, 20) // ns of accuracy
	pvt = binary.LittleEndian.AppendUint32(pvt, uint32(at.Nanosecond()))
	pvt = append(pvt, 3, 0x01, 0, 9) // 3D, valid, nothing, satellites
	for _, n := range []float64{-0.1276166 * 1e7, v.lat(i) * 1e7, 57900, 11200, 900, 1500, 13890, 0, 0, 13890, 84.4 * 1e5, 100, 1e5} {
		pvt = binary.LittleEndian.AppendUint32(pvt, uint32(int32(n)))
	}
	pvt = binary.LittleEndian.AppendUint16(pvt, 136) // PDOP
	pvt = append(pvt, make([]byte, 92-len(pvt))...)
	return append(ubxMessage(0x01, 0x07, pvt), ubxMessage(0x01, 0x61, binary.LittleEndian.AppendUint32(nil, tow))...)
}

func ubxMessage(class, id byte, payload []byte) []byte {
	m := append([]byte{0xb5, 0x62, class, id, byte(len(payload)), byte(len(payload) >> 8)}, payload...)
	var a, b byte
	for _, c := range m[2:] {
		a += c
		b += a
	}
	return append(m, a, b)
}

// One process has the port, and gpsd reads it through that all the same: its clients see the fixes, and the daemon's too.
func TestGPSDReadsWhatIsShared(t *testing.T) {
	t.Parallel()
	realtest.Need(t, realtest.GPSPipe)
	port, listen, line, v := realtest.FreePort(t), realtest.FreePort(t), realtest.OpenPty(t), newVehicle()
	config := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, config, fmt.Sprintf("[[receiver]]\nsource = %q\nnmea_listen = %q\n", line.Path()+"?baud=115200", loopback(listen)))
	d := startDaemon(t, "-c", config)
	emit(t, line, func(i int) []byte { return v.epochs(i, i+1) })
	viewer := d.group()
	await(t, "the daemon to share", func() bool {
		c, err := net.DialTimeout("tcp", loopback(listen), time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	startGPSD(t, port, "tcp://"+loopback(listen))
	pipe := realtest.Start(t, "gpspipe", exec.Command("gpspipe", "-w", loopback(port)))
	const wanted = 10
	out, err := pipe.WaitOutput(soon, func(out string) bool { return strings.Count(out, `"mode":3`) >= wanted })
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for text := range strings.Lines(out) {
		var p struct {
			Class string `json:"class"`
			position
		}
		if json.Unmarshal([]byte(text), &p) != nil || p.Class != "TPV" || p.Mode != 3 || p.Time.IsZero() {
			continue
		}
		seen++
		i := int(p.Time.Sub(v.start) / (100 * time.Millisecond))
		if abs(p.Lat-v.lat(i)) > 1e-8 {
			t.Errorf("gpsd reports latitude %v in epoch %d, want %v", p.Lat, i, v.lat(i))
		}
	}
	if seen == 0 {
		t.Errorf("no fix in what gpspipe prints:\n%s", out)
	}
	v.follows(t, viewer.WaitDistinct(wanted, soon))
}

// What a daemon records is decoded as what the receiver sent, and played at the same pace to the same fixes.
func TestRecordedAndPlayed(t *testing.T) {
	t.Parallel()
	line, v := realtest.OpenPty(t), newVehicle()
	path := filepath.Join(t.TempDir(), "drive.nmea")
	d := startDaemon(t, "--device", line.Path()+"?baud=115200", "--record", path)
	const epochs = 20
	d.waitOpen()
	stop := emit(t, line, func(i int) []byte { return v.epochs(i, i+1) })
	d.group().WaitDistinct(epochs, soon)
	stop()
	d.Signal(os.Interrupt)
	if code, err := d.Exit(soon); err != nil || code != exitDone {
		t.Fatalf("exit code %d, %v", code, err)
	}
	recording := readFile(t, path)
	first, last, data := pieces(t, recording)
	if !bytes.HasPrefix(data, v.epochs(0, epochs)) {
		t.Fatalf("the recording holds %d bytes, or others than were sent:\n%.2000s", len(data), recording)
	}
	sent := filepath.Join(t.TempDir(), "sent.nmea")
	if err := os.WriteFile(sent, data, 0o600); err != nil {
		t.Fatal(err)
	}
	want, got := decodeFile(t, sent), decodeFile(t, path)
	if want == "" || got != want {
		t.Errorf("decode prints of the recording\n%s\nand of what was sent\n%s", got, want)
	}
	began := time.Now()
	again := start(t, gpsbridge(t, "run", "--device-id", deviceID, "--listen", "off", "--device", "file:"+path))
	if code, err := again.Exit(soon); err != nil || code != exitDone {
		t.Errorf("exit code %d, %v", code, err)
	}
	if took := time.Since(began); took < last-first {
		t.Errorf("what took %v was played in %v", last-first, took)
	}
}

// pieces reads a recording: the times of its first and last piece, and all bytes.
func pieces(t *testing.T, recording []byte) (first, last time.Duration, data []byte) {
	t.Helper()
	for in, n := record.NewReader(bytes.NewReader(recording)), 0; ; n++ {
		at, p, err := in.Next()
		if err != nil {
			return first, last, data
		}
		if n == 0 {
			first = at
		}
		last = at
		data = append(data, p...)
	}
}

func decodeFile(t *testing.T, path string) string {
	t.Helper()
	out, err := gpsbridge(t, "decode", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A source that is written wrongly is refused at the start, with the form that it has.
func TestMalformedSourceIsRefused(t *testing.T) {
	t.Parallel()
	for source, wants := range map[string][]string{
		"tcp://boat":       {"no port", "tcp://host:port"},
		"udp://nmea":       {"no port", "udp://:port"},
		"gpsd://boat:nmea": {"is not a number from 1 to 65535", "gpsd://host:port"},
		"tpc://boat:10110": {"is not known", "tcp://host:port", "udp://:port", "gpsd://host:port"},
	} {
		refuse(t, gpsbridge(t, "run", "--listen", "off", "--device", source), append(wants, strconv.Quote(source))...)
	}
}

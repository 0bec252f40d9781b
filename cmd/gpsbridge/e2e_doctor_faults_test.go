package main

import (
	"context"
	"fmt"
	"math/bits"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/doctor"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/sim"
	"gpsbridge/bridge/receiver/source"
	"gpsbridge/bridge/secret"
	"gpsbridge/bridge/uplink"
)

// A machine of its own has a /dev that holds only what a test puts there, and shows no process of another. So a port is one
// that nothing else holds, under a name that hardware has: a pseudo-terminal at /dev/pts shows its other end as a holder.

// onMachine runs a command on a machine of its own, whose /dev has a link's worth of each port: name below /dev to path.
func onMachine(t *testing.T, ports map[string]string, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	realtest.Need(t, realtest.Namespaces)
	var b strings.Builder
	dev := t.TempDir()
	fmt.Fprintf(&b, "set -e\nmount -t tmpfs dev %[1]s\nfor n in null zero urandom; do touch %[1]s/$n; mount --bind /dev/$n %[1]s/$n; done\nln -s /proc/self/fd %[1]s/fd\n", dev)
	for name, path := range ports {
		fmt.Fprintf(&b, "touch %[1]s/%[2]s\nmount --bind %[3]s %[1]s/%[2]s\n", dev, name, path)
	}
	fmt.Fprintf(&b, "mount --move %s /dev\nexec \"$@\"", dev)
	return through(t, cmd, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", b.String(), "-")
}

// onSameMachine runs a command on the machine of a process that onMachine has started.
func onSameMachine(t *testing.T, p *realtest.Process, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.PID()))
	if err != nil || len(strings.Fields(string(children))) != 1 {
		t.Fatalf("children of unshare: %q, %v", children, err)
	}
	return through(t, cmd, "nsenter", "--mount", "--pid", "--target", strings.TrimSpace(string(children)))
}

// through runs a command through another program that ends by executing it.
func through(t *testing.T, cmd *exec.Cmd, program string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = slices.Concat([]string{path}, args, []string{cmd.Path}, cmd.Args[1:])
	cmd.Path = path
	return cmd
}

// receiverFault is a broken situation of a receiver: what is at /dev/ttyUSB0, or another source, and what the doctor finds.
type receiverFault struct {
	name   string
	line   func(t *testing.T) string // the path of what is at /dev/ttyUSB0; nil for an empty /dev
	source string
	link   string
	code   problem.Code
	text   []string // parts of its cause and fix
}

// sends is a line that sends the same text again and again.
func sends(text string) func(*testing.T) string {
	return func(t *testing.T) string {
		line := realtest.OpenPty(t)
		repeat(t, line, []byte(text))
		return line.Path()
	}
}

// simulated is a simulated receiver's line.
func simulated(c sim.Config) func(*testing.T) string {
	return func(t *testing.T) string { return simulate(t, c) }
}

func sentences(bodies ...string) string {
	var b []byte
	for _, body := range bodies {
		b = appendSentence(b, "%s", body)
	}
	return string(b)
}

// noFix are the sentences of an epoch without a fix, with more sentences of the receiver.
func noFix(more ...string) string {
	now := newVehicle().start
	return sentences(slices.Concat([]string{
		fmt.Sprintf("GNRMC,%s,V,,,,,,,%s,,,N", now.Format("150405.00"), now.Format("020106")), "GNGGA,,,,,,0,00,99.99,,,,,,",
		"GNGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99",
	}, more)...)
}

// sirf is a frame of SiRF's binary protocol: start, length, payload, the sum of its bytes, end.
const sirf = "\xa0\xa2\x00\x02\x0b\x86\x00\x91\xb0\xb3"

// sbf is a block of Septentrio (4027 is MeasEpoch): $@, CRC-16 of what follows, number, length, payload.
const sbf = "$@\x70\xd4\xbb\x0f\x10\x00\x00\x01\x02\x03\x04\x05\x06\x07"

// garmin is a message of Garmin's protocol: DLE, number, length, payload, a sum that makes 0, DLE ETX. tsip are Trimble's health
// (0x46) and extra status (0x4b).
const (
	garmin = "\x10\x33\x02\x01\x02\xc8\x10\x03"
	tsip   = "\x10\x46\x00\x00\x10\x03\x10\x4b\x01\x02\x03\x10\x03"
)

// rtcm3 is a frame of RTCM 10403 with a payload of n bytes: D3, length, payload, CRC-24Q.
func rtcm3(n int) string {
	frame := append([]byte{0xd3, byte(n >> 8), byte(n), 0x43, 0x50}, make([]byte, n-2)...) // message 1077
	crc := 0
	for _, b := range frame {
		crc ^= int(b) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864cfb
			}
		}
	}
	return string(append(frame, byte(crc>>16), byte(crc>>8), byte(crc)))
}

// sevenBits is text as a receiver with 7 data bits and even parity sends it, read as 8 data bits.
func sevenBits(text string) string {
	b := []byte(text)
	for i := range b {
		b[i] |= byte(bits.OnesCount8(b[i])%2) << 7
	}
	return string(b)
}

func silentLine(t *testing.T) string { return realtest.OpenPty(t).Path() }

var receiverFaults = []receiverFault{
	{"nothing plugged in", nil, "auto", "port", source.NoPort, []string{"plug one in"}},
	{"named port missing", nil, "/dev/ttyUSB7", "port", source.PortMissing, []string{"/dev/ttyUSB7 does not exist", "plug the receiver in"}},
	{"directory", nil, "/dev", "port", source.NotAPort, []string{"name a port in it"}},
	{"not a serial port", nil, "/dev/null", "port", source.NotAPort, nil},
	{"silent, found", silentLine, "auto", "bytes", source.Silent, []string{"check the receiver's power and cable"}},
	{"silent, named", silentLine, "/dev/ttyUSB0", "bytes", source.Silent, []string{"check the receiver's power and cable"}},
	{"silent, at a speed", silentLine, "/dev/ttyUSB0?baud=9600", "bytes", source.Silent, []string{"check the receiver's power and cable"}},
	{"wrong speed", simulated(sim.Config{Rate: 1, Baud: 115200, Garble: true}), "/dev/ttyUSB0?baud=9600", "baud", source.NoSentenceAt, []string{"no NMEA sentence comes at 9600 baud", "leave ?baud= out"}},
	{"UBX only", simulated(sim.Config{Rate: 1, Baud: 9600, UBX: true, Garble: true}), "/dev/ttyUSB0", "sentences", source.BinaryUBX, []string{"sends UBX at 9600 baud", "switch NMEA output on"}},
	{"UBX only, found", simulated(sim.Config{Rate: 1, Baud: 9600, UBX: true, Garble: true}), "auto", "sentences", source.BinaryUBX, []string{"switch NMEA output on"}},
	{"UBX only, at a speed", simulated(sim.Config{Rate: 1, Baud: 9600, UBX: true, Garble: true}), "/dev/ttyUSB0?baud=9600", "sentences", source.BinaryUBX, []string{"switch NMEA output on"}},
	{"SiRF binary only", sends(sirf), "/dev/ttyUSB0?baud=9600", "sentences", source.BinarySiRF, []string{"NMEA"}},
	{"RTCM3 only", sends(rtcm3(400)), "/dev/ttyUSB0?baud=115200", "sentences", source.BinaryRTCM3, []string{"NMEA"}},
	{"SBF only", sends(sbf), "/dev/ttyUSB0?baud=115200", "sentences", source.BinarySBF, []string{"setNMEAOutput"}},
	{"Garmin only", sends(garmin), "/dev/ttyUSB0?baud=9600", "sentences", source.BinaryGarmin, []string{"gpsd://localhost"}},
	{"TSIP only", sends(tsip), "/dev/ttyUSB0?baud=9600", "sentences", source.BinaryTSIP, []string{"gpsd://localhost"}},
	{"AIS only", sends(ais), "/dev/ttyUSB0?baud=38400", "sentences", source.OnlyAIS, []string{"name the port of a GPS receiver"}},
	{"a wind sensor", sends(sentences("WIMWV,214.8,R,0.1,K,A")), "/dev/ttyUSB0?baud=4800", "sentences", source.NoPosition, []string{"name the port of a GPS receiver"}},
	{"a modem's control port", sends("\r\nOK\r\n+CSQ: 20,99\r\n"), "/dev/ttyUSB0?baud=115200", "sentences", source.NotNMEA, nil},
	{"7 data bits and parity", sends(sevenBits(string(newVehicle().epochs(0, 1)))), "/dev/ttyUSB0?baud=9600", "baud", source.SevenBits, []string{"8N1"}},
	{"no checksums", sends("$GPGGA,090000.00,5130.0000,N,00007.5000,W,1,09,0.8,11.2,M,46.7,M,,\r\n"), "/dev/ttyUSB0?baud=9600", "sentences", doctor.NoChecksums, []string{"allow_no_checksum = true"}},
	{"no satellite in view", sends(noFix("GPGSV,1,1,00")), "/dev/ttyUSB0", "satellites", doctor.NoSatellite, []string{"check the antenna's plug"}},
	{"no signal", sends(noFix("GPGSV,1,1,03,05,71,210,,07,40,100,,13,10,050,")), "/dev/ttyUSB0", "satellites", doctor.NoSignal, []string{"no signal from any", "free view of the sky", "check the antenna's plug"}},
	{"antenna open", sends(noFix("GPGSV,1,1,00", "GNTXT,01,01,02,ANTSTATUS=OPEN")), "/dev/ttyUSB0", "satellites", doctor.Antenna, []string{"check the antenna's plug"}},
	{"antenna shorted", sends(noFix("GPGSV,1,1,00", "GNTXT,01,01,02,ANTSTATUS=SHORT")), "/dev/ttyUSB0", "satellites", doctor.Antenna, []string{"check the antenna's plug"}},
	{"no fix yet", sends(noFix("GPGSV,1,1,03,05,71,210,31,07,40,100,25,13,10,050,")), "/dev/ttyUSB0", "fix", doctor.NoFix, []string{"cold receiver", "free view of the sky"}},
	{"host unknown", nil, "tcp://receiver..example:10110", "port", source.HostUnknown, nil},
	{"TCP port closed", nil, "tcp://127.0.0.1:1", "port", source.Refused, nil},
	{"no gpsd", nil, "gpsd://127.0.0.1:1", "port", source.Refused, nil},
	{"UDP: not this machine's address", nil, "udp://192.0.2.1:10110", "port", source.ListenForeign, nil},
	{"UDP: nothing comes", nil, "udp://127.0.0.1:47113", "bytes", source.Silent, nil},
	{"log missing", nil, "file:/x/speaks nothing.nmea", "port", source.FileMissing, []string{"/x/speaks nothing.nmea does not exist", "name a recorded log"}},
	{"log is a directory", nil, "file:/usr", "port", source.NotALog, nil},
	{"log is empty", nil, "file:/dev/null", "port", source.NotALog, nil},
}

// TestDoctorFindsTheReceiversFault: each fault is found without a daemon and beside one, and beside one the daemon is not
// blamed for it.
func TestDoctorFindsTheReceiversFault(t *testing.T) {
	realtest.Need(t, realtest.Namespaces)
	for _, f := range receiverFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			ports := map[string]string{}
			if f.line != nil {
				ports["ttyUSB0"] = f.line(t)
			}
			t.Run("alone", func(t *testing.T) {
				oneBroken(t, onMachine(t, ports, doctorOf(t, "--device", f.source)), f.link, f.code, f.text...)
			})
			t.Run("beside", func(t *testing.T) {
				d := startDaemonCmd(t, onMachine(t, ports, gpsbridge(t, "run", "--device-id", deviceID, "--listen", "127.0.0.1:0", "--device", f.source)))
				oneBroken(t, onSameMachine(t, d.Process, gpsbridge(t, "doctor", "--device-id", deviceID, "--listen", d.addr, "--device", f.source)), f.link, f.code, f.text...)
			})
		})
	}
}

// oneFault checks that the first broken link is the one of the fault, and nothing before it warns.
func oneFault(t *testing.T, cmd *exec.Cmd, link string, code problem.Code, fix string) {
	t.Helper()
	links, exit := consult(t, cmd)
	l, found := doctor.FirstBroken(links)
	if !found || exit != exitFailed || l.Name != link || l.Code != code || !strings.Contains(l.Fix, fix) {
		t.Errorf("exit code %d, %+v; want %s broken, %q, fix with %q", exit, l, link, code, fix)
	}
	for _, l := range links {
		if l.Code != "" && l.State != doctor.Broken && l.Name != "clock" {
			t.Errorf("%+v beside the fault", l)
		}
	}
}

// answers is a web server that answers each request so.
func answers(status int, header ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		return "ws://" + plainServer(t, func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
		})
	}
}

// serves is a WebSocket server; serve has each connection.
func serves(serve func(*websocket.Conn)) func(*testing.T) string {
	return func(t *testing.T) string {
		return "ws://" + plainServer(t, func(w http.ResponseWriter, r *http.Request) {
			up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
			if conn, err := up.Upgrade(w, r, nil); err == nil {
				defer conn.Close()
				serve(conn)
			}
		})
	}
}

// closing is a WebSocket server that closes each connection with a code.
func closing(code int) func(*testing.T) string {
	return serves(func(conn *websocket.Conn) {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
		_, _, _ = conn.ReadMessage()
	})
}

// readsOnly is a WebSocket server that takes what comes and answers pings only.
func readsOnly(conn *websocket.Conn) {
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

// accepts is a server that accepts connections, has each, and closes it when the test ends.
func accepts(talk func(net.Conn)) func(*testing.T) string {
	return func(t *testing.T) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				running.Go(func() {
					defer conn.Close()
					talk(conn)
					<-ctx.Done()
				})
			}
		})
		t.Cleanup(func() {
			cancel()
			l.Close()
			running.Wait()
		})
		return "ws://" + l.Addr().String()
	}
}

// serverFaults are the faults of the way to a server that TestDoctor... of e2e_doctor_server_test.go do not have.
var serverFaults = []struct {
	name   string
	server func(*testing.T) string
	keys   []string
	link   string
	code   problem.Code
	fix    string
}{
	{"401", answers(401), nil, "upgrade", uplink.Unauthorized, "token"},
	{"403", answers(403), nil, "upgrade", uplink.Forbidden, "token_file"},
	{"404 of nginx", answers(404, "Server", "nginx/1.22.1"), nil, "upgrade", uplink.NotFound, "Upgrade and Connection"},
	{"429", answers(429), nil, "upgrade", uplink.BadStatus, "wait"},
	{"500", answers(500), nil, "upgrade", uplink.ServerError, ""},
	{"502", answers(502), nil, "upgrade", uplink.ServerError, "start the application"},
	{"login page", answers(302, "Location", "/accounts/login/?next=/"), nil, "upgrade", uplink.Redirect, "by token instead of a login"},
	{"captive portal", answers(302, "Location", "http://portal.example/welcome"), nil, "upgrade", uplink.Redirect, "sign in to that network"},
	{"TLS wanted", func(t *testing.T) string {
		return "ws://" + plainServer(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusMovedPermanently)
		})
	}, nil, "upgrade", uplink.Redirect, "wss://"},
	{"no answer to the handshake", accepts(func(net.Conn) {}), []string{`connect_timeout = "1s"`}, "upgrade", uplink.Timeout, "connect_timeout"},
	{"no web server", accepts(func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2\r\n") }), nil, "upgrade", uplink.BadStatus, "check the port"},
	{"token refused by close code", closing(4401), nil, "echo", uplink.Forbidden, "token_file"},
	{"policy", closing(1008), nil, "echo", uplink.ClosedPolicy, "token_file"},
	{"application fails", closing(1011), nil, "echo", uplink.ClosedFailed, "log"},
	{"overloaded", closing(1013), nil, "echo", uplink.Overloaded, ""},
	{"never echoes", serves(readsOnly), []string{`ack = "echo"`}, "echo", doctor.EchoMissing, "remove ack"},
	{"token file missing", serves(readsOnly), []string{`token_file = "/nonexistent/token"`}, "upgrade", secret.CodeMissing, ""},
}

func TestDoctorFindsTheServersFault(t *testing.T) {
	for _, f := range serverFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			oneFault(t, aloneDoctor(t, serverDoctor(t, f.server(t), f.keys...)...), f.link, f.code, f.fix)
		})
	}
}

// TestDoctorWarnsOfAServerThatDoesNotAnswerPings: it is not broken yet.
func TestDoctorWarnsOfAServerThatDoesNotAnswerPings(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	server := serves(func(*websocket.Conn) { <-end })(t)
	links, code := consult(t, aloneDoctor(t, serverDoctor(t, server)...))
	close(end)
	i := slices.IndexFunc(links, func(l doctor.Link) bool { return l.Name == "echo" })
	if code != exitDone || i < 0 || links[i].State != doctor.Warning || links[i].Code != doctor.NoPong {
		t.Errorf("exit code %d, %+v", code, links)
	}
}

func TestDoctorFindsAFileForTheSpool(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "spool")
	writeFile(t, file, "a file where a directory should be")
	cmd := doctorOf(t, "--device", "-")
	cmd.Env = append(cmd.Env, "GPSBRIDGE_SPOOL_DIR="+file)
	oneFault(t, cmd, "spool", doctor.SpoolNotWritable, "name another directory")
}

// TestDoctorWaitsForASlowReceiver: one that sends every 10 s is not silent, with a daemon and without one.
func TestDoctorWaitsForASlowReceiver(t *testing.T) {
	t.Parallel()
	line, v := realtest.OpenPty(t), newVehicle()
	end := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		next := time.NewTimer(5 * time.Second) // and not just when the port, opened now, is opened again
		defer next.Stop()
		for i := 0; ; i += 100 {
			select {
			case <-next.C:
				next.Reset(10 * time.Second)
				_, _ = line.Write(appendSentence(v.epochs(i, i+1), "GPGSV,1,1,03,05,71,210,31,07,40,100,25,13,10,050,20"))
			case <-end:
				return
			}
		}
	})
	t.Cleanup(func() { close(end); line.Unplug(); running.Wait() })
	t.Run("alone", func(t *testing.T) {
		links, code := consult(t, doctorOf(t, "--device", line.Path()+"?baud=9600"))
		if l, found := doctor.FirstBroken(links); found || code != exitDone {
			t.Errorf("exit code %d, %+v", code, l)
		}
	})
	t.Run("beside", func(t *testing.T) {
		d := startDaemon(t, "--device", line.Path()+"?baud=9600")
		d.waitStatus("two fixes", func(st observe.Status) bool { return st.Receivers[0].Fixes > 1 })
		links, code := consult(t, gpsbridge(t, "doctor", "--device-id", deviceID, "--listen", d.addr, "--device", line.Path()+"?baud=9600"))
		if l, found := doctor.FirstBroken(links); found || code != exitDone {
			t.Errorf("exit code %d, %+v", code, l)
		}
	})
}

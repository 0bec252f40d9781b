package network

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"

	"github.com/google/go-cmp/cmp"
)

// fakeGPSD answers as gpsd does. Its devices and its answer to ?WATCH can be changed; the real one is tested with the program.
type fakeGPSD struct {
	mu       sync.Mutex
	greeting string
	devices  string // JSON
	answer   string // to ?WATCH, before the WATCH line
	watched  []string
	asked    int           // ?DEVICES
	delay    time.Duration // before the answer to ?WATCH
}

const gpsdVersion = `{"class":"VERSION","release":"3.22","rev":"3.22","proto_major":3,"proto_minor":14}` + "\r\n"

func newFakeGPSD() *fakeGPSD {
	return &fakeGPSD{greeting: gpsdVersion, devices: `{"class":"DEVICE","path":"/dev/ttyUSB0","activated":"2026-11-23T09:00:00.000Z","flags":1}`}
}

func (g *fakeGPSD) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// serve answers what comes on c until that is closed.
func (g *fakeGPSD) serve(c net.Conn) {
	if g.greeting != "" {
		fmt.Fprint(c, g.greeting)
	}
	for in := bufio.NewScanner(c); in.Scan(); {
		g.set(func() {
			list := fmt.Sprintf(`{"class":"DEVICES","devices":[%s]}`+"\r\n", g.devices)
			switch command := in.Text(); {
			case command == "?DEVICES;":
				g.asked++
				fmt.Fprint(c, list)
			case strings.HasPrefix(command, "?WATCH="):
				g.watched = append(g.watched, command)
				time.Sleep(g.delay)
				fmt.Fprint(c, g.answer, list, `{"class":"WATCH","enable":true,"nmea":true}`+"\r\n")
			}
		})
	}
}

// source makes a source whose connections lead to g, and returns the other ends, to send through.
func (g *fakeGPSD) source(device string) (source.Source, <-chan net.Conn) {
	others := make(chan net.Conn, 100)
	return fakeClient{g, gpsdClient{address: "boat:2947", device: device}, others}, others
}

type fakeClient struct {
	g *fakeGPSD
	gpsdClient
	others chan<- net.Conn
}

func (f fakeClient) Open(ctx context.Context, h source.Host) (source.Stream, error) {
	mine, other := net.Pipe()
	go f.g.serve(other)
	s, err := f.watch(ctx, mine, "gpsd://boat:2947", h)
	if err == nil {
		f.others <- other
	}
	return s, err
}

// TestGPSDSentences: what is not JSON arrives as it is, in whatever pieces it comes.
func TestGPSDSentences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGPSD()
		src, others := g.source("")
		r := receivertest.Run(t, src, receiver.Config{})
		other := <-others
		text := gsv + `{"class":"DEVICE","path":"/dev/ttyUSB0"}` + "\r\n" + receivertest.RMC("120000") + "\xb5\x62\n" + strings.Repeat("$", 9000) + "\n" + receivertest.RMC("120001")
		for len(text) > 0 {
			n := min(7, len(text))
			receivertest.Write(t, other, text[:n])
			text = text[n:]
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		want := gsv + receivertest.RMC("120000") + "\xb5\x62\n" + strings.Repeat("$", 9000) + "\n" + receivertest.RMC("120001")
		if diff := cmp.Diff(want, r.Rec.All()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		watch := []string{`?WATCH={"enable":true,"json":false,"nmea":true,"device":"/dev/ttyUSB0"};`}
		if diff := cmp.Diff(watch, g.watched); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		r.Stop(t)
	})
}

// TestGPSDSilence: gpsd is asked when nothing comes, and says what it knows.
func TestGPSDSilence(t *testing.T) {
	const name = "gpsd://boat:2947"
	tests := []struct {
		name, devices, want string
		after               time.Duration
	}{
		{"still active", `{"path":"/dev/ttyUSB0","activated":"2026-11-23T09:00:00.000Z"}`, "gpsd://boat:2947/dev/ttyUSB0 sends nothing: check the receiver's power and cable", receiver.DefaultSilence},
		{"not active", `{"path":"/dev/ttyUSB0"}`, name + " gets nothing from /dev/ttyUSB0 any more: check the receiver's power and cable", gpsdAsk},
		{"not active, in an old version", `{"path":"/dev/ttyUSB0","activated":0}`, name + " gets nothing from /dev/ttyUSB0 any more: check the receiver's power and cable", gpsdAsk},
		{"given up", `{"path":"/dev/ttyACM0","activated":"2026-11-23T09:00:00.000Z"}`,
			name + ` has given /dev/ttyUSB0 up: plug it in again, or give it back with "sudo gpsdctl add /dev/ttyUSB0"`, gpsdAsk},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newFakeGPSD()
				src, others := g.source("/dev/ttyUSB0")
				r := receivertest.Run(t, src, receiver.Config{})
				other := <-others
				for range 10 { // one that sends is not asked for
					receivertest.Write(t, other, gsv)
					time.Sleep(time.Second)
				}
				if g.asked != 1 {
					t.Errorf("asked %d times while it sends", g.asked)
				}
				g.set(func() { g.devices = test.devices })
				time.Sleep(test.after - time.Second + time.Millisecond)
				if s := r.Status(); receivertest.Text(s.Problem) != test.want {
					t.Errorf("detail %q\nwant   %q", receivertest.Text(s.Problem), test.want)
				}
				r.Stop(t)
			})
		})
	}
}

// TestGPSDTrouble: what keeps gpsd from serving a receiver is named, with the fix.
func TestGPSDTrouble(t *testing.T) {
	const name = "gpsd://boat:2947"
	tests := []struct {
		name   string
		change func(g *fakeGPSD)
		device string
		want   string
	}{
		{"no device", func(g *fakeGPSD) { g.devices = "" }, "",
			name + ` has no receiver: plug one in, or give gpsd its port with "sudo gpsdctl add /dev/ttyUSB0"`},
		{"other device", func(g *fakeGPSD) { g.answer = `{"class":"ERROR","message":"No such device as /dev/ttyS1"}` + "\r\n" }, "/dev/ttyS1",
			name + " has no /dev/ttyS1, it has /dev/ttyUSB0: name one of those"},
		{"no device, one wanted", func(g *fakeGPSD) {
			g.devices, g.answer = "", `{"class":"ERROR","message":"No such device as /dev/ttyS1"}`+"\r\n"
		}, "/dev/ttyS1", name + ` has no /dev/ttyS1, and no other: plug it in, or give it to gpsd with "sudo gpsdctl add /dev/ttyS1"`},
		{"other error", func(g *fakeGPSD) { g.answer = `{"class":"ERROR","message":"Unrecognized request"}` + "\r\n" }, "",
			name + ` reports "Unrecognized request": see "systemctl status gpsd" on its machine`},
		{"NMEA server", func(g *fakeGPSD) { g.greeting = gsv }, "", name + " is not gpsd, it sends NMEA 0183 by itself: use tcp:// in place of gpsd://"},
		{"web server", func(g *fakeGPSD) { g.greeting = "HTTP/1.1 400 Bad Request\r\n" }, "",
			name + ` is not gpsd, it sends "HTTP/1.1 400 Bad Request\r\n": use gpsd's port, usually 2947`},
		{"silent server", func(g *fakeGPSD) { g.greeting = "" }, "", name + " does not greet as gpsd does: use gpsd's port, usually 2947"},
		{"broken JSON", func(g *fakeGPSD) { g.devices = "{" }, "", name + ` sends "{\"class\":\"DEVICES\",\"devices\":[{]}\r\n", which is not JSON: use gpsd's port, usually 2947`},
		{"endless line", func(g *fakeGPSD) { g.answer = strings.Repeat("x", 2*gpsdLine) }, "",
			name + ` does not answer (a line is longer than 16384 bytes): see "systemctl status gpsd" on its machine`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newFakeGPSD()
				test.change(g)
				src, _ := g.source(test.device)
				r := receivertest.Run(t, src, receiver.Config{})
				time.Sleep(dialTimeout + time.Millisecond)
				if s := r.Status(); s.State != receiver.Waiting || receivertest.Text(s.Problem) != test.want {
					t.Errorf("%s: %s\nwant     %s", s.State, receivertest.Text(s.Problem), test.want)
				}
				r.Stop(t)
			})
		})
	}
}

func TestChooseDevice(t *testing.T) {
	ais, gps, new := gpsdDevice{Path: "/dev/ais", Flags: 9, Driver: "AIVDM"}, gpsdDevice{Path: "/dev/gps", Flags: 1, Driver: "NMEA0183"}, gpsdDevice{Path: "/dev/new"}
	for _, test := range []struct {
		wanted  string
		devices []gpsdDevice
		want    string
	}{
		{"", []gpsdDevice{ais, gps}, "/dev/gps"},
		{"", []gpsdDevice{new, ais}, "/dev/new"},
		{"", []gpsdDevice{ais, new, gps}, "/dev/gps"},
		{"/dev/ais", []gpsdDevice{gps, ais}, "/dev/ais"},
		{"/dev/other", nil, "/dev/other"},
	} {
		if got, err := chooseDevice("gpsd", test.wanted, test.devices); got != test.want || err != nil {
			t.Errorf("%q of %v: %q, %v", test.wanted, test.devices, got, err)
		}
	}
}

func TestOnlyAIS(t *testing.T) {
	_, err := chooseDevice("gpsd", "", []gpsdDevice{{Path: "/dev/ais", Flags: 9, Driver: "AIVDM"}, {Path: "/dev/rtcm", Flags: 4}})
	if problem.CodeOf(err) != source.GPSDNoGPS || !strings.Contains(err.Error(), "/dev/ais, /dev/rtcm") {
		t.Error(err)
	}
}

// TestUnknownDeviceIsAIS: a device of which gpsd knew nothing yet turns out to be an AIS receiver: the GPS receiver is watched.
func TestUnknownDeviceIsAIS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGPSD()
		g.delay = 6 * time.Second // as after gpsd's start
		g.devices = `{"path":"/dev/ttyUSB0"},{"path":"/dev/ttyUSB1"}`
		src, others := g.source("")
		r := receivertest.Run(t, src, receiver.Config{})
		other := <-others
		if s := r.Status(); s.Problem != nil {
			t.Errorf("while gpsd tries the speeds: %v", s.Problem)
		}
		g.set(func() { g.devices = `{"path":"/dev/ttyUSB0","flags":9,"driver":"AIVDM"},{"path":"/dev/ttyUSB1"}` })
		for range 7 {
			_, _ = io.WriteString(other, "!AIVDM,1,1,,A,13HOI:0P0000VOHLCnHQKwvL05Ip,0*23\r\n") // until it is closed
			time.Sleep(time.Second)
		}
		other = <-others
		receivertest.Write(t, other, receivertest.RMC("120000"))
		synctest.Wait()
		if s := r.Status(); s.Port != "gpsd://boat:2947/dev/ttyUSB1" || s.State != receiver.Reading {
			t.Errorf("status: %+v", s)
		}
		r.Stop(t)
	})
}

// TestGPSDReadAsTCP: gpsd's greeting at the end of tcp:// is named.
func TestGPSDReadAsTCP(t *testing.T) {
	t.Parallel()
	l, conns := listenTCP(t, "127.0.0.1:0")
	r, _, stop := receivertest.Start(t, tcpClient{l.Addr().String()}, receiver.Config{})
	defer stop()
	receivertest.Write(t, next(t, conns), gpsdVersion)
	s := receivertest.WaitStatus(t, r, "gpsd", func(s receiver.Status) bool { return s.Problem != nil })
	if s.Problem.Code != source.IsGPSD || !strings.Contains(s.Problem.Fix, "gpsd://") {
		t.Errorf("problem: %v", s.Problem)
	}
}

// TestGPSDRefused names what is to be looked at, here or there.
func TestGPSDRefused(t *testing.T) {
	const addr = "127.0.0.1:1"
	want := "gpsd://" + addr + ` refuses connections: is gpsd running? See "systemctl status gpsd.socket gpsd"`
	if _, err := (gpsdClient{address: addr}).Open(t.Context(), source.Host{}); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if got := (gpsdClient{address: "192.168.1.1:2947"}).refused(); !strings.Contains(got, "-G") {
		t.Error(got)
	}
}

func TestParseNetworkSources(t *testing.T) {
	for _, test := range []struct {
		source string
		want   source.Source
	}{
		{"tcp://192.168.1.10:10110", tcpClient{"192.168.1.10:10110"}},
		{"tcp://[fe80::1%eth0]:10110", tcpClient{"[fe80::1%eth0]:10110"}},
		{"udp://:10110", &udpListener{address: ":10110"}},
		{"udp://:10110?from=10.0.0.2", &udpListener{address: ":10110", from: netip.MustParseAddr("10.0.0.2")}},
		{"udp://127.0.0.1:10110", &udpListener{address: "127.0.0.1:10110"}},
		{"udp://239.2.1.1:10110?interface=eth0", &udpListener{address: "239.2.1.1:10110", group: true, device: "eth0"}},
		{"udp://[ff02::1]:10110", &udpListener{address: "[ff02::1]:10110", group: true}},
		{"gpsd://", gpsdClient{address: "localhost:2947"}},
		{"gpsd://boat", gpsdClient{address: "boat:2947"}},
		{"gpsd://:2948", gpsdClient{address: "localhost:2948"}},
		{"gpsd://[::1]", gpsdClient{address: "[::1]:2947"}},
		{"gpsd://boat:1234/dev/serial/by-id/usb-x", gpsdClient{address: "boat:1234", device: "/dev/serial/by-id/usb-x"}},
		{"gpsd:///dev/ttyUSB0", gpsdClient{address: "localhost:2947", device: "/dev/ttyUSB0"}},
		{"gpsd://boat:1234:/dev/ttyUSB0", gpsdClient{address: "boat:1234", device: "/dev/ttyUSB0"}},
		{"gpsd://boat/tcp://10.0.0.5:10110", gpsdClient{address: "boat:2947", device: "tcp://10.0.0.5:10110"}},
		{"gpsd://boat/", gpsdClient{address: "boat:2947"}},
	} {
		got, err := parse(test.source)
		if err != nil {
			t.Errorf("%s: %v", test.source, err)
			continue
		}
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(tcpClient{}, udpListener{}, gpsdClient{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.source, diff)
		}
	}
	const (
		useTCP  = `: use "tcp://host:port", such as tcp://192.168.1.10:10110 or tcp://[fd00::10]:10110`
		useUDP  = `: use "udp://:port", such as udp://:10110, or a multicast group, udp://239.2.1.1:10110?interface=eth0`
		useGPSD = `: use "gpsd://host:port", such as gpsd://localhost or gpsd://localhost:2947/dev/ttyUSB0`
	)
	for _, test := range []struct{ source, want string }{
		{"tcp://boat", `no port in "boat"` + useTCP},
		{"tcp://:10110", "no host" + useTCP},
		{"tcp://", `no port in ""` + useTCP},
		{"tcp://boat:nmea", `port "nmea" is not a number from 1 to 65535` + useTCP},
		{"tcp://::1:10110", `"::1:10110" is not host:port` + useTCP},
		{"udp://10110", `no port in "10110"` + useUDP},
		{"udp://:70000", `port "70000" is not a number from 1 to 65535` + useUDP},
		{"udp://:10110?interface=eth0", `option interface=eth0 is for multicast groups alone: name an address of the interface in place of ""`},
		{"udp://:10110?port=1", `option "port" is not known: use interface, from`},
		{"udp://:10110?from=phone", "option from=phone: use the IP address of the sender, such as from=192.168.4.20"},
		{"gpsd://boat:x", `port "x" is not a number from 1 to 65535` + useGPSD},
		{"gpsd://a:b:c", `"a:b:c" is not host:port` + useGPSD},
	} {
		want := "source: " + test.want
		if _, err := parse(test.source); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// parse makes a source of its written form.
func parse(text string) (source.Source, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	rest, query, _ := strings.Cut(rest, "?")
	o, err := source.ParseOptions(query)
	if err != nil {
		return nil, err
	}
	src, err := map[string]func(string, *source.Options) (source.Source, error){"tcp": NewTCP, "udp": NewUDP, "gpsd": NewGPSD}[scheme](rest, o)
	return src, o.Finish(err)
}

package network

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// gpsdClient reads a receiver through gpsd, which keeps the port: chrony and other clients of gpsd go on. It asks for NMEA
// (gpsd_json(5), WATCH with "nmea"): gpsd passes on the sentences of a receiver as they came, and makes sentences for
// a receiver that sends a binary protocol.
type gpsdClient struct {
	address string // host:port
	device  string // of gpsd's; "": the one that it has, or the first that is known to be a GPS
}

// gpsdPort is the port that IANA gave gpsd.
const gpsdPort = "2947"

// NewGPSD is the source "gpsd://host:port/device".
func NewGPSD(rest string, _ *source.Options) (source.Source, error) {
	address, device, found := strings.Cut(rest, "/")
	if found && device != "" && !strings.Contains(device, "://") { // gpsd reads tcp://HOST:PORT and the like too
		device = "/" + device
	}
	address = strings.TrimSuffix(address, ":") // gpsd's own form has host:port:/device
	host, port, err := splitAddress(cmp.Or(address, "localhost"), gpsdPort)
	if err != nil {
		return nil, source.Invalid(`use "gpsd://host:port", such as gpsd://localhost or gpsd://localhost:2947/dev/ttyUSB0`, "%v", err)
	}
	return gpsdClient{net.JoinHostPort(cmp.Or(host, "localhost"), port), device}, nil
}

func (gpsdClient) Traits() source.Traits { return source.Traits{Remote: true} }

func (g gpsdClient) Open(ctx context.Context, h source.Host) (source.Stream, error) {
	name := "gpsd://" + g.address
	c, err := dial(ctx, g.address)
	if err != nil {
		return nil, explainDial(name, err, g.refused())
	}
	return g.watch(ctx, c, name, h)
}

// watch asks for the sentences of a device on a connection to gpsd, which it closes on an error.
func (g gpsdClient) watch(ctx context.Context, c net.Conn, name string, h source.Host) (source.Stream, error) {
	s := newGPSD(c, name, g.device)
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // what is under way fails then
	err := s.watch()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return &gpsdStream{newStream(s, name+"/"+strings.TrimPrefix(s.device, "/"), h), g.device != ""}, nil
}

// refused is the fix where nothing listens.
func (g gpsdClient) refused() string {
	host, _, _ := net.SplitHostPort(g.address)
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return `is gpsd running? See "systemctl status gpsd.socket gpsd"`
	}
	return "is gpsd running there, with -G? Without it gpsd serves its own machine alone"
}

type gpsdStream struct {
	stream
	named bool // the configuration names the device
}

// Heard ends the stream of a device that was chosen before anything was known of it and turns out to be another instrument's:
// then gpsd knows it, and the next choice is another one.
func (s *gpsdStream) Heard(p []byte, now time.Time) error {
	if err := s.stream.Heard(p, now); err != nil || s.named || !s.warned || s.recogniser == nil {
		return err
	}
	if content := s.content(); content != nil {
		return content
	}
	return nil
}

func (s *gpsdStream) Silent() *problem.Problem { return source.SilentPort(s.Port()) }

func (s *gpsdStream) Lost(err error) *problem.Problem {
	port := s.Port()
	var wrong *problem.Problem
	switch {
	case errors.As(err, &wrong):
		return wrong
	case errors.Is(err, io.EOF):
		return &problem.Problem{Code: source.Closed, Cause: port + ": gpsd closed the connection", Fix: gpsdService}
	}
	return &problem.Problem{Code: source.Lost, Cause: fmt.Sprintf("%s: connection lost (%v)", port, netCause(err)), Fix: "check the network and gpsd", Err: err}
}

// gpsdService is the fix for a gpsd that does not work as it should.
const gpsdService = `see "systemctl status gpsd" on its machine`

// gpsdReply is what is looked at in gpsd's JSON lines: VERSION, DEVICES, WATCH and ERROR.
type gpsdReply struct {
	Class   string       `json:"class"`
	Message string       `json:"message"` // of an ERROR
	Devices []gpsdDevice `json:"devices"`
}

// gpsdDevice is a device as gpsd lists it.
type gpsdDevice struct {
	Path   string `json:"path"`
	Driver string `json:"driver"` // what gpsd has recognised, "" for nothing yet
	// Activated is when the device was last heard, absent or 0 (in old versions) while gpsd does not hear it.
	Activated json.RawMessage `json:"activated"`
	Flags     int             `json:"flags"` // what was seen: 1 is a GPS, 2 and 4 are corrections, 8 is AIS
}

func (d gpsdDevice) active() bool {
	a := string(d.Activated)
	return a != "" && a != "0" && a != "0.0" && a != "null" && a != `""`
}

// aisDriver is gpsd's for AIS receivers, whose flags have GPS as well where other sentences have come with theirs.
const aisDriver = "AIVDM"

func (d gpsdDevice) gps() bool     { return d.Flags&1 != 0 && d.Driver != aisDriver }
func (d gpsdDevice) unknown() bool { return d.Flags == 0 && d.Driver != aisDriver }

// chooseDevice returns the device to watch: the one that is wanted, else one that is known to be a GPS, else one of which
// nothing is known yet.
func chooseDevice(name, wanted string, devices []gpsdDevice) (string, error) {
	if wanted != "" {
		// gpsd opens a device that it knows when a client watches it, and reports an error when it does not know it.
		return wanted, nil
	}
	for _, is := range []func(gpsdDevice) bool{gpsdDevice.gps, gpsdDevice.unknown} {
		if i := slices.IndexFunc(devices, is); i >= 0 {
			return devices[i].Path, nil
		}
	}
	const plugIn = "plug one in, or give gpsd its port with \"sudo gpsdctl add /dev/ttyUSB0\""
	if len(devices) == 0 {
		return "", &problem.Problem{Code: source.GPSDNoDevice, Cause: name + " has no receiver", Fix: plugIn}
	}
	return "", &problem.Problem{Code: source.GPSDNoGPS, Cause: fmt.Sprintf("%s has no GPS receiver, only AIS or corrections on %s", name, paths(devices)), Fix: plugIn}
}

func paths(devices []gpsdDevice) string {
	var all []string
	for _, d := range devices {
		all = append(all, d.Path)
	}
	return strings.Join(all, ", ")
}

// gpsdErrorProblem makes a problem of gpsd's ERROR.
func gpsdErrorProblem(name, device, message string, devices []gpsdDevice) *problem.Problem {
	if !strings.HasPrefix(message, "No such device") {
		return &problem.Problem{Code: source.GPSDError, Cause: fmt.Sprintf("%s reports %q", name, message), Fix: gpsdService}
	}
	if len(devices) == 0 {
		return &problem.Problem{Code: source.GPSDDeviceUnknown, Cause: fmt.Sprintf("%s has no %s, and no other", name, device),
			Fix: fmt.Sprintf("plug it in, or give it to gpsd with \"sudo gpsdctl add %s\"", device)}
	}
	return &problem.Problem{Code: source.GPSDDeviceUnknown, Cause: fmt.Sprintf("%s has no %s, it has %s", name, device, paths(devices)), Fix: "name one of those"}
}

package network

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

const (
	// gpsdLine bounds a line: a device is some 300 bytes of DEVICES, and gpsd has some six at most.
	gpsdLine = 16 << 10
	// gpsdAsk is after what silence gpsd is asked how the device is. Receivers send every second, and gpsd calls a device
	// lost after 4 to 5 s.
	gpsdAsk = 2 * time.Second
)

// gpsd is a connection to gpsd that yields the sentences of one device, and understands the JSON lines between them.
type gpsd struct {
	net.Conn
	name   string // for errors
	device string // being watched

	// owned by the reader
	in       source.Reader
	buf      []byte
	r, w     int       // what of buf is unread
	left     []byte    // of the line that is being read, in buf
	deadline time.Time // of Read
	ask      time.Time // when to ask how the device is
	devices  []gpsdDevice
}

func newGPSD(c net.Conn, name, device string) *gpsd {
	return &gpsd{Conn: c, name: name, device: device, in: source.Reader{Conn: c}, buf: make([]byte, gpsdLine)}
}

// watchTimeout bounds the conversation before the first sentence: gpsd opens the device of the first WATCH after its start,
// and answers when it has tried its speeds, some 6 s later.
const watchTimeout = 15 * time.Second

// watch makes gpsd send the sentences of the device. It takes as long as dialTimeout and watchTimeout.
func (g *gpsd) watch() error {
	if err := g.version(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	deadline := time.Now().Add(watchTimeout)
	if err := g.send("?DEVICES;\n"); err != nil {
		return err
	}
	if _, err := g.await("DEVICES", deadline); err != nil {
		return err
	}
	device, err := chooseDevice(g.name, g.device, g.devices)
	if err != nil {
		return err
	}
	g.device = device
	if err := g.send(fmt.Sprintf("?WATCH={\"enable\":true,\"json\":false,\"nmea\":true,\"device\":%s};\n", quoteJSON(device))); err != nil {
		return err
	}
	if _, err := g.await("WATCH", deadline); err != nil {
		return err
	}
	g.heard()
	return nil
}

func quoteJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s) // a string has a JSON form
	}
	return string(b)
}

// version reads the greeting, which distinguishes gpsd from other servers.
func (g *gpsd) version(deadline time.Time) error {
	line, err := g.line(deadline)
	var reply gpsdReply
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem.Problem{Code: source.NotGPSD, Cause: g.name + " does not greet as gpsd does", Fix: gpsdUsualPort}
	case err != nil:
		return &problem.Problem{Code: source.Closed, Cause: g.name + " closed the connection", Fix: gpsdService, Err: err}
	case json.Unmarshal(line, &reply) == nil && reply.Class == "VERSION":
		return nil
	case bytes.ContainsAny(line[:1], "$!"):
		return &problem.Problem{Code: source.NotGPSD, Cause: g.name + " is not gpsd, it sends NMEA 0183 by itself", Fix: "use tcp:// in place of gpsd://"}
	}
	return &problem.Problem{Code: source.NotGPSD, Cause: fmt.Sprintf("%s is not gpsd, it sends %.40q", g.name, line), Fix: gpsdUsualPort}
}

const gpsdUsualPort = "use gpsd's port, usually 2947"

// send sends gpsd a command.
func (g *gpsd) send(command string) error {
	err := g.SetWriteDeadline(time.Now().Add(dialTimeout))
	if err == nil {
		_, err = g.Write([]byte(command))
	}
	if err != nil {
		return &problem.Problem{Code: source.Lost, Cause: fmt.Sprintf("ask %s: %v", g.name, netCause(err)), Err: err}
	}
	return nil
}

// await reads until gpsd has answered with class. Sentences of before are passed over.
func (g *gpsd) await(class string, deadline time.Time) (gpsdReply, error) {
	for {
		line, err := g.line(deadline)
		if err != nil {
			return gpsdReply{}, &problem.Problem{Code: source.NoAnswer, Cause: fmt.Sprintf("%s does not answer (%v)", g.name, netCause(err)), Fix: gpsdService, Err: err}
		}
		if line[0] != '{' {
			continue
		}
		reply, err := g.understand(line)
		if err != nil || reply.Class == class {
			return reply, err
		}
	}
}

// understand reads a JSON line. An ERROR is an error.
func (g *gpsd) understand(line []byte) (gpsdReply, error) {
	var reply gpsdReply
	if err := json.Unmarshal(line, &reply); err != nil {
		return reply, &problem.Problem{Code: source.NotGPSD, Cause: fmt.Sprintf("%s sends %.40q, which is not JSON", g.name, line), Fix: gpsdUsualPort}
	}
	switch reply.Class {
	case "ERROR":
		return reply, gpsdErrorProblem(g.name, g.device, reply.Message, g.devices)
	case "DEVICES":
		g.devices = reply.Devices
	}
	return reply, nil
}

// line returns the next line, which is not empty and valid until the next call. What came of one before the deadline is kept.
func (g *gpsd) line(deadline time.Time) ([]byte, error) {
	for {
		if end := bytes.IndexByte(g.buf[g.r:g.w], '\n'); end >= 0 {
			line := g.buf[g.r : g.r+end+1]
			g.r += end + 1
			return line, nil
		}
		g.w, g.r = copy(g.buf, g.buf[g.r:g.w]), 0
		if g.w == len(g.buf) {
			return nil, fmt.Errorf("a line is longer than %d bytes", gpsdLine)
		}
		n, err := g.in.Read(g.buf[g.w:], deadline)
		g.w += n
		if n == 0 && err == nil {
			err = source.ErrNothing
		}
		if n == 0 {
			return nil, err
		}
	}
}

func (g *gpsd) SetReadDeadline(t time.Time) error {
	g.deadline = t
	return nil
}

// Read reads a sentence with its line end, or a part of it.
func (g *gpsd) Read(p []byte) (int, error) {
	for len(g.left) == 0 {
		until := g.ask
		if source.Earlier(g.deadline, until) {
			until = g.deadline
		}
		line, err := g.line(until)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && until.Equal(g.ask):
			err = g.inquire()
		case err == nil && line[0] == '{':
			err = g.control(line)
		case err == nil:
			g.heard()
			g.left = line
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, g.left)
	g.left = g.left[n:]
	return n, nil
}

// heard puts off asking how the device is.
func (g *gpsd) heard() { g.ask = time.Now().Add(gpsdAsk) }

// inquire asks how the device is from which nothing comes.
func (g *gpsd) inquire() error {
	g.heard()
	return g.send("?DEVICES;\n")
}

// control handles a JSON line. The error is a problem when gpsd has lost the device.
func (g *gpsd) control(line []byte) error {
	reply, err := g.understand(line)
	if err != nil || reply.Class != "DEVICES" {
		return err
	}
	i := slices.IndexFunc(g.devices, func(d gpsdDevice) bool { return d.Path == g.device })
	switch {
	case i < 0:
		return &problem.Problem{Code: source.GPSDDeviceUnknown, Cause: fmt.Sprintf("%s has given %s up", g.name, g.device),
			Fix: fmt.Sprintf("plug it in again, or give it back with \"sudo gpsdctl add %s\"", g.device)}
	case !g.devices[i].active():
		return &problem.Problem{Code: source.Silent, Cause: fmt.Sprintf("%s gets nothing from %s any more", g.name, g.device), Fix: source.CheckPower}
	}
	return nil
}

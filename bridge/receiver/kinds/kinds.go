// Package kinds is the table of the sources that exist. A new one is a package or a file that makes it, and a line here:
// error messages, help and the reference configuration take its form from this table.
package kinds

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/network"
	"gpsbridge/bridge/receiver/playback"
	"gpsbridge/bridge/receiver/serial"
	"gpsbridge/bridge/receiver/simulated"
	"gpsbridge/bridge/receiver/source"
)

// Default is the source that finds a receiver by itself.
const Default = "auto"

// All are the kinds of source, the usual first.
var All = []source.Kind{
	{Form: "auto", Help: "the first serial port on which a receiver sends", Prefix: Default, Exact: true, New: serial.NewAuto},
	{Form: "/dev/ttyUSB0?baud=9600", Help: "a serial port; without baud its speed is found", Prefix: "/", New: serial.NewPort},
	{Form: "gpsd://host:port/device", Help: "a receiver that gpsd reads", Prefix: "gpsd://", New: network.NewGPSD},
	{Form: "tcp://host:port", Help: "a server that sends NMEA 0183", Prefix: "tcp://", New: network.NewTCP},
	{Form: "udp://:port", Help: "datagrams with NMEA 0183, of one sender at a time", Prefix: "udp://", New: network.NewUDP},
	{Form: "file:LOG?rate=1", Help: "a recorded log, at its own pace", Prefix: "file:", New: playback.NewFile},
	{Form: "sim:?rate=1", Help: "a simulated receiver", Prefix: "sim:", Exact: true, New: simulated.New},
	{Form: "-", Help: "standard input", Prefix: "-", Exact: true, New: playback.NewStdin},
}

// Forms lists how the sources are written, for a line of help.
func Forms() string {
	var forms []string
	for _, k := range All {
		forms = append(forms, k.Form)
	}
	return strings.Join(forms, ", ")
}

// Parse makes a source of its written form. The error is a *problem.Problem with the key "source".
func Parse(text string) (source.Source, error) {
	text = cmp.Or(text, Default)
	body, query := text, ""
	if i := strings.LastIndexByte(text, '?'); i >= 0 {
		body, query = text[:i], text[i+1:]
	}
	for _, k := range All {
		rest, found := strings.CutPrefix(body, k.Prefix)
		if !found || k.Exact && rest != "" {
			continue
		}
		src, err := parse(k, rest, query)
		if err != nil {
			return nil, inSource(text, err)
		}
		return src, nil
	}
	return nil, &problem.Problem{Code: source.Unknown, Key: "source", Cause: fmt.Sprintf("%q is not known", text), Fix: "use " + meant(text)}
}

// meant is what an unknown source may be, or all that there are.
func meant(text string) string {
	switch info, err := os.Stat(text); {
	case strings.HasPrefix(text, "tty"):
		return "/dev/" + text
	case err == nil && info.Mode().IsRegular():
		return "file:" + text
	}
	return Forms()
}

func parse(k source.Kind, rest, query string) (source.Source, error) {
	o, err := source.ParseOptions(query)
	if err != nil {
		return nil, err
	}
	src, err := k.New(rest, o)
	return src, o.Finish(err)
}

// inSource names the source in which something is wrong.
func inSource(text string, err error) *problem.Problem {
	p := *problem.Of(err)
	p.Code, p.Key, p.Cause = cmp.Or(p.Code, source.InvalidOption), "source", fmt.Sprintf("%q: %s", text, p.Cause)
	return &p
}

package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/kinds"
	"gpsbridge/bridge/receiver/record"
	"gpsbridge/bridge/receiver/share"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

// Check makes a configuration of a file that was made by a program. The errors are one line each.
func (f File) Check() (Config, error) { return f.check(nil) }

// check makes a configuration of a file and names everything that is wrong with it.
func (f File) check(o origins) (Config, error) {
	c := Config{DeviceID: f.DeviceID, file: f, origins: o}
	p := &problems{}
	host, _ := os.Hostname()
	p.add("", checkTrackerID(f.DeviceID, host))
	c.Receivers = f.receivers(p)
	c.Uplinks = f.uplinks(p, len(c.DeviceIDs()) > 1)
	c.Report = f.Report.check(p)
	c.Spool = f.Spool.check(p, f.service)
	c.Relay = f.Relay.check(p, f.service)
	c.Log = f.Log.check(p)
	return c, c.Explain("", errors.Join(p.all...))
}

// problems collects what is wrong with a configuration. Keys are complete.
type problems struct{ all []error }

// add adds the problems of a section, if there are any.
func (p *problems) add(section string, err error) {
	for _, one := range problem.All(err) {
		p.all = append(p.all, one.In(section))
	}
}

func (p *problems) value(key, cause, fix string) {
	p.add(key, &problem.Problem{Code: CodeValue, Cause: cause, Fix: fix})
}

// duration reads a duration such as "1m30s" that is not negative; 0 for an empty text.
func (p *problems) duration(key, text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		p.value(key, fmt.Sprintf("%q is not a duration", text), `use for example "10s" or "1m30s"`)
	}
	return d
}

var (
	sizeForm  = regexp.MustCompile(`^(\d{1,18}) ?([A-Za-z]+)$`)
	sizeUnits = map[string]int64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1e3, "MB": 1e6, "GB": 1e9}
)

// size reads a number of bytes such as "32MiB"; 0 for an empty text.
func (p *problems) size(key, text string) int64 {
	if text == "" {
		return 0
	}
	var n, unit int64
	if m := sizeForm.FindStringSubmatch(text); m != nil {
		unit = sizeUnits[m[2]]
		fmt.Sscan(m[1], &n) // digits, of which so many fit
	}
	if unit == 0 || n > math.MaxInt64/unit {
		p.value(key, fmt.Sprintf("%q is not a size", text), `use for example "32MiB"`)
		return 0
	}
	return n * unit
}

// choice returns text, or the first of the values for an empty one.
func (p *problems) choice(key, text string, values ...string) string {
	text = cmp.Or(text, values[0])
	if !slices.Contains(values, text) {
		last := len(values) - 1
		p.value(key, fmt.Sprintf("%q is unknown", text), fmt.Sprintf("use %s or %q", quoted(values[:last]), values[last]))
	}
	return text
}

func quoted(values []string) string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(all, ", ")
}

// limit reads a number from 0 to most.
func (p *problems) limit(key string, value, most float64, wants string) float64 {
	if !(value >= 0 && value <= most) { // NaN neither
		p.value(key, fmt.Sprintf("%v is out of range", value), "use "+wants)
	}
	return value
}

// checkTrackerID explains where an ID comes from that is empty: of some host names none can be made.
func checkTrackerID(id, host string) error {
	if id == "" && deviceIDFrom(host) == "" {
		return &problem.Problem{Code: CodeMissing, Key: "device_id",
			Cause: fmt.Sprintf("it is not set, and none can be made of the host name %q", host), Fix: fmt.Sprintf("set it, for example %q", exampleID)}
	}
	return checkDeviceID(id)
}

// exampleID is a device ID.
const exampleID = "van_7"

func checkDeviceID(id string) error {
	if relay.ValidDeviceID(id) {
		return nil
	}
	return &problem.Problem{Code: CodeValue, Key: "device_id", Cause: fmt.Sprintf("%q is not allowed", id),
		Fix: fmt.Sprintf("use 1 to 80 letters, digits and underscores, for example %q", cmp.Or(deviceIDFrom(id), exampleID))}
}

// receivers checks the [[receiver]] sections together.
func (f File) receivers(p *problems) (all []Receiver) {
	if len(f.Receivers) == 0 {
		p.add("receiver", &problem.Problem{Code: CodeMissing, Cause: "there is no [[receiver]] section", Fix: "add one"})
	}
	sources := map[string]bool{}
	for i, s := range f.Receivers {
		r := s.check(p, numbered("receiver", i), f)
		if sources[r.Source] && !strings.HasPrefix(r.Source, "sim:") {
			p.add(numbered("receiver", i), &problem.Problem{Code: CodeRepeated, Key: "source",
				Cause: fmt.Sprintf("another [[receiver]] section has the source %q", r.Source), Fix: "name a port in each: gpsbridge doctor lists them"})
		}
		sources[r.Source] = true
		all = append(all, r)
	}
	return all
}

func (s ReceiverSection) check(p *problems, section string, f File) Receiver {
	r := Receiver{
		DeviceID: cmp.Or(s.DeviceID, f.DeviceID), AllowNoChecksum: s.AllowNoChecksum,
		Config: receiver.Config{Source: cmp.Or(s.Source, kinds.Default), Silence: p.duration(section+".silence", s.Silence), State: f.service.state},
		Share:  share.Config{Listen: s.NMEAListen, Open: s.NMEAOpen},
	}
	r.Record = record.Config{Path: s.Record, Source: r.Source, Total: p.size(section+".record_max", s.RecordMax)}
	r.Rollover = Rollover(p.choice(section+".rollover", s.Rollover, string(RolloverAuto), string(RolloverCorrect), string(RolloverKeep)))
	if r.DeviceID != f.DeviceID {
		p.add(section, checkDeviceID(r.DeviceID))
	}
	if s.NMEAListen != "" {
		p.add(section, r.Share.Validate())
	}
	return r
}

func (s ReportSection) check(p *problems) pipeline.Limits {
	return pipeline.Limits{
		Interval: p.duration("report.interval", s.Interval), Stopped: p.duration("report.stopped", s.Stopped), NoFix: p.duration("report.no_fix", s.NoFix),
		Distance: p.limit("report.distance", s.Distance, math.MaxFloat64, "metres, 0 or more"),
		Turn:     p.limit("report.turn", s.Turn, 180, "degrees, 0 to 180"),
		Speed:    p.limit("report.speed", s.Speed, math.MaxFloat64, "metres a second, 0 or more"),
		Sky:      s.Sky, Members: s.members(p), Batch: s.batch(p),
	}
}

// maxBatch is as long as a fix is useful to a person who looks where the vehicle is.
const maxBatch = 5 * time.Minute

func (s ReportSection) batch(p *problems) time.Duration {
	batch := p.duration("report.batch", s.Batch)
	if batch > maxBatch {
		p.value("report.batch", fmt.Sprintf("%q is too long", s.Batch), "use at most 5m, or interval for fewer fixes")
	}
	return batch
}

// members reads the names of the members that are sent.
func (s ReportSection) members(p *problems) nmea.Members {
	set, unknown, ok := nmea.ParseMembers(s.Members)
	if !ok {
		known := nmea.MemberNames()
		p.value("report.members", fmt.Sprintf("%q is not a member of a fix", unknown), problem.Suggest(unknown, known)+
			"use some of "+strings.Join(known, ", ")+"; those that identify the message are always sent")
	}
	return set
}

func (s SpoolSection) check(p *problems, of service) spool.Options {
	o := spool.Options{
		Dir: cmp.Or(s.Dir, in(of.state, "spool")), Runtime: cmp.Or(s.Runtime, in(of.runtime, "spool")),
		Max: p.size("spool.max", s.Max), MinFree: p.size("spool.min_free", s.MinFree), Sync: p.duration("spool.sync", s.Sync),
	}
	if o.Max != 0 && o.Max < spool.MinMax {
		p.value("spool.max", fmt.Sprintf("%q is too small", s.Max), fmt.Sprintf(`use a size such as "32MiB", at least "%dB"`, int64(spool.MinMax)))
	}
	return o
}

func (s RelaySection) check(p *problems, of service) Relay {
	r := Relay{TokenFile: of.expand(s.Token)}
	r.Config = relay.Config{
		Listen: cmp.Or(s.Listen, relay.DefaultListen), Open: s.Open, Origins: s.Origins, History: relayHistory(s.History),
		SlowTimeout: p.duration("relay.slow_timeout", s.SlowTimeout), MaxConns: cmp.Or(s.MaxConns, maxConns), Basemap: s.Basemap,
		CertFile: of.expand(s.Cert), KeyFile: of.expand(s.Key), SelfSigned: s.TLS == selfSigned,
	}
	if s.History < 0 {
		p.value("relay.history", fmt.Sprintf("%d is out of range", s.History), "use 0 or more messages")
	}
	if s.MaxConns < 0 {
		p.value("relay.max_conns", fmt.Sprintf("%d is out of range", s.MaxConns), "use 1 or more, or leave it out")
	}
	if s.TLS != "" && s.TLS != selfSigned {
		p.value("relay.tls", fmt.Sprintf("%q is unknown", s.TLS), fmt.Sprintf("use %q, or tls_cert_file and tls_key_file alone", selfSigned))
	}
	if r.SelfSigned && (r.CertFile == "" || r.KeyFile == "") {
		if of.state == "" {
			p.add("relay.tls", &problem.Problem{Code: CodeMissing, Cause: "a certificate that is created must be kept", Fix: "name tls_cert_file and tls_key_file"})
		}
		r.CertFile, r.KeyFile = cmp.Or(r.CertFile, filepath.Join(of.state, "relay.pem")), cmp.Or(r.KeyFile, filepath.Join(of.state, "relay.key"))
	}
	return r
}

// maxConns are more viewers than a vehicle has. A client that reads nothing takes up to 100 KiB, the kernel's buffers included, which
// cgroup v2 counts for MemoryMax: those of these viewers, and the 272 connections beside them, are half of it.
const maxConns = 256

// relayHistory is a history as package relay counts it, whose 0 means its default: here 0 means none.
func relayHistory(history int) int {
	if history == 0 {
		return -1
	}
	return history
}

func (s LogSection) check(p *problems) Log {
	l := Log{Format: p.choice("log.format", s.Format, "text", "json")}
	level := p.choice("log.level", strings.ToLower(s.Level), "info", "debug", "warn", "error")
	if l.Level.UnmarshalText([]byte(level)) != nil {
		l.Level = slog.LevelInfo // choice has named it
	}
	return l
}

// uplinks checks the [[uplink]] sections together; several means that there are several device IDs.
func (f File) uplinks(p *problems, several bool) (all []Uplink) {
	names := map[string]bool{}
	for i, s := range f.Uplinks {
		section := numbered("uplink", i)
		u, err := s.check(p, section, several, f.service)
		p.add(section, err)
		if err == nil && names[u.Name] {
			p.add(section, &problem.Problem{Code: CodeRepeated, Key: "name", Cause: fmt.Sprintf("two [[uplink]] sections are called %q", u.Name), Fix: "give each a name of its own"})
		}
		names[u.Name] = true
		all = append(all, u)
	}
	return all
}

func (s UplinkSection) check(p *problems, section string, several bool, of service) (Uplink, error) {
	server, err := s.endpoint(several)
	if err != nil {
		return Uplink{}, err
	}
	u := Uplink{uplink.Config{
		Name: cmp.Or(s.Name, server.Host), Origin: s.Origin, Header: http.Header{}, Window: s.Window, Ping: p.duration(section+".ping", s.Ping),
		Retain: p.duration(section+".retain", s.Retain), ConnectTimeout: p.duration(section+".connect_timeout", s.Connect),
		URL:       strings.ReplaceAll(server.String(), "%7Bdevice_id%7D", deviceIDPlace), // String has escaped the braces
		TokenFile: of.expand(s.Token), CAFile: of.expand(s.CA), CertFile: of.expand(s.Cert), KeyFile: of.expand(s.Key),
		Ack:      uplink.AckMode(p.choice(section+".ack", s.Ack, string(uplink.AckAuto), string(uplink.AckEcho), string(uplink.AckPong), string(uplink.AckNone))),
		Order:    uplink.Order(p.choice(section+".order", s.Order, string(uplink.LiveFirst), string(uplink.OldestFirst))),
		Compress: uplink.Compress(p.choice(section+".compress", s.Compress, string(uplink.CompressAuto), string(uplink.CompressOff))),
	}}
	for name, value := range s.Headers {
		u.Header.Set(name, value)
	}
	return u, s.checkHeaders()
}

// endpoint returns the server's URL with its path.
func (s UplinkSection) endpoint(several bool) (*url.URL, error) {
	bad := func(cause, fix string) error {
		return &problem.Problem{Code: CodeValue, Key: "server", Cause: cause, Fix: fix}
	}
	server, err := url.Parse(s.Server)
	switch {
	case s.Server == "":
		return nil, &problem.Problem{Code: CodeMissing, Key: "server", Cause: "it is empty", Fix: "use a URL such as wss://tracking.example.org"}
	case err != nil:
		return nil, bad(fmt.Sprintf("it is not a URL: %v", errors.Unwrap(err)), "use ws://HOST or wss://HOST")
	case server.User != nil:
		return nil, bad(fmt.Sprintf("%q holds a password", server.Redacted()), "write a token into a file and name it with token_file")
	case server.Scheme != "ws" && server.Scheme != "wss" || server.Host == "":
		shown := s.Server[:strings.IndexAny(s.Server+"?", "?#")] // what follows may be secret
		return nil, bad(fmt.Sprintf("%q is not a WebSocket URL", shown), "use ws://HOST or wss://HOST")
	}
	if server.Path == "" || server.Path == "/" {
		server.Path = TrackingRoute
	}
	if several && !strings.Contains(server.Path+server.RawQuery, deviceIDPlace) {
		return nil, bad(fmt.Sprintf("%q has no {device_id}, and the receivers feed several", s.Server), "write it where the device ID belongs")
	}
	return server, nil
}

// headerName is a token (RFC 9110, section 5.6.2).
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// ownHeaders are those of the handshake that package websocket writes itself; a subprotocol is the user's to ask for.
var ownHeaders = []string{"upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"}

// checkHeaders finds what no server would get: the handshake would fail at each attempt.
func (s UplinkSection) checkHeaders() error {
	for name, value := range s.Headers {
		switch {
		case !headerName.MatchString(name) || strings.ContainsAny(value, "\r\n\x00"):
			return &problem.Problem{Code: CodeValue, Key: "headers", Cause: fmt.Sprintf("%q is not a header of one line", name), Fix: `use for example { "X-Fleet" = "north" }`}
		case slices.Contains(ownHeaders, strings.ToLower(name)):
			return &problem.Problem{Code: CodeValue, Key: "headers", Cause: fmt.Sprintf("%q belongs to the WebSocket itself", name), Fix: "remove it"}
		}
	}
	return nil
}

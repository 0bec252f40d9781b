package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/share"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
)

// deviceID is what the server's route (\w+) and its channel layer's group names (ASCII, under 100 characters with
// the group's prefix) accept together.
var deviceID = regexp.MustCompile(`^[A-Za-z0-9_]{1,80}$`)

// Validate checks what the parts do not check themselves and completes what was left to a default. Its errors are one
// line each, name the key, and where Load knows it, where the value was given.
func (c *Config) Validate() error {
	c.Relay.Listen = cmp.Or(c.Relay.Listen, DefaultListen)
	host, _ := os.Hostname()
	errs := []error{c.At("", checkTrackerID(c.DeviceID, host))}
	errs = append(errs, c.completeReceivers()...)
	errs = append(errs, c.completeUplinks()...)
	errs = append(errs, c.At("report", c.Report.check()), c.At("spool", c.Spool.check()), c.At("relay", errors.Join(c.Relay.check(), c.Relay.complete())))
	if f := c.Log.Format; f != "text" && f != "json" {
		errs = append(errs, c.At("log", fmt.Errorf("log.format %q is unknown: use \"text\" or \"json\"", f)))
	}
	return errors.Join(errs...)
}

// check finds limits that no movement has.
func (r Report) check() error {
	var errs []error
	for _, limit := range []struct {
		key         string
		value, most float64
		wants       string
	}{
		{"distance", r.Distance, math.MaxFloat64, "metres, 0 or more"},
		{"turn", r.Turn, 180, "degrees, 0 to 180"},
		{"speed", r.Speed, math.MaxFloat64, "metres a second, 0 or more"},
	} {
		if !(limit.value >= 0 && limit.value <= limit.most) { // NaN neither
			errs = append(errs, fmt.Errorf("report.%s is %v: use %s", limit.key, limit.value, limit.wants))
		}
	}
	return errors.Join(append(errs, bareDurations("report", reflect.ValueOf(r))...)...)
}

func (s Spool) check() error {
	errs := bareDurations("spool", reflect.ValueOf(s))
	if s.Max != 0 && s.Max < spool.MinMax {
		errs = append(errs, fmt.Errorf("spool.max is %d bytes: use a size such as \"32MiB\", at least %d bytes", s.Max, int64(spool.MinMax)))
	}
	return errors.Join(errs...)
}

// check is of what package relay would take for its default.
func (r Relay) check() error {
	errs := bareDurations("relay", reflect.ValueOf(r))
	if r.History < 0 {
		errs = append(errs, fmt.Errorf("relay.history is %d: use 0 or more messages", r.History))
	}
	return errors.Join(errs...)
}

// checkTrackerID says where an ID comes from that is empty: of some host names none can be made.
func checkTrackerID(id, host string) error {
	if id == "" && deviceIDFrom(host) == "" {
		return fmt.Errorf("device_id is not set, and none can be made of the host name %q: set it, for example %q", host, exampleID)
	}
	return checkDeviceID("device_id", id)
}

// exampleID is one that can be.
const exampleID = "van_7"

func checkDeviceID(key, id string) error {
	if deviceID.MatchString(id) {
		return nil
	}
	return fmt.Errorf("%s %q is not allowed: use 1 to 80 letters, digits and underscores, for example %q",
		key, id, cmp.Or(deviceIDFrom(id), exampleID))
}

// completeReceivers lays defaults over what the [[receiver]] sections leave out and checks them together.
func (c *Config) completeReceivers() (errs []error) {
	if len(c.Receivers) == 0 {
		errs = append(errs, errors.New("no [[receiver]] section: one is needed"))
	}
	sources := map[string]bool{}
	for i := range c.Receivers {
		r := &c.Receivers[i]
		section := Section("receiver", i)
		if err := r.complete(c.DeviceID); err != nil {
			errs = append(errs, c.At(section, err))
		}
		if sources[r.Source] && !strings.HasPrefix(r.Source, "sim:") {
			errs = append(errs, c.At(section, fmt.Errorf("two [[receiver]] sections have the source %q: name a port in each, see gpsbridge doctor", r.Source)))
		}
		sources[r.Source] = true
	}
	return errs
}

// complete lays defaults over what the section leaves out and checks it.
func (r *Receiver) complete(tracker string) error {
	r.Source = cmp.Or(r.Source, receiver.DefaultSource)
	r.Rollover = cmp.Or(r.Rollover, RolloverAuto)
	r.DeviceID = cmp.Or(r.DeviceID, tracker)
	errs := bareDurations("receiver", reflect.ValueOf(*r))
	if !slices.Contains([]string{RolloverAuto, RolloverMend, RolloverKeep}, r.Rollover) {
		errs = append(errs, fmt.Errorf("receiver.rollover %q is unknown: use \"auto\", \"mend\" or \"keep\"", r.Rollover))
	}
	if r.DeviceID != tracker {
		errs = append(errs, checkDeviceID("receiver.device_id", r.DeviceID))
	}
	if r.NMEAListen != "" {
		if err := (share.Config{Listen: r.NMEAListen, Open: r.NMEAOpen}).Validate(); err != nil {
			errs = append(errs, problem.Of(err).In("receiver"))
		}
	}
	return errors.Join(errs...)
}

// completeUplinks completes the [[uplink]] sections and checks them together.
func (c *Config) completeUplinks() (errs []error) {
	several := len(c.DeviceIDs()) > 1
	names := map[string]bool{}
	for i := range c.Uplinks {
		u := &c.Uplinks[i]
		err := u.complete(several)
		if err == nil && names[u.Name] {
			err = fmt.Errorf("two [[uplink]] sections are called %q: give each a name of its own", u.Name)
		}
		names[u.Name] = true
		errs = append(errs, c.At(Section("uplink", i), errors.Join(append(bareDurations("uplink", reflect.ValueOf(*u)), err)...)))
	}
	return errs
}

// complete checks the server's URL and makes the endpoint and the name of it; several says that there are several device
// IDs.
func (u *Uplink) complete(several bool) error {
	parsed, err := url.Parse(u.Server)
	switch {
	case u.Server == "":
		return errors.New("uplink.server is empty: use a URL such as wss://tracking.example.org")
	case err != nil:
		return fmt.Errorf("uplink.server is not a URL: %w", errors.Unwrap(err))
	case parsed.User != nil:
		return fmt.Errorf("uplink.server %q holds a password: put a token in a file and name it with token_file", parsed.Redacted())
	case parsed.Scheme != "ws" && parsed.Scheme != "wss" || parsed.Host == "":
		return fmt.Errorf("uplink.server %q is not a WebSocket URL: use ws://HOST or wss://HOST", u.Server)
	}
	if parsed.Path == "" || parsed.Path == "/" {
		parsed.Path = trackingRoute
	}
	u.endpoint = strings.ReplaceAll(parsed.String(), "%7Bdevice_id%7D", deviceIDPlace) // String has escaped the braces
	if several && !strings.Contains(u.endpoint, deviceIDPlace) {
		return fmt.Errorf("uplink.server %q has no {device_id}, and the receivers feed several: put it where it belongs", u.Server)
	}
	if u.Name == "" {
		u.Name = parsed.Host
	}
	for _, path := range []*string{&u.Token, &u.CA, &u.Cert, &u.Key} {
		*path = expandCredentials(*path)
	}
	if _, err := uplink.ParseAckMode(u.Ack); err != nil {
		return fmt.Errorf("uplink.ack: %w", err)
	}
	if _, err := uplink.ParseOrder(u.Order); err != nil {
		return fmt.Errorf("uplink.order: %w", err)
	}
	return u.checkHeaders()
}

// headerName is a token (RFC 9110, section 5.6.2).
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// ownHeaders are those of the handshake that package websocket writes itself; a subprotocol is the user's to ask for.
var ownHeaders = []string{"upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"}

// checkHeaders finds what no server would get: the handshake would fail at each attempt.
func (u *Uplink) checkHeaders() error {
	for name, value := range u.Headers {
		switch {
		case !headerName.MatchString(name) || strings.ContainsAny(value, "\r\n\x00"):
			return fmt.Errorf("uplink.headers has %q, which is no header of one line: use for example { \"X-Fleet\" = \"north\" }", name)
		case slices.Contains(ownHeaders, strings.ToLower(name)):
			return fmt.Errorf("uplink.headers has %q, which is the WebSocket's own: take it out", name)
		}
	}
	return nil
}

// BadFile names a file of the configuration that is not there, or a token's that holds none: an error in a configuration that
// is checked, and for a daemon a reason to try again, since files are read when they are needed. One that may not be looked
// at, or is a credential that only the service has, is taken to be good.
func (c *Config) BadFile() error {
	for i, u := range c.Uplinks {
		for _, f := range []struct{ key, path string }{
			{"token_file", u.Token}, {"ca_file", u.CA}, {"cert_file", u.Cert}, {"key_file", u.Key},
		} {
			if err := badFile(f.key, f.path); err != nil {
				return c.At(Section("uplink", i), fmt.Errorf("uplink %q: %w", u.Name, err))
			}
		}
	}
	if err := badFile("basemap", c.Relay.Basemap); err != nil {
		return c.At("relay", fmt.Errorf("relay.%w", err))
	}
	return nil
}

func badFile(key, path string) error {
	if path == "" || strings.Contains(path, credentialsPlace) {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s %q does not exist: make it, or take the key out", key, path)
	}
	if key != "token_file" {
		return nil
	}
	if _, err := ReadSecret(path); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// Secrets are the files that hold tokens and keys.
func (c *Config) Secrets() []string {
	files := []string{c.Relay.Token, c.Relay.Key}
	for _, u := range c.Uplinks {
		files = append(files, u.Token, u.Key)
	}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

package bridge

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/share"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
)

// Config is all that can be configured. Its TOML form is documented key by key in systemd/gpsbridge.toml.
type Config struct {
	// DeviceID names the tracking group: 1 to 80 ASCII letters, digits and underscores. The default is made from the
	// host name.
	DeviceID string `toml:"device_id"`

	Receivers []ReceiverConfig `toml:"receiver"`
	Report    ReportConfig     `toml:"report"`
	Uplinks   []UplinkConfig   `toml:"uplink"`
	Spool     SpoolConfig      `toml:"spool"`
	Relay     RelayConfig      `toml:"relay"`
	Log       LogConfig        `toml:"log"`
}

// ReceiverConfig is one [[receiver]].
type ReceiverConfig struct {
	Source  string   `toml:"source"`  // see package receiver
	Silence Duration `toml:"silence"` // a port that says nothing for this long is reopened; 0: receiver's default
	// DeviceID is what it feeds; default: that of the tracker. Of several that feed the same the one with the best fix does.
	DeviceID string `toml:"device_id"`
	// Record is a file in which what the receiver sends is kept as it came; "" for none. RecordMax bounds it and the older
	// ones beside it.
	Record    string `toml:"record"`
	RecordMax Size   `toml:"record_max"`
	// NMEAListen is host:port where other programs get what the receiver sends over TCP; "" for none. An address that is
	// not loopback needs NMEAOpen.
	NMEAListen string `toml:"nmea_listen"`
	NMEAOpen   bool   `toml:"nmea_open"`
	// Rollover says what is done about dates that are 1024 weeks old: "mend", "keep", or "auto" (the default), mend those
	// of a receiver and keep those of a recording.
	Rollover string `toml:"rollover"`
	// AllowNoChecksum takes sentences without a checksum, which any noise may have changed.
	AllowNoChecksum bool `toml:"allow_no_checksum"`
}

// UplinkConfig is one [[uplink]]: a tracking server. Zero values mean package uplink's defaults.
type UplinkConfig struct {
	Name     string            `toml:"name"`   // in the log and the status; default: the server's host
	Server   string            `toml:"server"` // WebSocket URL; {device_id} is replaced, without a path the tracking route is used
	Origin   string            `toml:"origin"`
	Headers  map[string]string `toml:"headers"`
	Token    string            `toml:"token_file"`
	CA       string            `toml:"ca_file"`
	Cert     string            `toml:"cert_file"`
	Key      string            `toml:"key_file"`
	Ack      string            `toml:"ack"`
	Order    string            `toml:"order"`
	Window   int               `toml:"window"`
	Ping     Duration          `toml:"ping"`
	endpoint string            // Server with its path, made by Validate
}

// SpoolConfig is [spool]. Zero values mean package spool's defaults.
type SpoolConfig struct {
	Dir     string   `toml:"dir"`      // on disk; "" for none: fixes are held in memory
	Runtime string   `toml:"runtime"`  // on a tmpfs that outlives the daemon
	Max     Size     `toml:"max"`      // of the files in Dir, or of the memory
	MinFree Size     `toml:"min_free"` // left to others on the disk
	Sync    Duration `toml:"sync"`     // what a power cut may cost
}

// RelayConfig is [relay].
type RelayConfig struct {
	Listen      string   `toml:"listen"` // host:port; "off" for none
	Open        bool     `toml:"open"`
	Token       string   `toml:"token_file"`
	Origins     []string `toml:"origins"`
	History     int      `toml:"history"`
	SlowTimeout Duration `toml:"slow_timeout"`
	MaxConns    int      `toml:"max_conns"`
	Basemap     string   `toml:"basemap"` // a .pmtiles file
	// TLS is "self-signed" to have Cert and Key made where they are not there; with them alone they must be.
	TLS  string `toml:"tls"`
	Cert string `toml:"tls_cert_file"`
	Key  string `toml:"tls_key_file"`
}

// LogConfig is [log].
type LogConfig struct {
	Level  Level  `toml:"level"`  // debug, info, warn, error
	Format string `toml:"format"` // text or json
}

// DefaultListen is where the relay listens unless told otherwise: this machine alone.
const DefaultListen = "127.0.0.1:8947"

// trackingRoute is the path of the tracking server's route, and of the relay's.
const trackingRoute = "/ws/gps-tracking/" + deviceIDPlace + "/"

// credentialsPlace is where the folder of the service's credentials goes in the name of a file.
const credentialsPlace = "${CREDENTIALS_DIRECTORY}"

// deviceIDPlace is where the device ID goes in a server's URL.
const deviceIDPlace = "{device_id}"

// Default returns the configuration of a daemon that was told nothing: it finds the receiver by itself and serves
// viewers on this machine.
func Default() Config {
	host, _ := os.Hostname()
	return Config{
		DeviceID:  deviceIDFrom(host),
		Receivers: []ReceiverConfig{{Source: receiver.DefaultSource, Rollover: rolloverAuto}},
		Spool:     SpoolConfig{Dir: serviceFolder("STATE_DIRECTORY"), Runtime: serviceFolder("RUNTIME_DIRECTORY"), MinFree: 64 << 20},
		Relay:     RelayConfig{Listen: DefaultListen, History: relay.DefaultHistory},
		Log:       LogConfig{Format: "text"},
	}
}

// serviceFolder is the spool's place in a folder that systemd has made for the service (systemd.exec(5)); "" outside.
func serviceFolder(variable string) string {
	dir, _, _ := strings.Cut(os.Getenv(variable), ":")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "spool")
}

// stateFolder is where the receiver that worked is remembered; "" outside systemd.
func stateFolder() string {
	dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	return dir
}

// deviceID is what the server's route (\w+) and its channel layer's group names (ASCII, under 100 characters with
// the group's prefix) accept together.
var deviceID = regexp.MustCompile(`^[A-Za-z0-9_]{1,80}$`)

var notInDeviceID = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// deviceIDFrom makes a valid device ID of a host name: rpi-7.local becomes rpi_7_local.
func deviceIDFrom(host string) string {
	id := strings.Trim(notInDeviceID.ReplaceAllString(host, "_"), "_")
	return id[:min(len(id), 80)]
}

// Validate checks what the parts do not check themselves and completes what was left to a default. Its errors are one
// line each and name the key.
func (c *Config) Validate() error {
	var errs []error
	if err := checkDeviceID("device_id", c.DeviceID); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.completeReceivers()...)
	if err := c.Relay.complete(); err != nil {
		errs = append(errs, err)
	}
	names := map[string]bool{}
	for i := range c.Uplinks {
		u := &c.Uplinks[i]
		if err := u.complete(len(c.DeviceIDs()) > 1); err != nil {
			errs = append(errs, err)
		} else if names[u.Name] {
			errs = append(errs, fmt.Errorf("two [[uplink]] sections are called %q: give each a name of its own", u.Name))
		}
		names[u.Name] = true
	}
	if r := c.Report; r.Distance < 0 || r.Turn < 0 || r.Turn > 180 || r.Speed < 0 {
		errs = append(errs, errors.New("report: distance (m) and speed (m/s) must not be negative, and turn is 0 to 180 degrees"))
	}
	if m := c.Spool.Max; m != 0 && m < spool.MinMax {
		errs = append(errs, fmt.Errorf("spool.max is %d bytes: use a size such as \"32MiB\", at least %d bytes", m, int64(spool.MinMax)))
	}
	errs = append(errs, bareDurations("", reflect.ValueOf(*c))...)
	if c.Relay.History < 0 {
		errs = append(errs, fmt.Errorf("relay.history is %d: use 0 or more messages", c.Relay.History))
	}
	if f := c.Log.Format; f != "text" && f != "json" {
		errs = append(errs, fmt.Errorf("log.format %q is unknown: use \"text\" or \"json\"", f))
	}
	return errors.Join(errs...)
}

func checkDeviceID(key, id string) error {
	if deviceID.MatchString(id) {
		return nil
	}
	return fmt.Errorf("%s %q is not allowed: use 1 to 80 letters, digits and underscores, for example %q",
		key, id, max(deviceIDFrom(id), "van_7"))
}

// completeReceivers lays defaults over what the [[receiver]] sections leave out and checks them together.
func (c *Config) completeReceivers() (errs []error) {
	if len(c.Receivers) == 0 {
		errs = append(errs, errors.New("no [[receiver]] section: one is needed"))
	}
	sources := map[string]bool{}
	for i := range c.Receivers {
		r := &c.Receivers[i]
		r.Source = cmp.Or(r.Source, receiver.DefaultSource)
		r.Rollover = cmp.Or(r.Rollover, rolloverAuto)
		r.DeviceID = cmp.Or(r.DeviceID, c.DeviceID)
		if !slices.Contains([]string{rolloverAuto, rolloverMend, rolloverKeep}, r.Rollover) {
			errs = append(errs, fmt.Errorf("receiver.rollover %q is unknown: use \"auto\", \"mend\" or \"keep\"", r.Rollover))
		}
		if r.DeviceID != c.DeviceID {
			if err := checkDeviceID("receiver.device_id", r.DeviceID); err != nil {
				errs = append(errs, err)
			}
		}
		if r.NMEAListen != "" {
			if err := (share.Config{Listen: r.NMEAListen, Open: r.NMEAOpen}).Validate(); err != nil {
				errs = append(errs, fmt.Errorf("receiver.%w", err))
			}
		}
		if sources[r.Source] && !strings.HasPrefix(r.Source, "sim:") {
			errs = append(errs, fmt.Errorf("two [[receiver]] sections have the source %q: name a port in each, see gpsbridge doctor", r.Source))
		}
		sources[r.Source] = true
	}
	return errs
}

// complete checks the server's URL and makes the endpoint and the name of it; several says that there are several device
// IDs.
func (u *UplinkConfig) complete(several bool) error {
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
	return nil
}

// Endpoint is the URL of a device ID's group on the server. Device IDs need no escaping.
func (u UplinkConfig) Endpoint(deviceID string) string {
	return strings.ReplaceAll(u.endpoint, deviceIDPlace, deviceID)
}

// SpoolFolders are the folders of a device ID's spool, "" for none: those of [spool] for the tracker's own, and such that
// lie beside them for a receiver's of its own.
func (c *Config) SpoolFolders(deviceID string) (dir, runtime string) {
	dir, runtime = c.Spool.Dir, c.Spool.Runtime
	if deviceID == c.DeviceID {
		return dir, runtime
	}
	if dir != "" {
		dir += "-" + deviceID
	}
	if runtime != "" {
		runtime += "-" + deviceID
	}
	return dir, runtime
}

// expandCredentials replaces ${CREDENTIALS_DIRECTORY}, where systemd puts what LoadCredential= names (systemd.exec(5)).
// Outside a service the place stays as it is.
func expandCredentials(path string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return path
	}
	return strings.ReplaceAll(path, credentialsPlace, dir)
}

// MissingFile names a file of the uplinks that is not there: an error in a configuration that is checked, and for a daemon a
// reason to try again, since files are read at each connection. One that may not be looked at, or is a credential that only the
// service has, is taken to be.
func (c *Config) MissingFile() error {
	for _, u := range c.Uplinks {
		for _, f := range []struct{ key, path string }{
			{"token_file", u.Token}, {"ca_file", u.CA}, {"cert_file", u.Cert}, {"key_file", u.Key},
		} {
			if strings.Contains(f.path, credentialsPlace) || f.path == "" {
				continue
			}
			if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("uplink %q: %s %q does not exist: make it, or take the key out", u.Name, f.key, f.path)
			}
		}
	}
	return nil
}

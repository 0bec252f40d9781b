package config

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/uplink"
)

// Config is all that can be configured. Its TOML form is documented key by key in systemd/gpsbridge.toml.
type Config struct {
	// DeviceID names the tracking group: 1 to 80 ASCII letters, digits and underscores. The default is made from the
	// host name.
	DeviceID string `toml:"device_id"`

	Receivers []Receiver `toml:"receiver"`
	Report    Report     `toml:"report"`
	Uplinks   []Uplink   `toml:"uplink"`
	Spool     Spool      `toml:"spool"`
	Relay     Relay      `toml:"relay"`
	Log       Log        `toml:"log"`

	origins origins
}

// Receiver is one [[receiver]].
type Receiver struct {
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

// Uplink is one [[uplink]]: a tracking server. Zero values mean package uplink's defaults.
type Uplink struct {
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

// Spool is [spool]. Zero values mean package spool's defaults.
type Spool struct {
	Dir     string   `toml:"dir"`      // on disk; "" for none: fixes are held in memory
	Runtime string   `toml:"runtime"`  // on a tmpfs that outlives the daemon
	Max     Size     `toml:"max"`      // of the files in Dir, or of the memory
	MinFree Size     `toml:"min_free"` // left to others on the disk
	Sync    Duration `toml:"sync"`     // what a power cut may cost
}

// Relay is [relay].
type Relay struct {
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

// Log is [log].
type Log struct {
	Level  Level  `toml:"level"`  // debug, info, warn, error
	Format string `toml:"format"` // text or json
}

// How [[receiver]] rollover is written.
const (
	RolloverAuto = "auto" // mend the dates of a receiver, keep those of a recording
	RolloverMend = "mend"
	RolloverKeep = "keep"
)

// DeviceIDs are those that the receivers feed, in the order of the configuration.
func (c *Config) DeviceIDs() (ids []string) {
	seen := map[string]bool{}
	for _, r := range c.Receivers {
		if !seen[r.DeviceID] {
			ids = append(ids, r.DeviceID)
		}
		seen[r.DeviceID] = true
	}
	return ids
}

// Report is [report]: which fixes go to the tracking servers. With no limit set every one does; otherwise one goes when any of
// the limits is reached, and always the first fix, the loss of the fix and its return, the start and the stop.
type Report struct {
	Interval Duration `toml:"interval"` // since the last report, while moving
	Distance float64  `toml:"distance"` // m from the last report
	Turn     float64  `toml:"turn"`     // degrees from the course of the last report, 0 to 180
	Speed    float64  `toml:"speed"`    // m/s from the speed of the last report
	Stopped  Duration `toml:"stopped"`  // since the last report, while standing; 0: Interval
	NoFix    Duration `toml:"no_fix"`   // since the last report, while there is no fix; 0: Interval, without that a minute
	Sky      bool     `toml:"sky"`      // satellites too, not only fixes
}

// Limits returns the section as the pipeline takes it.
func (r Report) Limits() pipeline.Limits {
	return pipeline.Limits{
		Interval: time.Duration(r.Interval), Distance: r.Distance, Turn: r.Turn, Speed: r.Speed,
		Stopped: time.Duration(r.Stopped), NoFix: time.Duration(r.NoFix), Sky: r.Sky,
	}
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
		Receivers: []Receiver{{Source: receiver.DefaultSource, Rollover: RolloverAuto}},
		Spool:     Spool{Dir: serviceFolder("STATE_DIRECTORY"), Runtime: serviceFolder("RUNTIME_DIRECTORY"), MinFree: 64 << 20},
		Relay:     Relay{Listen: DefaultListen, History: relay.DefaultHistory},
		Log:       Log{Format: "text"},
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

// StateFolder is where the receiver that worked is remembered; "" outside systemd.
func StateFolder() string {
	dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	return dir
}

var notInDeviceID = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// deviceIDFrom makes a valid device ID of a host name: rpi-7.local becomes rpi_7_local.
func deviceIDFrom(host string) string {
	id := strings.Trim(notInDeviceID.ReplaceAllString(host, "_"), "_")
	return id[:min(len(id), 80)]
}

// Endpoint is the URL of a device ID's group on the server. Device IDs need no escaping.
func (u Uplink) Endpoint(deviceID string) string {
	return strings.ReplaceAll(u.endpoint, deviceIDPlace, deviceID)
}

// Uplink returns the section as package uplink takes it, for a device ID's group: who it is, how it connects and sends.
func (u Uplink) Uplink(deviceID string) (uplink.Config, error) {
	ack, err := uplink.ParseAckMode(u.Ack)
	if err != nil {
		return uplink.Config{}, err
	}
	order, err := uplink.ParseOrder(u.Order)
	if err != nil {
		return uplink.Config{}, err
	}
	c := u.Dialing(deviceID)
	c.Ack, c.Order, c.Window, c.Ping = ack, order, u.Window, time.Duration(u.Ping)
	return c, nil
}

// Dialing is what an uplink needs to connect.
func (u Uplink) Dialing(deviceID string) uplink.Config {
	header := http.Header{}
	for name, value := range u.Headers {
		header.Set(name, value)
	}
	return uplink.Config{
		Name: u.Name, URL: u.Endpoint(deviceID), Origin: u.Origin, Header: header,
		TokenFile: u.Token, CAFile: u.CA, CertFile: u.Cert, KeyFile: u.Key,
	}
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

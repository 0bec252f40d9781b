package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/pelletier/go-toml/v2"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/kinds"
	"gpsbridge/bridge/relay"
)

// File is a configuration as it is written in TOML. Durations, sizes and choices are texts; an empty one stands for the default.
type File struct {
	DeviceID  string            `toml:"device_id"` // names the tracking group
	Receivers []ReceiverSection `toml:"receiver"`
	Report    ReportSection     `toml:"report"`
	Uplinks   []UplinkSection   `toml:"uplink"`
	Spool     SpoolSection      `toml:"spool"`
	Relay     RelaySection      `toml:"relay"`
	Log       LogSection        `toml:"log"`

	service service
	outside bool // of the service whose configuration this is
}

// ReceiverSection is one [[receiver]].
type ReceiverSection struct {
	Source          string `toml:"source"`            // see package receiver
	Silence         string `toml:"silence"`           // duration; a port that sends nothing for this long is opened again
	DeviceID        string `toml:"device_id"`         // that it feeds; default: the tracker's
	Record          string `toml:"record"`            // file
	RecordMax       string `toml:"record_max"`        // size
	NMEAListen      string `toml:"nmea_listen"`       // host:port
	NMEAOpen        bool   `toml:"nmea_open"`         // NMEAListen need not be loopback
	Rollover        string `toml:"rollover"`          // a Rollover
	AllowNoChecksum bool   `toml:"allow_no_checksum"` // accept sentences that noise may have changed
}

// ReportSection is [report], see pipeline.Limits.
type ReportSection struct {
	Interval string  `toml:"interval"` // duration
	Distance float64 `toml:"distance"` // m
	Turn     float64 `toml:"turn"`     // degrees
	Speed    float64 `toml:"speed"`    // m/s
	Stopped  string  `toml:"stopped"`  // duration
	NoFix    string  `toml:"no_fix"`   // duration
	Sky      bool    `toml:"sky"`

	Batch   string   `toml:"batch"`   // duration
	Members []string `toml:"members"` // of nmea.MemberNames; empty for all
}

// UplinkSection is one [[uplink]].
type UplinkSection struct {
	Name     string            `toml:"name"`   // default: the server's host
	Server   string            `toml:"server"` // WebSocket URL; {device_id} is replaced, without a path the tracking route is used
	Origin   string            `toml:"origin"`
	Headers  map[string]string `toml:"headers"`
	Token    string            `toml:"token_file"`
	CA       string            `toml:"ca_file"`
	Cert     string            `toml:"cert_file"`
	Key      string            `toml:"key_file"`
	Ack      string            `toml:"ack"`
	Order    string            `toml:"order"`
	Compress string            `toml:"compress"`
	Window   int               `toml:"window"`
	Ping     string            `toml:"ping"`            // duration
	Retain   string            `toml:"retain"`          // duration
	Connect  string            `toml:"connect_timeout"` // duration
}

// SpoolSection is [spool], see spool.Options.
type SpoolSection struct {
	Dir     string `toml:"dir"`
	Runtime string `toml:"runtime"`
	Max     string `toml:"max"`      // size
	MinFree string `toml:"min_free"` // size
	Sync    string `toml:"sync"`     // duration
}

// RelaySection is [relay], see relay.Config.
type RelaySection struct {
	Listen      string   `toml:"listen"` // host:port; "off" for none
	Open        bool     `toml:"open"`
	Token       string   `toml:"token_file"`
	Origins     []string `toml:"origins"`
	History     int      `toml:"history"`      // messages, 0 for none
	SlowTimeout string   `toml:"slow_timeout"` // duration
	MaxConns    int      `toml:"max_conns"`
	Basemap     string   `toml:"basemap"`
	TLS         string   `toml:"tls"` // "self-signed" creates Cert and Key where they are missing
	Cert        string   `toml:"tls_cert_file"`
	Key         string   `toml:"tls_key_file"`
}

// LogSection is [log].
type LogSection struct {
	Level  string `toml:"level"`
	Format string `toml:"format"`
}

const (
	// TrackingRoute is the path of the tracking server's route, and of the relay's.
	TrackingRoute = "/ws/gps-tracking/" + deviceIDPlace + "/"
	// deviceIDPlace is where the device ID goes in a server's URL.
	deviceIDPlace = "{device_id}"
	// relayOff is the value of relay.listen that serves no viewers.
	relayOff = "off"
	// selfSigned is the value of relay.tls that creates a certificate.
	selfSigned = "self-signed"
)

// Default returns the configuration of a daemon without file, environment and flags: it finds the receiver by itself and
// serves viewers on this machine.
func Default() File {
	host, _ := os.Hostname()
	return File{
		DeviceID:  deviceIDFrom(host),
		Receivers: []ReceiverSection{{Source: kinds.Default}},
		Spool:     SpoolSection{MinFree: "64MiB"},
		Relay:     RelaySection{Listen: relay.DefaultListen, History: relay.DefaultHistory},
		Log:       LogSection{Level: "info", Format: "text"},
	}
}

var notInDeviceID = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// deviceIDFrom makes a valid device ID of a host name: rpi-7.local becomes rpi_7_local.
func deviceIDFrom(host string) string {
	id := strings.Trim(notInDeviceID.ReplaceAllString(host, "_"), "_")
	return id[:min(len(id), 80)]
}

// Codes of what is wrong with a configuration.
const (
	CodeFile     problem.Code = "config-file-unreadable"
	CodeSyntax   problem.Code = "config-syntax"
	CodeUnknown  problem.Code = "config-unknown"  // a key or an environment variable that does not exist
	CodeType     problem.Code = "config-type"     // a text where a number is wanted, and so on
	CodeValue    problem.Code = "config-value"    // a value that is not allowed
	CodeMissing  problem.Code = "config-missing"  // a value that is needed
	CodeRepeated problem.Code = "config-repeated" // sections that must differ do not
	CodeNamed    problem.Code = "config-named-file"

	CodeUnreadable problem.Code = "config-file-not-for-service" // a file that the service's user cannot read
)

// readFile returns the text of the configuration file that -c names.
func readFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	fail := func(cause, fix string) ([]byte, error) {
		return nil, &problem.Problem{Code: CodeFile, Cause: fmt.Sprintf("configuration %q %s", path, cause), Fix: fix, Err: err}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail("does not exist", "name the file with -c FILE")
	case errors.Is(err, syscall.EISDIR):
		return fail("is a directory", "name a file in it with -c FILE")
	case errors.Is(err, fs.ErrPermission):
		return fail("may not be read by this user", "use sudo, or let the file be read")
	case err != nil:
		return fail("cannot be read: "+errors.Unwrap(err).Error(), "")
	}
	return text, nil
}

// parse reads the text of the file at path over what file points to, and notes where its values were given. reference is the name of
// the file that documents every key.
func parse(path string, text []byte, file any, reference string, o origins) error {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // what editors on Windows begin a file with
	if line, err := decode(text, file, reference); err != nil {
		return &located{err, lineOf(path, line)}
	}
	o.readFile(path, text)
	return nil
}

// decode reads a TOML text over what file points to. A problem comes with its line.
func decode(text []byte, file any, reference string) (line int, p *problem.Problem) {
	var wrong *toml.DecodeError
	if err := toml.Unmarshal(text, new(map[string]any)); errors.As(err, &wrong) {
		line, _ = wrong.Position()
		return line, &problem.Problem{Code: CodeSyntax, Cause: strings.TrimPrefix(wrong.Error(), "toml: "), Err: err}
	}
	known := keys(reflect.TypeOf(file).Elem())
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(file)
	var unknown *toml.StrictMissingError
	switch {
	case errors.As(err, &unknown):
		line, _ = unknown.Errors[0].Position()
		key := strings.Join(unknown.Errors[0].Key(), ".")
		return line, &problem.Problem{Code: CodeUnknown, Cause: fmt.Sprintf("unknown key %q", key),
			Fix: problem.Suggest(key, slices.Sorted(maps.Keys(known))) + reference + ", the reference, has every key"}
	case errors.As(err, &wrong):
		line, _ = wrong.Position()
		key, kind := strings.Join(wrong.Key(), "."), reflect.Struct
		if t := known[key]; t != nil {
			kind = t.Kind()
		}
		return line, &problem.Problem{Code: CodeType, Key: key, Cause: "the value is not " + cmp.Or(wanted[kind], "a section"), Err: err,
			Fix: reference + ", the reference, shows how it is written"}
	case err != nil:
		return 1, problem.Of(err)
	}
	return 0, nil
}

// wanted describes the values of a kind to a person.
var wanted = map[reflect.Kind]string{
	reflect.String: `a text in quotes, such as "10s" for a duration or "32MiB" for a size`,
	reflect.Bool:   "true or false", reflect.Int: "a whole number", reflect.Float64: "a number", reflect.Slice: "a list",
}

// keys are all keys of a file, which is a struct, with their types: "device_id", "uplink.server". Those of repeated sections have no
// number.
func keys(file reflect.Type) map[string]reflect.Type {
	all := map[string]reflect.Type{}
	collectKeys(all, "", file)
	return all
}

func collectKeys(all map[string]reflect.Type, section string, t reflect.Type) {
	for field := range t.Fields() {
		key := field.Tag.Get("toml")
		if key == "" {
			continue
		}
		inner := field.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		all[section+key] = field.Type
		if inner.Kind() == reflect.Struct {
			collectKeys(all, section+key+".", inner)
		}
	}
}

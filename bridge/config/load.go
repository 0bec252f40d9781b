package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/pelletier/go-toml/v2"
)

// Setting is one value that can be given outside the configuration file.
type Setting struct {
	Name  string // of the flag, without dashes
	Env   string // of the environment variable
	Usage string // of the flag; "" for what is no flag
	key   string // as origins has it
	set   func(c *Config, value string) error
}

// Settings are the values that the environment, and some of them the command line, may give over the file.
var Settings = []Setting{
	{"device", "GPSBRIDGE_DEVICE", "`SOURCE` of NMEA: auto (the default), /dev/ttyUSB0?baud=9600, tcp://HOST:PORT, udp://:PORT, gpsd://HOST, file:LOG?rate=1, sim:?rate=10, - (stdin)",
		"receiver[0].source", func(c *Config, v string) error { c.Receivers = []Receiver{{Source: v}}; return nil }},
	{"device-id", "GPSBRIDGE_DEVICE_ID", "`ID` of this tracker, which names its group: 1 to 80 letters, digits and underscores (default from the host name)",
		"device_id", func(c *Config, v string) error { c.DeviceID = v; return nil }},
	{"server", "GPSBRIDGE_SERVER", "`URL` of the tracking server, such as wss://tracking.example.org (default none)",
		"uplink[0].server", func(c *Config, v string) error { return c.onlyUplink(func(u *Uplink) { u.Server = v }) }},
	{"listen", "GPSBRIDGE_LISTEN", "`ADDRESS` at which viewers are served, off for none (default " + DefaultListen + ")",
		"relay.listen", func(c *Config, v string) error { c.Relay.Listen = v; return nil }},
	{"record", "GPSBRIDGE_RECORD", "`FILE` in which what the receiver sends is kept; --device file:FILE plays it back",
		"receiver[0].record", func(c *Config, v string) error { return c.onlyReceiver(func(r *Receiver) { r.Record = v }) }},
	{"log-level", "GPSBRIDGE_LOG_LEVEL", "`LEVEL` of the log: debug, info, warn or error (default info)",
		"log.level", func(c *Config, v string) error { return c.Log.Level.UnmarshalText([]byte(v)) }},
	{"token-file", "GPSBRIDGE_TOKEN_FILE", "",
		"uplink[0].token_file", func(c *Config, v string) error { return c.onlyUplink(func(u *Uplink) { u.Token = v }) }},
	{"relay-token-file", "GPSBRIDGE_RELAY_TOKEN_FILE", "",
		"relay.token_file", func(c *Config, v string) error { c.Relay.Token = v; return nil }},
	{"spool-dir", "GPSBRIDGE_SPOOL_DIR", "",
		"spool.dir", func(c *Config, v string) error { c.Spool.Dir = v; return nil }},
	{"spool-max", "GPSBRIDGE_SPOOL_MAX", "",
		"spool.max", func(c *Config, v string) error { return c.Spool.Max.UnmarshalText([]byte(v)) }},
}

// onlyUplink changes the one uplink, which need not be there yet.
func (c *Config) onlyUplink(change func(*Uplink)) error {
	switch len(c.Uplinks) {
	case 0:
		c.Uplinks = []Uplink{{}}
	case 1:
		c.Uplinks = slices.Clone(c.Uplinks)
	default:
		return fmt.Errorf("the configuration names %d servers: change them in the file", len(c.Uplinks))
	}
	change(&c.Uplinks[0])
	return nil
}

// onlyReceiver changes the one receiver.
func (c *Config) onlyReceiver(change func(*Receiver)) error {
	if len(c.Receivers) != 1 {
		return fmt.Errorf("the configuration names %d receivers: change them in the file", len(c.Receivers))
	}
	c.Receivers = slices.Clone(c.Receivers)
	change(&c.Receivers[0])
	return nil
}

// Load returns the configuration: the defaults, over them the file at path (none when path is ""), over it the
// GPSBRIDGE_* variables of environ ("NAME=value"), over all of them the flags, by Setting.Name. The result is validated.
// A key, variable or value that is not understood is an error that names it, and in a file its line.
func Load(path string, environ []string, flags map[string]string) (Config, error) {
	c := Default()
	c.origins = origins{}
	if path != "" {
		if err := c.readFile(path); err != nil {
			return c, err
		}
	}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "GPSBRIDGE_") {
			continue
		}
		i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Env == name })
		if i < 0 {
			return c, fmt.Errorf("environment variable %s is not known: use one of %s", name, envNames())
		}
		if err := c.give(Settings[i], value, "environment variable "+name); err != nil {
			return c, err
		}
	}
	for _, s := range Settings {
		if value, given := flags[s.Name]; given {
			if err := c.give(s, value, "--"+s.Name); err != nil {
				return c, err
			}
		}
	}
	return c, c.Validate()
}

// give sets a value and notes where it was given.
func (c *Config) give(s Setting, value, where string) error {
	if err := s.set(c, value); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	c.origins.set(s.key, where)
	return nil
}

// readFile lays a TOML file over c.
func (c *Config) readFile(path string) error {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("configuration %q does not exist: name the file with -c FILE", path)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("configuration %q is a folder: name a file in it with -c FILE", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("configuration %q is not this user's to read: use sudo, or let it be read", path)
	case err != nil:
		return fmt.Errorf("read configuration %q: %w", path, errors.Unwrap(err))
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // what editors on Windows begin a file with
	if err := c.read(text); err != nil {
		return fmt.Errorf("%s%w", path, err)
	}
	c.origins.readFile(path, text)
	return nil
}

// read lays a TOML file over c. Its errors begin with ":LINE: ", or ": ", to follow a file's name.
func (c *Config) read(text []byte) error {
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(c)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		first := unknown.Errors[0]
		row, _ := first.Position()
		return fmt.Errorf(":%d: unknown key %q: gpsbridge.toml, the reference, lists the keys there are", row, strings.Join(first.Key(), "."))
	case errors.As(err, &wrong):
		row, _ := wrong.Position()
		said := strings.TrimPrefix(wrong.Error(), "toml: ")
		if found, _, mismatch := strings.Cut(said, " into "); mismatch { // what follows names types of the program
			said = fmt.Sprintf("%s: %s: gpsbridge.toml, the reference, shows what it holds",
				strings.Join(wrong.Key(), "."), strings.Replace(found, "cannot decode TOML", "cannot be a TOML", 1))
		}
		return fmt.Errorf(":%d: %s", row, said)
	case err != nil:
		return fmt.Errorf(": %w", err)
	}
	return nil
}

func envNames() string {
	names := make([]string, len(Settings))
	for i, s := range Settings {
		names[i] = s.Env
	}
	return strings.Join(names, ", ")
}

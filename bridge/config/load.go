package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/kinds"
	"gpsbridge/bridge/relay"
)

// Setting is one value that can be given outside the configuration file.
type Setting struct {
	Name  string // of the flag, without dashes
	Env   string // of the environment variable
	Usage string // of the flag; "" for what is no flag
	key   string // whose value is a text; receiver and uplink are the only ones of their kind
}

// Settings are the values that the environment, and some of them the command line, may give over the file.
var Settings = []Setting{
	{"device", "GPSBRIDGE_DEVICE", "`SOURCE` of NMEA (default " + kinds.Default + "): " + kinds.Forms(), "receiver.source"},
	{"device-id", "GPSBRIDGE_DEVICE_ID", "`ID` of this tracker, which names its group: 1 to 80 letters, digits and underscores (default from the host name)", "device_id"},
	{"server", "GPSBRIDGE_SERVER", "`URL` of the tracking server, such as wss://tracking.example.org (default none)", "uplink.server"},
	{"listen", "GPSBRIDGE_LISTEN", "`ADDRESS` at which viewers are served, off for none (default " + relay.DefaultListen + ")", "relay.listen"},
	{"record", "GPSBRIDGE_RECORD", "`FILE` in which what the receiver sends is kept; --device file:FILE plays it back", "receiver.record"},
	{"log-level", "GPSBRIDGE_LOG_LEVEL", "`LEVEL` of the log: debug, info, warn or error (default info)", "log.level"},
	{"token-file", "GPSBRIDGE_TOKEN_FILE", "`FILE` with the token for the tracking server", "uplink.token_file"},
	{"ca-file", "GPSBRIDGE_CA_FILE", "`FILE` with a certificate to trust for the tracking server, besides the system's authorities", "uplink.ca_file"},
	{"relay-token-file", "GPSBRIDGE_RELAY_TOKEN_FILE", "", "relay.token_file"},
	{"spool-dir", "GPSBRIDGE_SPOOL_DIR", "", "spool.dir"},
	{"spool-max", "GPSBRIDGE_SPOOL_MAX", "", "spool.max"},
}

// set sets the value in a file and notes where it was given. A source replaces all receivers; an uplink need not be there yet.
func (s Setting) set(f *File, value, where string, o origins) error {
	section, key, nested := strings.Cut(s.key, ".")
	in := reflect.ValueOf(f).Elem()
	switch {
	case !nested:
		key = section
	case s.key == "receiver.source":
		f.Receivers = []ReceiverSection{{}}
		maps.DeleteFunc(o, func(k string, _ origin) bool { return strings.HasPrefix(k, "receiver") })
	case section == "uplink" && len(f.Uplinks) == 0:
		f.Uplinks = []UplinkSection{{}}
	}
	path := s.key
	if nested {
		in = byTag(in, section)
	}
	if in.Kind() == reflect.Slice {
		if n := in.Len(); n != 1 {
			things := map[string]string{"receiver": "receivers", "uplink": "servers"}[section]
			return &located{&problem.Problem{Code: CodeRepeated, Cause: fmt.Sprintf("the configuration names %d %s", n, things), Fix: "change them in the file"}, origin{text: where}}
		}
		in, path = in.Index(0), numbered(section, 0)+"."+key
	}
	byTag(in, key).SetString(value)
	o[path] = origin{text: where}
	return nil
}

// byTag is the field of a section that has a key.
func byTag(section reflect.Value, key string) reflect.Value {
	for field, v := range section.Fields() {
		if field.Tag.Get("toml") == key {
			return v
		}
	}
	panic("no key " + key) // a mistake in Settings
}

// Load returns the configuration: the defaults, over them the file at path (none when path is ""), over it the
// GPSBRIDGE_* variables of environ ("NAME=value"), over all of them the flags, by Setting.Name. A key, variable or value
// that is not understood is an error that names it, and where it was given.
func Load(path string, environ []string, flags map[string]string) (Config, error) {
	if path == "" {
		return Parse(path, nil, environ, flags)
	}
	text, err := readFile(path)
	if err != nil {
		return Config{}, err
	}
	return Parse(path, text, environ, flags)
}

// Parse is Load with the text of the file at path, which need not have been written yet.
func Parse(path string, text []byte, environ []string, flags map[string]string) (Config, error) {
	f, o := Default(), origins{}
	f.service, f.outside = serviceOf(environ, path)
	if err := f.parse(path, text, o); err != nil {
		return Config{}, err
	}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "GPSBRIDGE_") {
			continue
		}
		i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Env == name })
		if i < 0 {
			return Config{}, unknownVariable(name)
		}
		if err := Settings[i].set(&f, value, "environment variable "+name, o); err != nil {
			return Config{}, err
		}
	}
	for _, s := range Settings {
		if value, given := flags[s.Name]; given {
			if err := s.set(&f, value, "--"+s.Name, o); err != nil {
				return Config{}, err
			}
		}
	}
	return f.check(o)
}

func unknownVariable(name string) *problem.Problem {
	names := make([]string, len(Settings))
	for i, s := range Settings {
		names[i] = s.Env
	}
	return &problem.Problem{Code: CodeUnknown, Cause: fmt.Sprintf("environment variable %s is not known", name),
		Fix: problem.Suggest(name, names) + "there are " + strings.Join(names, ", ")}
}

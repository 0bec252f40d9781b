package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
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
	key   string // receiver and uplink are the only ones of their kind
	Form  Form
}

// Form is how a value is written in a flag and a variable.
type Form int

// The forms of values. Switch is true or false, and a flag without a value is true; List is words with white space between them, and a
// flag that is given again adds one.
const (
	Text Form = iota
	Number
	Switch
	List
)

// Settings are the values that the environment, and some of them the command line, may give over the file.
var Settings = []Setting{
	{"device", "GPSBRIDGE_DEVICE", "`SOURCE` of NMEA (default " + kinds.Default + "): " + kinds.Forms(), "receiver.source", Text},
	{"device-id", "GPSBRIDGE_DEVICE_ID", "`ID` of this tracker, which names its group: 1 to 80 letters, digits and underscores (default from the host name)", "device_id", Text},
	{"server", "GPSBRIDGE_SERVER", "`URL` of the tracking server, such as wss://tracking.example.org (default none)", "uplink.server", Text},
	{"listen", "GPSBRIDGE_LISTEN", "`ADDRESS` at which viewers are served, off for none (default " + relay.DefaultListen + ")", "relay.listen", Text},
	{"record", "GPSBRIDGE_RECORD", "`FILE` in which what the receiver sends is kept; --device file:FILE plays it back", "receiver.record", Text},
	{"log-level", "GPSBRIDGE_LOG_LEVEL", "`LEVEL` of the log: debug, info, warn or error (default info)", "log.level", Text},
	{"token-file", "GPSBRIDGE_TOKEN_FILE", "`FILE` with the token for the tracking server", "uplink.token_file", Text},
	{"ca-file", "GPSBRIDGE_CA_FILE", "`FILE` with a certificate to trust for the tracking server, besides the system's authorities", "uplink.ca_file", Text},
	{"relay-token-file", "GPSBRIDGE_RELAY_TOKEN_FILE", "", "relay.token_file", Text},
	{"spool-dir", "GPSBRIDGE_SPOOL_DIR", "", "spool.dir", Text},
	{"spool-max", "GPSBRIDGE_SPOOL_MAX", "", "spool.max", Text},
}

// set sets the value in a file of the daemon. A source replaces all receivers; an uplink need not be there yet.
func (f *File) set(s Setting, value, where string, o origins) error {
	switch {
	case s.key == "receiver.source":
		f.Receivers = []ReceiverSection{{}}
		maps.DeleteFunc(o, func(k string, _ origin) bool { return strings.HasPrefix(k, "receiver") })
	case strings.HasPrefix(s.key, "uplink.") && len(f.Uplinks) == 0:
		f.Uplinks = []UplinkSection{{}}
	}
	return s.set(f, value, where, o)
}

// set sets the value in a file, of which file points to the struct, and notes where it was given.
func (s Setting) set(file any, value, where string, o origins) error {
	in, path := reflect.ValueOf(file).Elem(), ""
	for part := range strings.SplitSeq(s.key, ".") {
		if in.Kind() == reflect.Slice {
			if n := in.Len(); n != 1 {
				things := map[string]string{"receiver": "receivers", "uplink": "servers"}[path]
				return &located{&problem.Problem{Code: CodeRepeated, Cause: fmt.Sprintf("the configuration names %d %s", n, things), Fix: "change them in the file"}, origin{text: where}}
			}
			in, path = in.Index(0), numbered(path, 0)
		}
		in, path = byTag(in, part), strings.TrimPrefix(path+"."+part, ".")
	}
	if p := s.Form.read(in, value); p != nil {
		return &located{p.In(s.key), origin{text: where}}
	}
	o[path] = origin{text: where}
	return nil
}

// read reads a text into a value.
func (f Form) read(into reflect.Value, text string) *problem.Problem {
	var v any
	var err error
	switch f {
	case Text:
		v = text
	case Number:
		v, err = strconv.Atoi(text)
	case Switch:
		v, err = strconv.ParseBool(text)
	case List:
		v = strings.Fields(text)
	}
	if err != nil {
		return &problem.Problem{Code: CodeType, Cause: fmt.Sprintf("%q is not %s", text, wanted[into.Kind()]), Err: err}
	}
	into.Set(reflect.ValueOf(v))
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
	if err := parse(path, text, &f, "gpsbridge.toml", o); err != nil {
		return Config{}, err
	}
	err := lay(Settings, "GPSBRIDGE_", environ, flags, func(s Setting, value, where string) error { return f.set(s, value, where, o) })
	if err != nil {
		return Config{}, err
	}
	return f.check(o)
}

// lay sets what the variables of environ whose names begin with prefix give, and over them what the flags give.
func lay(settings []Setting, prefix string, environ []string, flags map[string]string, set func(s Setting, value, where string) error) error {
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		i := slices.IndexFunc(settings, func(s Setting) bool { return s.Env == name })
		if i < 0 {
			return unknownVariable(name, settings)
		}
		if err := set(settings[i], value, "environment variable "+name); err != nil {
			return err
		}
	}
	for _, s := range settings {
		if value, given := flags[s.Name]; given {
			if err := set(s, value, "--"+s.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

func unknownVariable(name string, settings []Setting) *problem.Problem {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.Env
	}
	return &problem.Problem{Code: CodeUnknown, Cause: fmt.Sprintf("environment variable %s is not known", name),
		Fix: problem.Suggest(name, names) + "there are " + strings.Join(names, ", ")}
}

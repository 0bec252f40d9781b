package config

import (
	"fmt"
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
	key   string // as origins has it
	value func(f *File) (*string, *problem.Problem)
}

// Settings are the values that the environment, and some of them the command line, may give over the file.
var Settings = []Setting{
	{"device", "GPSBRIDGE_DEVICE", "`SOURCE` of NMEA (default " + kinds.Default + "): " + kinds.Forms(),
		"receiver[0].source", func(f *File) (*string, *problem.Problem) {
			f.Receivers = []ReceiverSection{{}}
			return &f.Receivers[0].Source, nil
		}},
	{"device-id", "GPSBRIDGE_DEVICE_ID", "`ID` of this tracker, which names its group: 1 to 80 letters, digits and underscores (default from the host name)",
		"device_id", plain(func(f *File) *string { return &f.DeviceID })},
	{"server", "GPSBRIDGE_SERVER", "`URL` of the tracking server, such as wss://tracking.example.org (default none)",
		"uplink[0].server", ofUplink(func(u *UplinkSection) *string { return &u.Server })},
	{"listen", "GPSBRIDGE_LISTEN", "`ADDRESS` at which viewers are served, off for none (default " + relay.DefaultListen + ")",
		"relay.listen", plain(func(f *File) *string { return &f.Relay.Listen })},
	{"record", "GPSBRIDGE_RECORD", "`FILE` in which what the receiver sends is kept; --device file:FILE plays it back",
		"receiver[0].record", ofReceiver(func(r *ReceiverSection) *string { return &r.Record })},
	{"log-level", "GPSBRIDGE_LOG_LEVEL", "`LEVEL` of the log: debug, info, warn or error (default info)",
		"log.level", plain(func(f *File) *string { return &f.Log.Level })},
	{"token-file", "GPSBRIDGE_TOKEN_FILE", "`FILE` with the token for the tracking server",
		"uplink[0].token_file", ofUplink(func(u *UplinkSection) *string { return &u.Token })},
	{"ca-file", "GPSBRIDGE_CA_FILE", "`FILE` with a certificate to trust for the tracking server, besides the system's authorities",
		"uplink[0].ca_file", ofUplink(func(u *UplinkSection) *string { return &u.CA })},
	{"relay-token-file", "GPSBRIDGE_RELAY_TOKEN_FILE", "",
		"relay.token_file", plain(func(f *File) *string { return &f.Relay.Token })},
	{"spool-dir", "GPSBRIDGE_SPOOL_DIR", "",
		"spool.dir", plain(func(f *File) *string { return &f.Spool.Dir })},
	{"spool-max", "GPSBRIDGE_SPOOL_MAX", "",
		"spool.max", plain(func(f *File) *string { return &f.Spool.Max })},
}

func plain(value func(*File) *string) func(*File) (*string, *problem.Problem) {
	return func(f *File) (*string, *problem.Problem) { return value(f), nil }
}

// ofUplink is a value of the only uplink, which need not be there yet.
func ofUplink(value func(*UplinkSection) *string) func(*File) (*string, *problem.Problem) {
	return func(f *File) (*string, *problem.Problem) {
		if len(f.Uplinks) == 0 {
			f.Uplinks = []UplinkSection{{}}
		}
		if n := len(f.Uplinks); n > 1 {
			return nil, several(n, "servers")
		}
		return value(&f.Uplinks[0]), nil
	}
}

// ofReceiver is a value of the only receiver.
func ofReceiver(value func(*ReceiverSection) *string) func(*File) (*string, *problem.Problem) {
	return func(f *File) (*string, *problem.Problem) {
		if n := len(f.Receivers); n != 1 {
			return nil, several(n, "receivers")
		}
		return value(&f.Receivers[0]), nil
	}
}

func several(n int, of string) *problem.Problem {
	return &problem.Problem{Code: CodeRepeated, Cause: fmt.Sprintf("the configuration names %d %s", n, of), Fix: "change them in the file"}
}

// Load returns the configuration: the defaults, over them the file at path (none when path is ""), over it the
// GPSBRIDGE_* variables of environ ("NAME=value"), over all of them the flags, by Setting.Name. A key, variable or value
// that is not understood is an error that names it, and where it was given.
func Load(path string, environ []string, flags map[string]string) (Config, error) {
	f, o := Default(), origins{}
	f.service, f.outside = serviceOf(environ, path)
	if path != "" {
		if err := f.readFile(path, o); err != nil {
			return Config{}, err
		}
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
		if err := f.give(Settings[i], value, "environment variable "+name, o); err != nil {
			return Config{}, err
		}
	}
	for _, s := range Settings {
		if value, given := flags[s.Name]; given {
			if err := f.give(s, value, "--"+s.Name, o); err != nil {
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

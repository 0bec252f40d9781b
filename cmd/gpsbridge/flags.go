package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
	"gpsbridge/cmd/internal/command"
)

// configFlags are the flags of the commands that read a configuration.
type configFlags struct {
	path   string
	values map[string]string
}

// addConfigFlags registers -c, and of config.Settings those by whose names the command goes.
func addConfigFlags(fs *flag.FlagSet, settings ...string) *configFlags {
	f := &configFlags{values: map[string]string{}}
	fs.StringVar(&f.path, "c", "", "configuration `FILE`")
	for _, s := range config.Settings {
		if slices.Contains(settings, s.Name) {
			f.add(fs, s)
		}
	}
	return f
}

// addServerFlags registers -c, and all of config.ServerSettings.
func addServerFlags(fs *flag.FlagSet) *configFlags {
	f := &configFlags{values: map[string]string{}}
	fs.StringVar(&f.path, "c", "", "configuration `FILE`")
	for _, s := range config.ServerSettings {
		f.add(fs, s)
	}
	return f
}

// add registers a setting.
func (f *configFlags) add(fs *flag.FlagSet, s config.Setting) {
	switch s.Form {
	case config.Switch:
		fs.BoolFunc(s.Name, s.Usage, func(v string) error { return f.give(s.Name, v) })
	case config.List:
		fs.Func(s.Name, s.Usage, func(v string) error { return f.give(s.Name, strings.TrimSpace(f.values[s.Name]+" "+v)) })
	default:
		fs.Func(s.Name, s.Usage, func(v string) error { return f.give(s.Name, v) })
	}
}

// askedAt describes --listen for a command that asks the daemon.
func askedAt(fs *flag.FlagSet) {
	fs.Lookup("listen").Usage = "`ADDRESS` of the running daemon (default " + relay.DefaultListen + ")"
}

func (f *configFlags) give(name, value string) error {
	if value == "" {
		return errors.New("give it a value, or leave it out")
	}
	f.values[name] = value
	return nil
}

// useService takes the service's configuration where none is named, and reports that on stderr. A given --listen names
// another daemon than the service's.
func (f *configFlags) useService(p command.Process, c command.Command) {
	if _, err := os.Stat(config.ServiceFile); err == nil && f.path == "" && f.values["listen"] == "" {
		f.path = config.ServiceFile
		fmt.Fprintf(p.Stderr, "gpsbridge %s: reading %s\n", c.Name, config.ServiceFile)
	}
}

func (f *configFlags) load(p command.Process) (config.Config, error) {
	c, err := config.Load(f.path, p.Environ, f.values)
	if err != nil {
		return c, command.AsMisuse(err)
	}
	return c, nil
}

// readable finds a file that this user may not read: the service's secrets and its state are its own and root's. What else is
// wrong with a file is found where it is read.
func readable(files ...string) error {
	for _, name := range files {
		if name == "" {
			continue
		}
		if _, err := directory.ReadFile(name); errors.Is(err, fs.ErrPermission) {
			return &problem.Problem{Code: notReadable, Cause: name + " is not readable by this user", Fix: "use sudo", Err: err}
		}
	}
	return nil
}

const notReadable problem.Code = "file-not-readable-by-user"

// byFlag names the flags whose values the problems of an error are about, for commands without a configuration: they have the names
// of the configuration's keys.
func byFlag(err error) error {
	var all []error
	for _, p := range problem.All(err) {
		text := p.Text()
		if p.Key != "" {
			text = "--" + strings.ReplaceAll(p.Key, "_", "-") + ": " + text
		}
		all = append(all, errors.New(text))
	}
	return errors.Join(all...)
}

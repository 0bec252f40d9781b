package main

import (
	"flag"

	"gpsbridge/bridge"
	"gpsbridge/cmd/internal/command"
)

// configFlags are the flags of the commands that read a configuration.
type configFlags struct {
	path   string
	values map[string]string
}

// addConfigFlags registers -c and those of bridge.Settings that are flags.
func addConfigFlags(fs *flag.FlagSet) *configFlags {
	f := &configFlags{values: map[string]string{}}
	fs.StringVar(&f.path, "c", "", "configuration `FILE`")
	for _, s := range bridge.Settings {
		if s.Flag {
			fs.Func(s.Name, s.Usage, func(v string) error { f.values[s.Name] = v; return nil })
		}
	}
	return f
}

func (f *configFlags) load(p command.Process) (bridge.Config, error) {
	c, err := bridge.Load(f.path, p.Environ, f.values)
	if err != nil {
		return c, command.AsMisuse(err)
	}
	return c, nil
}

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"gpsbridge/bridge"
)

// usageError is what the person at the command line can mend there: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errHelp says that help was asked for and given.
var errHelp = errors.New("help was printed")

// newFlags returns the flag set of a subcommand. Errors and help are parse's to print.
func newFlags(c command) *flag.FlagSet {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// parse reads flags and up to max other words, in any order.
func parse(p process, c command, fs *flag.FlagSet, args []string, max int) (words []string, err error) {
	for {
		err := fs.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(p.stdout, "%s: %s\n", c.usage(), c.about)
			fs.SetOutput(p.stdout)
			fs.PrintDefaults()
			return nil, errHelp
		}
		if err != nil {
			return nil, usagef("%w: gpsbridge %s -h lists the flags", err, c.name)
		}
		if fs.NArg() == 0 {
			return words, nil
		}
		if words = append(words, fs.Arg(0)); len(words) > max {
			return nil, usagef("%q is one word too many: %s", fs.Arg(0), c.usage())
		}
		args = fs.Args()[1:]
	}
}

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

func (f *configFlags) load(p process) (bridge.Config, error) {
	c, err := bridge.Load(f.path, p.environ, f.values)
	if err != nil {
		return c, usageError{err}
	}
	return c, nil
}

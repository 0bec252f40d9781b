package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"gpsbridge/bridge/problem"
)

// Flags returns the command's flag set. Parse prints its errors and its help.
func (c Command) Flags() *flag.FlagSet {
	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// Parse reads flags and up to most other words, in any order. Its error, for Run to return, is wrong usage, or that help was
// asked for and printed.
func (c Command) Parse(p Process, fs *flag.FlagSet, args []string, most int) (words []string, err error) {
	if p.flags != nil {
		p.flags(fs)
		return nil, errHelped
	}
	for {
		err := fs.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(p.Stdout, "%s: %s\n", c.usage(), c.About)
			printFlags(p.Stdout, fs)
			return nil, errHelped
		}
		if err != nil {
			return nil, Misusef("%s: %s%s -h lists the flags", plainly(fs, err.Error()), meant(fs, err.Error()), c.path())
		}
		if fs.NArg() == 0 {
			return words, c.refuseEmpty(fs)
		}
		if words = append(words, fs.Arg(0)); len(words) > most {
			return nil, Misusef("%q is one word too many: %s", fs.Arg(0), c.usage())
		}
		args = fs.Args()[1:]
	}
}

// refuseEmpty finds a text that was given as "": a script's variable that is not set, and not the default.
func (c Command) refuseEmpty(fs *flag.FlagSet) (err error) {
	fs.Visit(func(f *flag.Flag) {
		if g, ok := f.Value.(flag.Getter); ok && g.Get() == "" {
			err = Misusef(`%s is "": give it a value, or leave it out`, dashed(f.Name))
		}
	})
	return err
}

// dashed is a flag as it is written. Package flag accepts one dash or two.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// printFlags lists the flags as package flag does, with the dashes that the usage has.
func printFlags(w io.Writer, fs *flag.FlagSet) {
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  %s\n    \t%s", strings.TrimSpace(dashed(f.Name)+" "+value), usage)
		if !slices.Contains([]string{"", "0", "0s", "false"}, f.DefValue) {
			fmt.Fprintf(w, " (default %s)", f.DefValue)
		}
		fmt.Fprintln(w)
	})
}

// badValue is package flag's error for a value that does not fit.
var badValue = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-(\S+): (?s:(.*))$`)

// unknownFlag is the beginning of package flag's error for a flag that is not in the set.
const unknownFlag = "flag provided but not defined: -"

// meant suggests the flag that an unknown one is nearest to.
func meant(fs *flag.FlagSet, text string) string {
	name, unknown := strings.CutPrefix(text, unknownFlag)
	if !unknown {
		return ""
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, dashed(f.Name)) })
	return problem.Suggest(dashed(name), names)
}

// plainly rewrites package flag's errors, which have no types, in the words of the command line. Others stay as they are.
func plainly(fs *flag.FlagSet, text string) string {
	if name, unknown := strings.CutPrefix(text, unknownFlag); unknown {
		return "unknown flag " + dashed(name)
	}
	if name, bare := strings.CutPrefix(text, "flag needs an argument: -"); bare {
		return dashed(name) + " needs a value"
	}
	m := badValue.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	value, name, why := m[1], m[2], m[3]
	if f := fs.Lookup(name); f != nil {
		if g, ok := f.Value.(flag.Getter); ok {
			why = wants(g.Get(), why)
		}
	}
	return fmt.Sprintf("%s %s: %s", dashed(name), value, why)
}

// wants is what to give a flag that holds such a value.
func wants(value any, otherwise string) string {
	switch value.(type) {
	case bool:
		return "it takes no value"
	case int:
		return "use a whole number"
	case uint, uint64:
		return "use a whole number from 0 up"
	case float64:
		return "use a number"
	case time.Duration:
		return `use a time, such as "10s"`
	}
	return otherwise
}

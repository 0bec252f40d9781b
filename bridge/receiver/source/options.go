package source

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gpsbridge/bridge/problem"
)

// Kind is one kind of source in the table of kinds.
type Kind struct {
	// Form is how a configuration writes it, such as "tcp://host:port". Help is what it reads, in half a line.
	Form, Help string
	// Prefix is what its written form begins with; where Exact is set, all of it up to the options.
	Prefix string
	Exact  bool
	// New makes one of what follows the prefix, and of the options. Its error is a *problem.Problem.
	New func(rest string, o *Options) (Source, error)
}

// Invalid is the problem of a part of a source's written form.
func Invalid(fix, cause string, args ...any) *problem.Problem {
	return &problem.Problem{Code: InvalidOption, Key: "source", Cause: fmt.Sprintf(cause, args...), Fix: fix}
}

// Options are the "?name=value&..." of a source. The first wrong one is kept, as an error that Finish returns, so that the
// sources read their options as plain values.
type Options struct {
	values url.Values
	known  []string // the names that were asked for
	err    error
}

// ParseOptions reads what follows the question mark.
func ParseOptions(query string) (*Options, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, Invalid("use name=value, joined by &", "options %q cannot be read", query)
	}
	return &Options{values: values}, nil
}

// Text returns an option as it was written, and whether it was given.
func (o *Options) Text(name string) (string, bool) {
	o.known = append(o.known, name)
	v, given := o.values[name]
	if len(v) > 1 {
		o.fail(Invalid("give it once", "option %q is given %d times", name, len(v)))
	}
	if !given {
		return "", false
	}
	return v[0], true
}

// Integer returns an option that is a whole number from lo to hi.
func (o *Options) Integer(name string, fallback, lo, hi int) int {
	text, given := o.Text(name)
	if !given {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < lo || n > hi {
		o.fail(Invalid(fmt.Sprintf("use a whole number from %d to %d", lo, hi), "option %s=%s", name, text))
	}
	return n
}

// Flag returns an option that is 0 or 1.
func (o *Options) Flag(name string) bool { return o.Integer(name, 0, 0, 1) == 1 }

func (o *Options) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// Finish returns what was wrong: an option, one that the source does not have, or err.
func (o *Options) Finish(err error) error {
	if o.err != nil {
		return o.err
	}
	names := make([]string, 0, len(o.values))
	for name := range o.values {
		names = append(names, name)
	}
	slices.Sort(names) // so that the error is the same each time
	for _, name := range names {
		if !slices.Contains(o.known, name) {
			if len(o.known) == 0 {
				return Invalid("this source takes none", "option %q is not known", name)
			}
			return Invalid("use "+strings.Join(o.known, ", "), "option %q is not known", name)
		}
	}
	return err
}

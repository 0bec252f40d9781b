package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"gpsbridge/bridge/problem"
)

// origin is where a value was given: "gpsbridge.toml:12", "--listen", "environment variable GPSBRIDGE_LISTEN"; the zero value is
// a default.
type origin struct {
	text string
	file bool // a line of a file; else the text names the value
}

// origins holds where values were given, by key ("relay.listen", "uplink[1].ping") and section ("uplink[1]").
type origins map[string]origin

// readFile notes the lines of a TOML file that is known to be right.
func (o origins) readFile(path string, text []byte) {
	var p unstable.Parser
	section, repeated := "", map[string]int{}
	for p.Reset(text); p.NextExpression(); {
		e := p.Expression()
		key, line := keyOf(&p, e)
		switch {
		case e.Kind == unstable.KeyValue && section != "":
			key = section + "." + key
		case e.Kind == unstable.KeyValue:
		case key == "receiver" || key == "uplink":
			section = numbered(key, repeated[key])
			repeated[key]++
			key = section
		default:
			section = key
		}
		o[key] = lineOf(path, line)
	}
}

func lineOf(path string, line int) origin { return origin{fmt.Sprintf("%s:%d", path, line), true} }

// keyOf is the key of an expression, and its line.
func keyOf(p *unstable.Parser, e *unstable.Node) (key string, line int) {
	var parts []string
	for it := e.Key(); it.Next(); {
		if len(parts) == 0 {
			line = p.Shape(it.Node().Raw).Start.Line
		}
		parts = append(parts, string(it.Node().Data))
	}
	return strings.Join(parts, "."), line
}

// numbered is one of the sections of a name, the first of which is 0.
func numbered(section string, i int) string { return fmt.Sprintf("%s[%d]", section, i) }

var number = regexp.MustCompile(`\[\d+\]`)

// of returns where the value of a key was given, or else its section.
func (o origins) of(key string) origin {
	for key != "" {
		for _, k := range []string{key, number.ReplaceAllString(key, "")} { // uplink = [{...}] has one line
			if where, given := o[k]; given {
				return where
			}
		}
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
	}
	return origin{}
}

// located is a problem with where its value was given.
type located struct {
	*problem.Problem
	origin origin
}

// Error is one line that begins with the origin. A flag or variable replaces the key; the line of a file, its number.
func (l *located) Error() string {
	switch {
	case l.origin == origin{}:
		return l.Problem.Error()
	case !l.origin.file:
		return l.origin.text + ": " + l.Text()
	}
	p := *l.Problem
	p.Key = number.ReplaceAllString(p.Key, "")
	return l.origin.text + ": " + p.Error()
}

// Unwrap returns the problem.
func (l *located) Unwrap() error { return l.Problem }

// Explain returns the problems of an error that concerns a section ("relay", "uplink[1]", "" for the keys before all sections),
// one line each that begins with where the value was given. errors.As finds the *problem.Problem in it, whose key is complete.
func (c *Config) Explain(section string, err error) error { return c.origins.explain(section, err) }

func (o origins) explain(section string, err error) error {
	var all []error
	for _, p := range problem.All(err) {
		p = p.In(section)
		all = append(all, &located{p, o.of(p.Key)})
	}
	return errors.Join(all...)
}

package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// origins says where the values of a configuration were given, for who has to mend one: "gpsbridge.toml:12", "--listen",
// "environment variable GPSBRIDGE_LISTEN". It goes by key ("relay.listen", "uplink[1].ping") and by section ("uplink[1]").
// What is not in it is a default.
type origins map[string]string

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
			section = Section(key, repeated[key])
			repeated[key]++
			key = section
		default:
			section = key
		}
		o[key] = fmt.Sprintf("%s:%d", path, line)
	}
}

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

// Section is a section of which there may be several.
func Section(section string, i int) string { return fmt.Sprintf("%s[%d]", section, i) }

// set notes that a flag or variable gave a value. A receiver is given as a whole.
func (o origins) set(key, where string) {
	if key == "receiver[0].source" {
		maps.DeleteFunc(o, func(k, _ string) bool { return strings.HasPrefix(k, "receiver") })
	}
	o[key] = where
}

var (
	quoted  = regexp.MustCompile(`"[^"]*"`)
	keyWord = regexp.MustCompile(`[a-z_]+`)
)

// At puts before an error where the value was given that it complains of: the first key of its section that the error names
// and somebody gave, or else the section as a whole. The section of the keys in front of all sections is "".
func (c *Config) At(section string, err error) error {
	if err == nil {
		return nil
	}
	if several, joined := err.(interface{ Unwrap() []error }); joined {
		var errs []error
		for _, one := range several.Unwrap() {
			errs = append(errs, c.At(section, one))
		}
		return errors.Join(errs...)
	}
	where := cmp.Or(c.origins[section], c.origins[strings.TrimRight(section, "[0123456789]")]) // uplink = [{...}]
	prefix := strings.TrimPrefix(section+".", ".")
	for _, word := range keyWord.FindAllString(quoted.ReplaceAllString(err.Error(), ""), -1) {
		if key, given := c.origins[prefix+word]; given {
			where = key
			break
		}
	}
	if where == "" {
		return err
	}
	return fmt.Errorf("%s: %w", where, err)
}

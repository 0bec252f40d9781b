package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"gpsbridge/bridge/problem"
)

// Set returns the text of a configuration in which a key ("device_id", "uplink.server") has a text as its value. All else stays,
// comments too. The value is replaced where the file gives one; else it is written in place of the comment that documents the
// key, or below its section, which is added where it is missing. Of repeated sections there must be one at most.
func Set(text []byte, key, value string) ([]byte, error) {
	section, name, nested := strings.Cut(key, ".")
	if !nested {
		section, name = "", key
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !strconv.IsPrint(r) }) { // a key that was pressed, such as an arrow
		return nil, &problem.Problem{Code: CodeValue, Key: key, Cause: fmt.Sprintf("%q has characters that cannot be printed", value), Fix: "leave them out"}
	}
	e, err := newEdit(text, section)
	if err != nil {
		return nil, err
	}
	e.set(section, name, name+" = "+strconv.Quote(value), strconv.Quote(value))
	return e.checked(key, func(all map[string]any) { put(all, section, name, value) })
}

// CommentOut returns the text of a configuration in which a section is a comment. Of repeated sections there must be one at most.
func CommentOut(text []byte, section string) ([]byte, error) {
	e, err := newEdit(text, section)
	if err != nil {
		return nil, err
	}
	if from, to := e.extent(section); from >= 0 {
		for i := from - 1; i < to; i++ {
			if line := strings.TrimSpace(e.lines[i]); line != "" && line[0] != '#' {
				e.lines[i] = "#" + e.lines[i]
			}
		}
	}
	return e.checked(section, func(all map[string]any) { delete(all, section) })
}

// put sets a value among those that a file has.
func put(all map[string]any, section, name, value string) {
	switch in := all[section].(type) {
	case map[string]any:
		in[name] = value
	case []any:
		if one, ok := in[0].(map[string]any); ok {
			one[name] = value
		}
	default:
		switch {
		case section == "":
			all[name] = value
		case repeats(section):
			all[section] = []any{map[string]any{name: value}}
		default:
			all[section] = map[string]any{name: value}
		}
	}
}

// repeats reports whether a section may be there several times.
func repeats(section string) bool {
	t := keys(reflect.TypeFor[File]())[section]
	return t != nil && t.Kind() == reflect.Slice
}

// edit is a TOML text that is being changed.
type edit struct {
	before []byte
	lines  []string // with their ends
	known  []expression
	end    string // of a line
}

// expression is a header, or a key with its value.
type expression struct {
	key    string // complete
	header bool
	line   int            // index of its first one
	value  unstable.Range // of a key
}

// newEdit begins a change of a section, of which there must be one at most.
func newEdit(text []byte, section string) (*edit, error) {
	e := &edit{before: text, end: "\n"}
	if strings.Contains(string(text), "\r\n") {
		e.end = "\r\n"
	}
	e.lines = strings.SplitAfter(string(text), "\n")
	if last := len(e.lines) - 1; e.lines[last] == "" {
		e.lines = e.lines[:last]
	} else {
		e.lines[last] += e.end
	}
	in, n := "", 0
	var p unstable.Parser
	for p.Reset(text); p.NextExpression(); {
		x := p.Expression()
		key, line := keyOf(&p, x)
		known := expression{key: key, line: line - 1, header: x.Kind != unstable.KeyValue}
		switch {
		case known.header:
			if in = key; in == section {
				n++
			}
		case in != "":
			known.key = in + "." + key
		}
		if !known.header {
			known.value = x.Value().Raw
		}
		e.known = append(e.known, known)
	}
	if n > 1 {
		return nil, &problem.Problem{Code: CodeRepeated, Key: section, Cause: fmt.Sprintf("the file has %d [[%s]] sections", n, section), Fix: "change them in the file"}
	}
	return e, nil
}

// aHeader is that of a section, also of one that is a comment.
var aHeader = regexp.MustCompile(`^\s*#?\s*\[\[?[\w.]+\]\]?\s*(#.*)?$`)

// extent is the lines of a section after its header, from is negative without one. Those of "" are before all headers. The
// example of another section that is a comment ends it.
func (e *edit) extent(section string) (from, to int) {
	from = -1
	if section == "" {
		from = 0
	}
	for _, x := range e.known {
		if x.header && x.key == section {
			from = x.line + 1
		}
	}
	to = max(from, 0)
	for to < len(e.lines) && !aHeader.MatchString(strings.TrimRight(e.lines[to], "\r\n")) {
		to++
	}
	return from, to
}

// set gives a key its value: line is both as they are written.
func (e *edit) set(section, name, line, value string) {
	key := strings.TrimPrefix(section+"."+name, ".")
	dotted := -1 // the last line before all headers that gives a key of the section
	for _, x := range e.known {
		switch {
		case !x.header && x.key == key && x.value.Length > 0:
			from, to := x.value.Offset, x.value.Offset+x.value.Length
			e.lines = []string{string(e.before[:from]) + value + string(e.before[to:])}
			return
		case !x.header && section != "" && strings.HasPrefix(x.key, section+"."):
			dotted = x.line
		}
	}
	from, to := e.extent(section)
	switch comment := e.match(from, to, `^\s*#\s*`+name+`\s*=`); {
	case comment >= 0:
		e.lines[comment] = line + e.end
	case from >= 0:
		e.insert(from, line)
	case dotted >= 0:
		e.insert(dotted+1, section+"."+line)
	default:
		e.addSection(section, name, line)
	}
}

// addSection adds a section with one line: in place of the comment that documents it, or at the end.
func (e *edit) addSection(section, name, line string) {
	header := "[" + section + "]"
	if repeats(section) {
		header = "[" + header + "]"
	}
	example := e.match(0, len(e.lines), `^\s*#\s*`+regexp.QuoteMeta(header)+`\s*(#.*)?$`)
	if example < 0 {
		e.lines = append(e.lines, e.end, header+e.end, line+e.end)
		return
	}
	e.lines[example] = header + e.end
	e.known = append(e.known, expression{key: section, header: true, line: example})
	e.set(section, name, line, "")
}

// match is the first of some lines that matches, -1 without one.
func (e *edit) match(from, to int, pattern string) int {
	form := regexp.MustCompile(pattern)
	for i := max(from, 0); from >= 0 && i < to; i++ {
		if form.MatchString(strings.TrimRight(e.lines[i], "\r\n")) {
			return i
		}
	}
	return -1
}

func (e *edit) insert(at int, line string) { e.lines = slices.Insert(e.lines, at, line+e.end) }

// checked returns the new text, if its values are those of the old one but for the change.
func (e *edit) checked(key string, change func(map[string]any)) ([]byte, error) {
	text := []byte(strings.Join(e.lines, ""))
	was, is := map[string]any{}, map[string]any{}
	if err := toml.Unmarshal(e.before, &was); err != nil {
		return nil, &problem.Problem{Code: CodeSyntax, Cause: err.Error(), Err: err}
	}
	change(was)
	if err := toml.Unmarshal(text, &is); err != nil || !reflect.DeepEqual(was, is) {
		return nil, &problem.Problem{Code: CodeSyntax, Key: key, Cause: "the file is written in a way in which it cannot be changed here", Fix: "change it in the file", Err: err}
	}
	return text, nil
}

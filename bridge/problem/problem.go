// Package problem describes what is wrong and how to fix it as a value, so that no package has to read another's text.
//
// A package that finds something wrong returns or reports a *Problem. Its Code is what programs decide by, its Cause and
// Fix are what people read, and its Key is the configuration key that the value came from or that helps. Commands, the log,
// status, doctor and the page choose which of the fields they show.
//
// Codes are constants of the package that produces them, in lower case with dashes ("port-missing"). They are part of the
// JSON of status and doctor, and unique in the project.
package problem

import (
	"errors"
	"strings"
)

// Code identifies a kind of problem. An error that no package has classified has the empty code.
type Code string

// Problem is one thing that is wrong. It is an error; Cause is required, the rest may be empty.
type Problem struct {
	Code  Code   `json:"code,omitempty"`
	Key   string `json:"key,omitempty"` // of the configuration: "listen" where it is found, "relay.listen" after In
	Cause string `json:"cause"`         // what is wrong, in half a line, without a final full stop
	Fix   string `json:"fix,omitempty"` // what to do about it, in half a line
	Err   error  `json:"-"`             // the error below, if there is one
}

// Error is one line: key, cause and fix, joined by ": ". Line breaks in them become spaces. No problem is "".
func (p *Problem) Error() string {
	if p == nil || p.Key == "" {
		return p.Text()
	}
	return oneLine(p.Key) + ": " + p.Text()
}

// Text is Error without the key: for readers that show the key's origin, a flag or a line of a file, in its place.
func (p *Problem) Text() string {
	if p == nil {
		return ""
	}
	if p.Fix == "" {
		return oneLine(p.Cause)
	}
	return oneLine(p.Cause) + ": " + oneLine(p.Fix)
}

// Unwrap returns the error below.
func (p *Problem) Unwrap() error { return p.Err }

// In returns a copy of p whose Key lies in a section: In("relay") makes "relay.listen" of "listen", and "relay" of "".
// No problem stays none.
func (p *Problem) In(section string) *Problem {
	if p == nil {
		return nil
	}
	in := *p
	switch {
	case section == "":
	case in.Key == "":
		in.Key = section
	default:
		in.Key = section + "." + in.Key
	}
	return &in
}

// Same reports whether two problems read the same. Two nil problems do.
func (p *Problem) Same(other *Problem) bool {
	if p == nil || other == nil {
		return p == other
	}
	return p.Code == other.Code && p.Key == other.Key && p.Cause == other.Cause && p.Fix == other.Fix
}

// Of returns the problem that err is or wraps. An error that is none becomes the Cause of one without a code; nil stays nil.
func Of(err error) *Problem {
	if err == nil {
		return nil
	}
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return &Problem{Cause: err.Error(), Err: err}
}

// CodeOf returns the code of the problem that err is or wraps, "" where it is none.
func CodeOf(err error) Code {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// All returns the problems of an error that may join several (errors.Join), in their order.
func All(err error) []*Problem {
	if err == nil {
		return nil
	}
	several, joined := err.(interface{ Unwrap() []error })
	if !joined {
		return []*Problem{Of(err)}
	}
	var all []*Problem
	for _, one := range several.Unwrap() {
		all = append(all, All(one)...)
	}
	return all
}

func oneLine(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\r' || r == '\n' }), " ")
}

package command

import (
	"errors"
	"fmt"
	"strings"
)

// ErrSaid is the error of a command that has told of its failure itself.
var ErrSaid = errors.New("the command has said what failed")

// errHelped is the error of a command whose help was asked for and printed.
var errHelped = errors.New("help was printed")

// misuseError is what the person at the command line can mend there.
type misuseError struct{ error }

func (e misuseError) Unwrap() error { return e.error }

// AsMisuse has a command that ends with err exit with the code of wrong usage.
func AsMisuse(err error) error { return misuseError{err} }

// Misusef is AsMisuse of an error that is worded like fmt.Errorf's.
func Misusef(format string, args ...any) error { return misuseError{fmt.Errorf(format, args...)} }

// OneLine is an error on one line, also where errors.Join, or a program that is quoted, has put it on several.
func OneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}

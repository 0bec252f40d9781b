package command

import (
	"errors"
	"fmt"
	"strings"
)

// ErrReported is the error of a command that has printed its failure itself.
var ErrReported = errors.New("the command has printed what failed")

// errHelped is the result of a command whose help was asked for and printed.
var errHelped = errors.New("help was printed")

// misuseError is an error that the user can fix on the command line.
type misuseError struct{ error }

func (e misuseError) Unwrap() error { return e.error }

// AsMisuse makes a command that ends with err exit with the code of wrong usage.
func AsMisuse(err error) error { return misuseError{err} }

// Misusef is AsMisuse of an error that is worded like fmt.Errorf's.
func Misusef(format string, args ...any) error { return misuseError{fmt.Errorf(format, args...)} }

// OneLine is an error on one line, also where errors.Join, or a program that it quotes, has put it on several.
func OneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}

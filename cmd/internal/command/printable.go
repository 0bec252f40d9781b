package command

import (
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Printable replaces each character of s that a terminal may act on instead of showing it: control characters (C0, DEL, C1,
// and with them every escape sequence), characters that change the direction of writing, and bytes that are not UTF-8. Line
// ends and tabs stay. Text from a server, a tracking group or a receiver could otherwise move the cursor, set the window's
// title, or make a line read as another.
func Printable(s string) string {
	clean := true
	for _, r := range s {
		clean = clean && r != utf8.RuneError && printable(r)
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		if printable(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// printable follows Unicode's categories: letters, marks, numbers, punctuation and symbols are, format characters (Cf) and
// control characters (Cc) are not.
func printable(r rune) bool { return unicode.IsPrint(r) || r == '\n' || r == '\t' }

// Terminal is a writer to a terminal through which only printable text gets. What a program itself has the terminal do goes
// through Control.
type Terminal struct {
	File *os.File
	out  io.Writer // File
	rest []byte    // the beginning of a character whose end has not been written yet
}

// Write writes p as Printable shows it. A character may be split between calls.
func (t *Terminal) Write(p []byte) (int, error) {
	text := append(t.rest, p...)
	whole := len(text) - incomplete(text)
	t.rest = append([]byte(nil), text[whole:]...)
	if _, err := io.WriteString(t.out, Printable(string(text[:whole]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Control writes s as it is.
func (t *Terminal) Control(s string) error {
	_, err := io.WriteString(t.out, s)
	return err
}

// incomplete is the length of a character at the end of text that may go on.
func incomplete(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if b := text[len(text)-n]; utf8.RuneStart(b) {
			if b >= utf8.RuneSelf && !utf8.FullRune(text[len(text)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// toTerminal returns a Terminal where f is one, and f elsewhere: files and pipes get every byte.
func toTerminal(f *os.File) io.Writer {
	if !IsTerminal(f) {
		return f
	}
	return &Terminal{File: f, out: f}
}

// IsTerminal reports whether r, a Process's Stdin, is a terminal, at which a person may answer.
func IsTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// TerminalOf returns the terminal that w, a Process's Stdout or Stderr, writes to.
func TerminalOf(w io.Writer) (*Terminal, bool) {
	if o, ok := w.(*Output); ok {
		w = o.Writer
	}
	t, ok := w.(*Terminal)
	return t, ok
}

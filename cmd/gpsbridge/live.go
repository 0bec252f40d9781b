package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge"
	"gpsbridge/cmd/internal/command"
)

// What a terminal is told (ECMA-48, and xterm's alternate screen, which every terminal emulator has).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // another screen, without cursor: what was there comes back afterwards
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	endOfLine   = "\x1b[K"
	endOfScreen = "\x1b[J"
)

// watchStatus shows the daemon each second until ctx ends: on a terminal as a picture in place, elsewhere as a line.
func watchStatus(ctx context.Context, w io.Writer, c bridge.RelayConfig) error {
	onTerminal := drawable(w)
	if onTerminal {
		fmt.Fprint(w, enterScreen)
		defer fmt.Fprint(w, leaveScreen)
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		st, err := askDaemon(ctx, c)
		if ctx.Err() != nil {
			return nil
		}
		if onTerminal {
			err = draw(w, st, err)
		} else {
			_, err = fmt.Fprintln(w, watchLine(st, err))
		}
		if err != nil {
			return fmt.Errorf("print: %w", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// watchLine is a second of the daemon in one line. A daemon that does not answer is waited for.
func watchLine(st bridge.Status, err error) string {
	if err != nil {
		return command.OneLine(err)
	}
	return st.Now.UTC().Format("15:04:05") + " " + st.Line()
}

// draw shows the daemon, or why it does not answer.
func draw(w io.Writer, st bridge.Status, err error) error {
	var text strings.Builder
	if err != nil {
		fmt.Fprintln(&text, command.OneLine(err))
	} else {
		printStatus(&text, st)
	}
	fmt.Fprintf(&text, "\n%s UTC, each second; Ctrl-C ends\n", time.Now().UTC().Format(time.TimeOnly))
	return paint(w, text.String())
}

// paint writes a picture over the last one, cut to the terminal: a line that wraps would push the others down.
func paint(w io.Writer, text string) error {
	columns, lines := size(w)
	var picture strings.Builder
	picture.WriteString(toTop)
	for i, line := range wrapped(text, columns) {
		if i == lines-1 {
			break // a line end in the last line would scroll
		}
		picture.WriteString(line + endOfLine + "\n") // the terminal makes \r\n of it
	}
	picture.WriteString(endOfScreen)
	_, err := io.WriteString(w, picture.String())
	return err
}

// wrapped breaks text into lines of at most so many columns. What is broken goes on under its own beginning, behind the
// first column, which is indent wide.
func wrapped(text string, columns int) (lines []string) {
	const indent = 10
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		lines = append(lines, wrap(strings.TrimRight(line, "\n"), indent, columns)...)
	}
	return lines
}

// wrap breaks one line between words, what follows indented, less so where there is hardly room.
func wrap(line string, indent, columns int) (lines []string) {
	if columns <= 2*indent {
		indent = columns / 3
	}
	for length := []rune(line); len(length) > columns && columns > 0; length = []rune(line) {
		at := columns
		for at > indent && length[at] != ' ' {
			at--
		}
		if at == indent {
			at = columns // one word that is longer than the line
		}
		lines = append(lines, strings.TrimRight(string(length[:at]), " "))
		line = strings.Repeat(" ", indent) + strings.TrimLeft(string(length[at:]), " ")
	}
	return append(lines, line)
}

// size returns the columns and lines of the terminal that w is, those of the VT100 where it does not say.
func size(w io.Writer) (columns, lines int) {
	columns, lines = width(w), 24
	if f, ok := fileOf(w); ok {
		if s, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && s.Row > 0 {
			lines = int(s.Row)
		}
	}
	return columns, lines
}

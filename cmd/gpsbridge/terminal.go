package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/cmd/internal/command"
)

// What a terminal is sent (ECMA-48, and xterm's alternate screen, which every terminal emulator has).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // another screen, without cursor: what was there comes back afterwards
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	endOfLine   = "\x1b[K"
	endOfScreen = "\x1b[J"
)

// drawable returns the terminal that w writes to, if it moves its cursor on request.
func drawable(w io.Writer) (*command.Terminal, bool) {
	t, ok := command.TerminalOf(w)
	return t, ok && os.Getenv("TERM") != "dumb"
}

// size returns the columns and lines of a terminal, those of the VT100 where it does not state them.
func size(t *command.Terminal) (columns, lines int) {
	columns, lines = 80, 24
	s, err := unix.IoctlGetWinsize(int(t.File.Fd()), unix.TIOCGWINSZ)
	if err == nil && s.Col > 0 {
		columns = int(s.Col)
	}
	if err == nil && s.Row > 0 {
		lines = int(s.Row)
	}
	return columns, lines
}

// showLine prints a line that is replaced each second on a terminal, and every ten seconds a new one elsewhere.
func showLine(ctx context.Context, w io.Writer, line func() string) {
	every := 10 * time.Second
	terminal, drawn := drawable(w)
	if drawn {
		every = time.Second
		defer fmt.Fprintln(w)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if drawn {
				columns, _ := size(terminal)
				_ = terminal.Control(fmt.Sprintf("\r%s%.*s", endOfLine, columns-1, command.Printable(line()))) // one column short, or it wraps
			} else {
				fmt.Fprintln(w, line())
			}
		case <-ctx.Done():
			return
		}
	}
}

// onScreen has show paint on a screen of its own, and gives the terminal back as it was.
func onScreen(t *command.Terminal, show func() error) error {
	if err := t.Control(enterScreen); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	err := show()
	_ = t.Control(leaveScreen) // the terminal may be gone
	return err
}

// paint writes text over what was painted before, cut to the terminal: a line that wraps would push the others down.
func paint(t *command.Terminal, text string) error {
	columns, lines := size(t)
	var picture strings.Builder
	picture.WriteString(toTop)
	for i, line := range wrapped(command.Printable(text), columns) {
		if i == lines-1 {
			break // a line end in the last line would scroll
		}
		picture.WriteString(line + endOfLine + "\n") // the terminal makes \r\n of it
	}
	picture.WriteString(endOfScreen)
	if err := t.Control(picture.String()); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// wrapped breaks text into lines of at most so many columns. A continuation starts below the second column of the rows,
// which is indent wide.
func wrapped(text string, columns int) (lines []string) {
	const indent = 10
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		lines = append(lines, wrap(strings.TrimRight(line, "\n"), indent, columns)...)
	}
	return lines
}

// folded is a line as it is written to w: broken between words where that is a terminal.
func folded(w io.Writer, line string) string {
	t, ok := command.TerminalOf(w)
	if !ok {
		return line
	}
	columns, _ := size(t)
	return strings.Join(wrap(line, 2, min(columns, chartColumns)), "\n")
}

// wrap breaks one line between words and indents what follows, less so where there is hardly room.
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

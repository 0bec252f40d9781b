package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/cmd/internal/command"
)

// showLine prints a line that is written over each second on a terminal, and every ten seconds a new one elsewhere.
func showLine(ctx context.Context, w io.Writer, line func() string) {
	every := 10 * time.Second
	if drawable(w) {
		every = time.Second
		defer fmt.Fprintln(w)
	}
	for ticker := time.NewTicker(every); ; {
		select {
		case <-ticker.C:
			if columns := width(w); columns > 0 && drawable(w) {
				fmt.Fprintf(w, "\r\x1b[K%.*s", columns-1, line()) // one column short, or the terminal wraps
			} else {
				fmt.Fprintln(w, line())
			}
		case <-ctx.Done():
			ticker.Stop()
			return
		}
	}
}

// drawable says whether w is a terminal that moves its cursor when it is told to.
func drawable(w io.Writer) bool { return width(w) > 0 && os.Getenv("TERM") != "dumb" }

// width returns the columns of the terminal that w is, 0 when it is none.
func width(w io.Writer) int {
	f, ok := fileOf(w)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	if size.Col == 0 {
		return 80 // it does not say; what terminals have had since the VT100
	}
	return int(size.Col)
}

// fileOf returns the file that is written to.
func fileOf(w io.Writer) (*os.File, bool) {
	if o, ok := w.(*command.Output); ok {
		w = o.Writer
	}
	f, ok := w.(*os.File)
	return f, ok
}

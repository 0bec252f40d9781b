package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"gpsbridge/cmd/internal/command"
)

// prompt asks a person at a terminal.
type prompt struct {
	p  command.Process
	in *bufio.Reader
}

func newPrompt(p command.Process) *prompt { return &prompt{p: p, in: bufio.NewReader(p.Stdin)} }

// line returns what was typed, without the space around it; if it is hidden, the terminal does not show it, and what was typed after it
// is dropped. The end of the input and of ctx are errors.
func (q *prompt) line(ctx context.Context, question string, hidden bool) (string, error) {
	if f, ok := q.p.Stdin.(*os.File); ok && hidden {
		defer fmt.Fprintln(q.p.Stdout)
		defer hide(int(f.Fd()))() // before the question, which is when one begins to type
	}
	fmt.Fprint(q.p.Stdout, question)
	typed := make(chan error, 1)
	var text string
	go func() {
		var err error
		text, err = q.in.ReadString('\n')
		typed <- err
	}()
	select {
	case err := <-typed:
		if err != nil {
			return "", errNoAnswer
		}
		return strings.TrimSpace(text), nil
	case <-ctx.Done(): // the process ends, and the read with it
		return "", errNoAnswer
	}
}

var errNoAnswer = errors.New("nothing was changed: answer the questions, or give the flags that gpsbridge setup -h lists")

// hide has a terminal not show what is typed, until the function that it returns is called.
func hide(fd int) (show func()) {
	mode, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return func() {}
	}
	hidden := *mode
	hidden.Lflag &^= unix.ECHO
	_ = unix.IoctlSetTermios(fd, setTermios, &hidden) // the answer is shown then
	// The rest of a secret that was pasted with line ends is not the next answer, which would be shown.
	return func() { _ = unix.IoctlSetTermios(fd, flushTermios, mode) }
}

// Package command is the command line of this project's programs: subcommands with flags, their help, and errors of one
// line with an exit code.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"gpsbridge/bridge/problem"
)

// Exit codes of every subcommand.
const (
	Done   = 0
	Failed = 1
	Misuse = 2 // of the command line, or of a configuration
)

// Process is what a subcommand has of its process.
type Process struct {
	Environ        []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	flags func(*flag.FlagSet) // receives a command's flags instead of its run, for Completion
}

// Output is what Dispatch makes of a Process's Stdout: the same, but it remembers the first write that failed.
type Output struct {
	io.Writer
	err error
}

// Write writes to the Writer, as that does.
func (o *Output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// Command is a subcommand. Its Run returns when ctx ends.
type Command struct {
	Name  string
	Args  string   // how its flags and words are written
	About string   // what it does, in half a line
	Words []string // that may follow it, for completion; nil for files
	Run   func(ctx context.Context, p Process, c Command, args []string) error

	program string
}

// usage is how the command line is written.
func (c Command) usage() string { return strings.TrimSpace(c.path() + " " + c.Args) }

// path is how the command is called.
func (c Command) path() string { return c.program + " " + c.Name }

// Program is what has the subcommands.
type Program struct {
	Name     string
	About    string // a sentence
	Start    string // how to begin, for new users
	Commands []Command
	Hidden   []Command // that the program itself runs; the help leaves them out
}

// Main runs the subcommand that the process's arguments name, and exits. The first SIGINT or SIGTERM ends the command's
// context, the second the process.
func (g Program) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(g.Dispatch(ctx, Process{Environ: os.Environ(), Stdin: os.Stdin, Stdout: toTerminal(os.Stdout), Stderr: toTerminal(os.Stderr)}, os.Args[1:]))
}

// Dispatch runs the subcommand that args name, turns its error into one line, and returns the exit code. What was done is not
// done where it could not be printed: such as on a full disk.
func (g Program) Dispatch(ctx context.Context, p Process, args []string) int {
	out := &Output{Writer: p.Stdout}
	p.Stdout = out
	code := g.dispatch(ctx, p, args)
	if code == Done && out.err != nil {
		fmt.Fprintf(p.Stderr, "%s: print: %v\n", g.Name, out.err)
		return Failed
	}
	return code
}

func (g Program) dispatch(ctx context.Context, p Process, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(p.Stderr, g.help())
		return Misuse
	}
	name, args := args[0], args[1:]
	if helps(name) {
		if len(args) == 0 {
			fmt.Fprint(p.Stdout, g.help())
			return Done
		}
		name, args = args[0], []string{"-h"}
	}
	c, found := g.find(name)
	if !found {
		fmt.Fprintf(p.Stderr, "%s: unknown command %q: %s%[1]s help lists the commands\n", g.Name, name, problem.Suggest(name, g.names()))
		return Misuse
	}
	err := c.Run(ctx, p, c, args)
	var misuse misuseError
	switch {
	case err == nil || errors.Is(err, errHelped):
		return Done
	case errors.Is(err, ErrReported):
		return Failed
	}
	fmt.Fprintf(p.Stderr, "%s: %s\n", c.path(), OneLine(err))
	if errors.As(err, &misuse) {
		return Misuse
	}
	return Failed
}

func (g Program) find(name string) (Command, bool) {
	if name == "-v" || name == "-version" || name == "--version" {
		name = "version"
	}
	for _, list := range [][]Command{g.Commands, g.Hidden} {
		for _, c := range list {
			if c.Name == name {
				c.program = g.Name
				return c, true
			}
		}
	}
	return Command{}, false
}

// names lists the commands that the help lists.
func (g Program) names() (names []string) {
	for _, c := range g.Commands {
		names = append(names, c.Name)
	}
	return names
}

func helps(word string) bool {
	return word == "help" || word == "-h" || word == "-help" || word == "--help"
}

func (g Program) help() string {
	var b strings.Builder
	b.WriteString(g.About + "\n\n")
	longest := 8
	for _, c := range g.Commands {
		longest = max(longest, len(c.Name))
	}
	for _, c := range g.Commands {
		fmt.Fprintf(&b, "  %s %-*s %s\n", g.Name, longest, c.Name, c.About)
	}
	fmt.Fprintf(&b, "\nStart with: %s. The flags of a command: %s COMMAND -h\n", g.Start, g.Name)
	return b.String()
}
